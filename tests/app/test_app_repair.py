"""A whole box repairs what turned in its store, by itself."""

from functools import partial
from pathlib import Path

import pytest
import trio

from edged.services import scrub
from edged.services.repair import FAILED
from edged.store.queue import figures
from edged.store.records import DeliveryState
from tests.conftest import ExpectedLogs
from tests.support.box_kit import served_box
from tests.support.forwarding_kit import destination
from tests.support.http_client import connected
from tests.support.repair_kit import flip
from tests.support.scripted_archive import scripted_archive
from tests.support.stow_kit import MULTIPART, made, multipart, named


async def test_a_box_repairs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> None:
    monkeypatch.setattr(scrub, "REST_S", 0.0)
    monkeypatch.setattr(scrub, "PASS_S", 0.0)
    monkeypatch.setattr(scrub, "LEAST_PAUSE_S", 0.0)
    expected_logs.expect("holds other bytes")
    expected_logs.expect("is repaired: archive gave it back")
    given = made(named(1))
    async with (
        scripted_archive() as (archive, _),
        served_box(tmp_path, destination(archive.url, commitment='["stored"]')) as box,
        connected(box.urls[0]) as client,
    ):
        await client.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([given]))
        committed = partial(figures, destination=box.routes.ids["archive"], state=DeliveryState.COMMITTED)
        with trio.fail_after(20):
            while box.store.read_now(committed).rows == 0:
                await box.bells.logged.wait(0.2)
            await box.store.write(partial(flip, number=1))
            while not archive.retrieves or box.conditions.stands(FAILED):
                await box.bells.logged.wait(0.2)
        answered = await client.ask("GET", named(1).path, {"Accept": "application/dicom; transfer-syntax=*"})
        assert answered.body == given
