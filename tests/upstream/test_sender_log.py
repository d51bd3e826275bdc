"""What the log says of sending: what was stored, and in an outage why nothing was, ever more rarely."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, report, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'
SENDER = "edged.upstream.sender"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == SENDER]


async def test_a_destination_that_is_not_there_is_told_ever_more_rarely(
    tmp_path: Path, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", SENDER)
    port = free_port()
    async with forwarding(tmp_path, destination(f"http://127.0.0.1:{port}", commitment=SEARCH)) as box:
        await box.take_made(named(1))
        for _ in range(20):
            await box.pass_time(300)
    told = lines(caplog)
    assert 3 <= len(told) <= 6
    assert all(
        each.startswith(f"could not send 1 instance to archive: tcp: cannot connect to 127.0.0.1:{port}")
        for each in told
    )


async def test_what_is_stored_is_counted_and_what_is_refused_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", SENDER)
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box,
    ):
        archive.on_store = lambda _: Reply(503)
        await box.take_made(*(named(number) for number in range(1, 4)))
        await box.pass_time(0)
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 3}, step_s=1)
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xC000))
        await box.take_made(named(4))
        await box.until(lambda: "parked:archive" in box.condition_names(), step_s=1)
    told = lines(caplog)
    assert told[0].startswith("could not send ")
    assert told[0].endswith(" to archive: HTTP 503")
    assert any(each.startswith("sent ") and each.endswith(" bytes to archive") for each in told)
    assert told[-1] == "could not send 1 instance to archive: HTTP 409"
