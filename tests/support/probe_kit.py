"""Probing in tests: one destination as the daemon probes it, and peers that describe themselves."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from edged.config import parse
from edged.config.choices import ClockMode
from edged.services.probing import Outcome, Probed, StepName
from edged.telemetry.clock import SystemClock
from edged.telemetry.live import Phase
from edged.upstream.probe import Probes
from tests.support.forwarding_kit import destination
from tests.support.upstream_peer import Script, Wire, listen

WADL = b"<application><resource path='studies'/><resource path='commitment-requests'/></application>"


async def probed(url: str, *, instance: bool = False, extra: str = "", **keys: str) -> Probed:
    """Probe one destination as the daemon does."""
    settings = parse('[box]\ndata_dir = "/nowhere"\n' + destination(url, **keys) + extra, {})
    probes = Probes(settings.destinations, SystemClock(ClockMode.TRUST))
    report = await probes.probe(probes.names, instance=instance)
    [found] = report.probes
    return found


def outcomes(found: Probed) -> dict[str, str]:
    return {each.name.value: each.outcome.value for each in found.steps}


def failed(found: Probed) -> tuple[StepName, Phase | None, str, str]:
    """The step that failed; those after it were not tried."""
    assert not found.good
    names = [each.name for each in found.steps if each.outcome is Outcome.FAILED]
    [name] = names
    at = next(number for number, each in enumerate(found.steps) if each.name is name)
    assert {each.outcome for each in found.steps[at + 1 :]} <= {Outcome.NOT_TRIED}
    assert all(each.seconds is None for each in found.steps[at + 1 :])
    step = found.steps[at]
    assert step.seconds is not None
    assert step.remedy
    return name, step.phase, step.text, step.remedy


def answering(*, status: int = 204, body: bytes = b"", extra: bytes = b"", described: bytes = WADL) -> Script:
    """A peer that describes itself and answers everything else in one way."""

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if head.startswith(b"OPTIONS"):
                await wire.answer(200, described)
            elif b"/commitment-requests/" in head:
                await wire.answer(404)
            else:
                await wire.answer(status, body, extra=extra)

    return script


@asynccontextmanager
async def peer_url(script: Script, context: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    async with listen(script, context) as peer:
        yield str(peer.endpoint)
