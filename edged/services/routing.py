"""Where a new instance goes, and how: decided from what is known of it when it arrives, before it is admitted.

The destinations that are chosen are fixed in the admission (DESIGN §1.5). Pure: rules and what an instance tells in, a
choice out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edged.config import Route
from edged.services.destinations import Routes


@dataclass(frozen=True, slots=True)
class Source:
    """Where an instance comes from: the intake's name, and the study that it must belong to, if one was named.

    `sender` is the name of the credential or the calling AE title that it came with, `called_ae` the called one.
    """

    intake: str
    study_instance_uid: str | None = None
    sender: str = ""
    called_ae: str = ""


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


class Everywhere:
    """Every instance goes to every destination."""

    def __init__(self, routes: Routes) -> None:
        self._routed = Routed(routes.all, routes.required)

    def route(self, arrived: Arrived) -> Routed:
        """As Routing."""
        del arrived
        return self._routed


def routing_for(routes: Routes, rules: Sequence[Route]) -> Routing:
    """Return what chooses by the rules of the settings."""
    del rules  # there are none yet
    return Everywhere(routes)
