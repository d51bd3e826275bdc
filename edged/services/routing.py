"""Where a new instance goes, and how: decided from what is known of it when it arrives, before it is admitted.

The destinations that are chosen are fixed in the admission (DESIGN §1.5). Pure: rules and what an instance tells in, a
choice out. The first rule that an instance fits decides; that it fits none is the same as that there is none. What a
rule looks at and the instance does not have, fits nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from edged.config import Route, When
from edged.config.rules import Patterns
from edged.dicom.attributes import KEPT, texts_of
from edged.services.destinations import Routes


@dataclass(frozen=True, slots=True)
class Source:
    """Where an instance comes from: the intake's name, and the study that it must belong to, if one was named.

    `sender` is the name of the credential or the calling AE title that it came with, `called_ae` the called one;
    `address` is the peer's.
    """

    intake: str
    study_instance_uid: str | None = None
    sender: str = ""
    called_ae: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a rule may look at; attributes as they are encoded, by keyword."""

    sop_class_uid: str
    attributes: Mapping[str, bytes]
    source: Source


@dataclass(frozen=True, slots=True)
class Routed:
    """Destinations by id, those of them that gate eviction, and how it begins there; `rule` is what chose, if any."""

    destinations: tuple[int, ...]
    required: tuple[int, ...]
    urgent: bool = False
    hold: bool = False
    rule: str = ""


class Routing(Protocol):
    """Chooses for every instance that arrives."""

    def route(self, arrived: Arrived) -> Routed:
        """Say where an instance goes; raises nothing, whatever the instance holds."""

    def required_of(self, sop_class_uid: str) -> frozenset[frozenset[int]]:
        """Return what an instance of which only the class is known may require: a set of destinations for each way.

        A way without any is left out: what has gone it is never evicted (DESIGN §1.5).
        """


class Everywhere:
    """Every instance goes to every destination."""

    def __init__(self, routes: Routes) -> None:
        self._routed = Routed(routes.all, routes.required)

    def route(self, arrived: Arrived) -> Routed:
        """As Routing."""
        del arrived
        return self._routed

    def required_of(self, sop_class_uid: str) -> frozenset[frozenset[int]]:
        """As Routing."""
        del sop_class_uid
        return _ways(self._routed)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a rule does not hold for an instance: what was looked at, what stands there, and what would fit."""

    what: str
    found: tuple[str, ...]
    wanted: Patterns


class ByRules:
    """The first rule that an instance fits says where it goes."""

    def __init__(self, routes: Routes, rules: Sequence[Route]) -> None:
        self._rules = tuple((rule, _routed(routes, rule)) for rule in rules)
        self._otherwise = Routed(routes.all, routes.required)

    def route(self, arrived: Arrived) -> Routed:
        """As Routing."""
        fitting = (routed for rule, routed in self._rules if not any(misfits(rule, arrived)))
        return next(fitting, self._otherwise)

    def required_of(self, sop_class_uid: str) -> frozenset[frozenset[int]]:
        """As Routing: a rule that looks at more than the class may have held, and may not have."""
        ways = []
        for rule, routed in self._rules:
            wanted = rule.when.sop_class
            if wanted is not None and not _fits((sop_class_uid,), wanted):
                continue
            ways.append(routed)
            if rule.when == When(sop_class=wanted):
                return _ways(*ways)
        return _ways(*ways, self._otherwise)


def misfits(rule: Route, arrived: Arrived) -> Iterator[Misfit]:
    """Yield why a rule does not hold for an instance; nothing when it does."""
    when, source = rule.when, arrived.source
    looked_at = (
        ("modality", texts_of("Modality", arrived.attributes), when.modality),
        ("called_ae", _given(source.called_ae), when.called_ae),
        ("source", _given(source.intake, source.sender), when.source),
        ("sop_class", _given(arrived.sop_class_uid), when.sop_class),
    )
    for what, found, wanted in looked_at:
        if wanted is not None and not _fits(found, wanted):
            yield Misfit(what, found, wanted)
    for keyword, wanted in when.attribute.items():
        if not _fits(found := texts_of(keyword, arrived.attributes), wanted):
            yield Misfit(keyword, found, wanted)


def problems_of(rules: Sequence[Route]) -> list[str]:
    """Return one line for each attribute that a rule looks at and nobody knows when an instance arrives."""
    known = frozenset(KEPT.values())
    return [
        f"route[{rule.name}].when.attribute: {keyword} is not looked at; write one of {', '.join(sorted(known))}"
        for rule in rules
        for keyword in rule.when.attribute
        if keyword not in known
    ]


def without_required(routes: Routes, rules: Sequence[Route]) -> list[str]:
    """Return the names of the rules that lead to no required destination: what they route is never evicted."""
    return [rule.name for rule in rules if not _routed(routes, rule).required]


def _routed(routes: Routes, rule: Route) -> Routed:
    chosen = routes.all if rule.to is None else tuple(routes.ids[name] for name in rule.to)
    required = tuple(number for number in routes.required if number in chosen)
    return Routed(chosen, required, urgent=rule.urgent, hold=rule.hold, rule=rule.name)


def _ways(*ways: Routed) -> frozenset[frozenset[int]]:
    return frozenset(frozenset(way.required) for way in ways if way.required)


def _given(*texts: str) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def _fits(found: Sequence[str], wanted: Patterns) -> bool:
    """Whether a value fits a pattern; * and ? are the only wildcards."""
    plain = [pattern.replace("[", "[[]") for pattern in wanted]
    return any(fnmatchcase(value, pattern) for value in found for pattern in plain)


def routing_for(routes: Routes, rules: Sequence[Route]) -> Routing:
    """Return what chooses by the rules of the settings."""
    return ByRules(routes, rules) if rules else Everywhere(routes)
