"""What would become of a file if it arrived now: each routing rule with what it looked at, and where it would go.

A dry run: nothing is stored and no destination is asked. The choice itself is the one of the daemon
(`services/routing`); only the words are made here.
"""

from collections.abc import Iterator
from pathlib import Path

from edged.config import Route, Settings
from edged.dicom.errors import DicomError
from edged.dicom.scanner import InstanceScanner, Scan
from edged.services.destinations import Routes
from edged.services.routing import Arrived, Misfit, Routed, Source, misfits, routing_for

_PIECE_BYTES = 1 << 20


class UnreadableFile(Exception):
    """The file cannot be read, or would not be taken; the text says why."""


def explain_file(settings: Settings, file: Path, source: Source) -> list[str]:
    """Return the lines that say what would become of a file. Raises UnreadableFile."""
    scan = _scan(file)
    arrived = Arrived(scan.sop_class_uid, scan.attributes, source)
    names = dict(enumerate(destination.name for destination in settings.destinations))
    routes = Routes(
        {name: number for number, name in names.items()},
        tuple(number for number, each in enumerate(settings.destinations) if each.required),
    )
    routed = routing_for(routes, settings.routes).route(arrived)
    heading = f"{file}: SOP Class {scan.sop_class_uid}, from {source.intake}"
    return [heading, *_rules(settings.routes, arrived, routed), *_outcome(routed, names)]


def _scan(file: Path) -> Scan:
    scanner = InstanceScanner()
    try:
        with file.open("rb") as opened:
            while piece := opened.read(_PIECE_BYTES):
                scanner.feed(piece)
        return scanner.finish()
    except OSError as error:
        raise UnreadableFile(f"{file}: {error.strerror}") from None
    except DicomError as error:
        raise UnreadableFile(f"{file}: would be refused: {error}") from None


def _rules(rules: tuple[Route, ...], arrived: Arrived, routed: Routed) -> Iterator[str]:
    """Up to the rule that decides; those after it are not looked at."""
    for rule in rules:
        if rule.name == routed.rule:
            yield f"rule {rule.name}: fits"
            return
        yield f"rule {rule.name}: does not fit: {'; '.join(_said(each) for each in misfits(rule, arrived))}"
    yield "no rule fits" if rules else "there is no rule"


def _said(misfit: Misfit) -> str:
    found = ", ".join(repr(value) for value in misfit.found) or "not there"
    return f"{misfit.what} is {found}, wanted {' or '.join(repr(pattern) for pattern in misfit.wanted)}"


def _outcome(routed: Routed, names: dict[int, str]) -> Iterator[str]:
    chosen = [names[each] + ("" if each in routed.required else " (not required)") for each in routed.destinations]
    yield f"goes to: {', '.join(chosen) or 'no destination'}"
    if not routed.required:
        yield "is never evicted: no destination that it goes to is required"
    if routed.urgent:
        yield "urgent: goes before others and does not wait for a rate"
    if routed.hold:
        yield "on hold: waits until a person releases it"
