"""Probing a destination: its settings and credentials, on connections of its own, step by step (services/probing).

Beside the forwarding and never in its way: no queue or lease knows of a probe, and what it finds changes nothing but
that a destination found good is tried at once. Each step has its deadline; the first that fails ends the probe, and its
fault names phase and remedy.

Invariant: what a peer says is shown only through the redactor that learned the credentials of this probe.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import trio

from edged.config import CredentialError
from edged.config import Destination as Settings
from edged.services.bell import Bells
from edged.services.probing import Outcome, Probed, Report, Step, StepName
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live, Phase
from edged.upstream.asking import asking_for
from edged.upstream.connection import open_client
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.dial import Connector, dial
from edged.upstream.message import NoAnswer
from edged.upstream.probe_judging import Fault, Found, fault_of
from edged.upstream.probe_services import Services
from edged.upstream.probe_way import TIMEOUTS, Way
from edged.upstream.reaching import told_settings
from edged.upstream.redaction import shown_url
from edged.upstream.tls import TLSSettingsError

STEP_WITHIN_S = 30.0

Look = Callable[[], Awaitable[Found]]


class Probes:
    """Probes the destinations of the settings (`probing.Prober`)."""

    def __init__(
        self,
        destinations: Sequence[Settings],
        clock: Clock,
        connector: Connector = dial,
        *,
        passed: Callable[[str], None] | None = None,
    ) -> None:
        """`passed` is told the name of each destination that was found good."""
        self._destinations = {each.name: each for each in destinations}
        self._clock = clock
        self._connector = connector
        self._passed = passed

    @property
    def names(self) -> tuple[str, ...]:
        """As probing.Prober."""
        return tuple(self._destinations)

    async def probe(self, names: Iterable[str], *, instance: bool) -> Report:
        """As probing.Prober."""
        wanted = tuple(names)
        found: dict[str, Probed] = {}

        async def one(name: str) -> None:
            found[name] = await self._probed(self._destinations[name], instance=instance)

        async with trio.open_nursery() as nursery:
            for name in wanted:
                nursery.start_soon(one, name)
        return Report(probes=tuple(found[name] for name in wanted))

    async def _probed(self, settings: Settings, *, instance: bool) -> Probed:
        box = Surroundings(None, self._clock, live=Live(), conditions=Conditions(self._clock), bells=Bells())
        box.connector = self._connector
        steps = Steps()
        await _take(steps, Destination(0, settings, box), instance=instance)
        if steps.good and self._passed is not None:
            self._passed(settings.name)
        return Probed(destination=settings.name, url=shown_url(settings.url), good=steps.good, steps=tuple(steps.taken))


class Steps:
    """The steps of one probe, in their order."""

    def __init__(self) -> None:
        self.taken: list[Step] = []
        self.good = True

    async def take(self, name: StepName, look: Look) -> None:
        """Take a step, if none has failed before."""
        if not self.good:
            self.skip(name)
            return
        began = trio.current_time()
        try:
            found = await _looked(look)
        except Fault as fault:
            self.good = False
            step = Step(
                name=name,
                outcome=Outcome.FAILED,
                text=fault.text,
                details=fault.details,
                phase=fault.phase,
                remedy=fault.remedy,
                seconds=round(trio.current_time() - began, 4),
            )
        else:
            outcome = Outcome.NOTED if found.noted else Outcome.OK
            seconds = round(trio.current_time() - began, 4)
            step = Step(name=name, outcome=outcome, text=found.text, details=found.details, seconds=seconds)
        self.taken.append(step)

    def skip(self, *names: StepName) -> None:
        """Note steps that are not tried."""
        self.taken += [Step(name=name, outcome=Outcome.NOT_TRIED) for name in names]


async def _take(steps: Steps, destination: Destination, *, instance: bool) -> None:
    way = Way(destination)
    for name, look in way.steps():
        await steps.take(name, look)
    names = [StepName.HTTP, StepName.CAPABILITIES, StepName.SEARCH, StepName.COMMITMENT]
    names += [StepName.INSTANCE] if instance else []
    if not steps.good:
        steps.skip(*names)
        return
    settings = replace(told_settings(destination), timeouts=TIMEOUTS)
    async with open_client(way.endpoint, settings) as client:
        services = Services(destination, asking_for(destination, client))
        for name in names:
            await steps.take(name, services.steps[name])


async def _looked(look: Look) -> Found:
    """Look within the time of a step; whatever goes wrong is a Fault."""
    try:
        with trio.fail_after(STEP_WITHIN_S):
            return await look()
    except NoAnswer as error:
        raise fault_of(error) from None
    except CredentialError as error:
        raise Fault(Phase.AUTH, str(error)) from None
    except TLSSettingsError as error:
        raise Fault(Phase.TLS, str(error)) from None
    except trio.TooSlowError:
        raise Fault(Phase.HTTP, f"no end of it within {STEP_WITHIN_S:g} s") from None
