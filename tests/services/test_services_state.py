"""The state object: complete, null where nothing is known, and honest about destinations that left the settings."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edged.store.instances import find_instance
from edged.store.queue import destination_names, move
from edged.store.records import Delivery, DeliveryState
from edged.telemetry.clock import ManualClock
from edged.telemetry.live import DestinationLive, DestinationState, LastError, Phase, Service
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import moved
from tests.support.stow_kit import made, named

KEYS = {
    "name",
    "required",
    "commitment",
    "state",
    "phase",
    "last_error",
    "http",
    "http_reason",
    "workers",
    "rate_limit_bytes_per_s",
    "proof",
    "service",
    "notifications",
    "queued",
    "queued_bytes",
    "on_hold",
    "stuck",
    "sent",
    "committed",
    "taken_back",
    "parked",
    "oldest_unsent_s",
    "oldest_uncommitted_s",
    "rate_bytes_per_s",
}
UNKNOWN_AT_FIRST = {
    "state",
    "phase",
    "last_error",
    "http",
    "http_reason",
    "workers",
    "rate_limit_bytes_per_s",
    "proof",
    "service",
    "notifications",
    "oldest_unsent_s",
    "oldest_uncommitted_s",
    "rate_bytes_per_s",
}
OTHER = '[[destination]]\nname = "other"\nurl = "http://127.0.0.1:9"\nrequired = false\ncommitment = ["search"]\n'


async def destinations(box: Box) -> list[Any]:
    state = await box.parts.state.state(box.conditions)
    told = state["destinations"]
    assert isinstance(told, list)
    return told


async def test_unknown_is_null_and_nothing_is_absent(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        [archive] = await destinations(box)
    assert set(archive) == KEYS
    assert {key for key, value in archive.items() if value is None} == UNKNOWN_AT_FIRST
    assert (archive["required"], archive["commitment"]) == (True, ["dicomweb"])


async def test_what_is_published_of_a_destination_is_told(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        live = DestinationLive(
            state=DestinationState.RETRYING,
            phase=Phase.TCP,
            last_error=LastError(phase=Phase.TCP, text="connection refused", time=1.0),
            http="2",
            http_reason="its window is large",
            workers=3,
            rate_limit=2.5e6,
            proof="search",
            service=Service.NOT_OFFERED,
        )
        box.parts.live.publish_destination("archive", live)
        [archive] = await destinations(box)
    told = {key: archive[key] for key in ("http", "http_reason", "workers", "rate_limit_bytes_per_s", "proof")}
    assert told == {
        "http": "2",
        "http_reason": "its window is large",
        "workers": 3,
        "rate_limit_bytes_per_s": 2.5e6,
        "proof": "search",
    }
    assert (archive["state"], archive["phase"], archive["service"]) == ("retrying", "tcp", "not-offered")
    assert archive["last_error"] == {"phase": "tcp", "text": "connection refused", "time": 1.0}


@pytest.mark.parametrize(
    ("state", "key"),
    [
        (DeliveryState.ON_HOLD, "on_hold"),
        (DeliveryState.STUCK, "stuck"),
        (DeliveryState.SENT, "sent"),
        (DeliveryState.PARKED, "parked"),
    ],
)
async def test_every_state_is_counted(state: DeliveryState, key: str, tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        await box.stow(made(named(1)), made(named(2)))
        await moved(box, named(1), state)
        [archive] = await destinations(box)
        unsent = state in {DeliveryState.ON_HOLD, DeliveryState.STUCK}
    assert (archive[key], archive["queued"]) == (1, 2 if unsent else 1)
    assert archive["oldest_uncommitted_s"] == 0


async def test_commitments_that_were_taken_back_are_counted(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        await box.stow(made(named(1)))
        await moved(box, named(1), DeliveryState.COMMITTED, proof="dicomweb")
        await moved(box, named(1), DeliveryState.SENT)
        [archive] = await destinations(box)
    assert (archive["committed"], archive["taken_back"], archive["sent"]) == (0, 1, 1)


async def test_a_destination_that_left_the_settings_is_told_as_long_as_something_waits_for_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened_box(tmp_path, ARCHIVE + OTHER, clock=clock, keep=True) as box:
        await box.stow(made(named(1)))
        assert [each["name"] for each in await destinations(box)] == ["archive", "other"]
    clock.advance(60.0)
    async with opened_box(tmp_path, ARCHIVE, clock=clock) as box:
        archive, other = await destinations(box)
        assert set(other) == KEYS
        assert (other["name"], other["state"], other["required"]) == ("other", "held", None)
        assert (other["queued"], other["oldest_unsent_s"], other["workers"]) == (1, 60.0, None)
        assert archive["queued"] == 1
        await moved_at(box, "other", DeliveryState.COMMITTED)
        assert [each["name"] for each in await destinations(box)] == ["archive"]


async def moved_at(box: Box, destination: str, state: DeliveryState) -> None:
    """Bring the first instance to a state at any destination ever configured."""
    names = {name: number for number, name in (await box.store.read(destination_names)).items()}
    found = await box.store.read(partial(find_instance, sop_instance_uid=named(1).instance))
    assert found is not None
    to = Delivery(state=state, since=box.clock.wall(), proof="search")
    there = names[destination]
    assert await box.store.write(lambda txn: move(txn, found[0], there, expected=tuple(DeliveryState), to=to))


async def test_who_follows_the_events(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        await box.stow(made(named(1)))
        state: Any = await box.parts.state.state(box.conditions)
        assert state["notifications"] == {
            "newest_event": 1,
            "oldest_event": 1,
            "connected": 0,
            "named_total": 0,
            "named": [],
        }
