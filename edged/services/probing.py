"""Probing a destination: a port, implemented upstream, and the values that go through it.

A probe goes the way of an instance step by step and says of each step how long it took and what was found; after one
that failed the others are not tried. What stands in a step is for whoever runs the box: names, addresses and
certificates of peers, and what a peer said, without any secret.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from edged.telemetry.live import Phase


class StepName(StrEnum):
    """The steps in their order; `proxy`, `tls` and `instance` only where they belong to the way."""

    DNS = "dns"
    TCP = "tcp"
    PROXY = "proxy"
    TLS = "tls"
    AUTH = "auth"
    HTTP = "http"
    CAPABILITIES = "capabilities"
    SEARCH = "search"
    COMMITMENT = "commitment"
    INSTANCE = "instance"


class Outcome(StrEnum):
    """What became of a step; `noted` is no failure, and worth knowing."""

    OK = "ok"
    NOTED = "noted"
    FAILED = "failed"
    NOT_TRIED = "not-tried"


class Step(Struct, frozen=True, kw_only=True):
    """One step: `text` tells what was found in one line, `details` more of it, `remedy` what to do.

    `phase` is where a step failed that did: not always the one that its name suggests.
    """

    name: StepName
    outcome: Outcome
    seconds: float | None = None
    text: str = ""
    details: tuple[str, ...] = ()
    phase: Phase | None = None
    remedy: str | None = None


class Probed(Struct, frozen=True, kw_only=True):
    """What a probe of one destination found."""

    destination: str
    url: str
    good: bool
    steps: tuple[Step, ...]


class Report(Struct, frozen=True, kw_only=True):
    """What probes of several destinations found."""

    probes: tuple[Probed, ...]


class Prober(Protocol):
    """Whoever can probe the destinations of a box."""

    @property
    def names(self) -> Iterable[str]:
        """The destinations that there are."""

    async def probe(self, names: Iterable[str], *, instance: bool) -> Report:
        """Probe destinations at the same time; with `instance` each is sent a test instance, which it will keep."""
