"""What a destination says of an instance that the box does not have: a commitment proves, a search can only deny."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from edged.config import Proof, parse
from edged.services.bell import Bells
from edged.services.commitment_evidence import Unproven, Witness
from edged.store.records import Reference
from edged.store.store import Store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from edged.upstream.asking import asking_for
from edged.upstream.connection import open_client
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.endpoint import Endpoint
from edged.upstream.reaching import client_settings
from edged.upstream.witness import witness_for
from tests.support.scripted_archive import JSON, Asked, Reply, ScriptedArchive, committed, scripted_archive
from tests.support.stow_kit import CT, named

ONE, TWO = named(1), named(2)
REFERENCE = Reference(sop_class_uid=CT, sop_instance_uid=ONE.instance)
PLACED = Reference(
    sop_class_uid=CT, sop_instance_uid=ONE.instance, study_instance_uid=ONE.study, series_instance_uid=ONE.series
)
BOTH, BY_REQUEST, BY_SEARCH = '["dicomweb", "search"]', '["dicomweb"]', '["search", "stored"]'


@dataclass
class Asking:
    """An archive and the witness who asks it."""

    archive: ScriptedArchive
    witness: Witness


@asynccontextmanager
async def asking(kinds: str) -> AsyncIterator[Asking]:
    clock = ManualClock()
    box = Surroundings(cast("Store", None), clock, live=Live(), conditions=Conditions(clock), bells=Bells())
    async with scripted_archive() as (archive, _):
        text = f'[[destination]]\nname = "archive"\nurl = "{archive.url}"\ncommitment = {kinds}\n'
        [settings] = parse(text, {}).destinations
        destination = Destination(1, settings, box)
        async with open_client(Endpoint.parse(settings.url), client_settings(destination)) as client:
            yield Asking(archive, witness_for(destination, asking_for(destination, client)))


def result(sop_class: str, uid: str) -> Reply:
    item = {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [uid]}}
    return Reply(200, json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode(), (("content-type", JSON),))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (committed([ONE.instance]), Proof.DICOMWEB),
        (committed([], {ONE.instance: 0x0112}), Unproven.ABSENT),
        (committed([], {ONE.instance: 0x0110}), Unproven.LATER),
        (committed([], {ONE.instance: 0x0213}), Unproven.LATER),
        (committed([], {ONE.instance: 0x0119}), Unproven.UNTOLD),
        (committed([], {ONE.instance: 0x0122}), Unproven.UNTOLD),
        (committed([ONE.instance], {ONE.instance: 0x0110}), Unproven.LATER),
        (committed([TWO.instance]), Unproven.LATER),
        (result("1.2.840.10008.5.1.4.1.1.7", ONE.instance), Unproven.LATER),
        (Reply(200, b"<html>welcome</html>"), Unproven.UNTOLD),
        (Reply(202), Unproven.LATER),
        (Reply(409), Unproven.LATER),
        *((Reply(status), Unproven.UNTOLD) for status in (204, 400, 404, 405, 410, 415, 501)),
        *((Reply(status), Unproven.UNANSWERED) for status in (401, 403, 407, 408, 429, 500, 503)),
        (Reply(reset=True), Unproven.UNANSWERED),
    ],
)
async def test_what_a_request_tells(reply: Reply, said: Proof | Unproven) -> None:
    async with asking(BY_REQUEST) as at:
        at.archive.on_commitment = lambda _: reply
        assert await at.witness.ask(REFERENCE) is said
        assert at.archive.looks == []


@pytest.mark.parametrize("later", [committed([ONE.instance]), Reply(404)])
async def test_an_answer_that_comes_later_is_asked_for_under_the_same_uid(later: Reply) -> None:
    async with asking(BOTH) as at:
        at.archive.on_commitment = lambda _: Reply(202)
        assert await at.witness.ask(REFERENCE) is Unproven.LATER
        assert await at.witness.ask(REFERENCE) is Unproven.LATER
        at.archive.on_commitment = lambda _: later
        assert await at.witness.ask(REFERENCE) is (Proof.DICOMWEB if later.status == 200 else Unproven.LATER)
        assert [asked.method for asked in at.archive.commitments] == ["POST", "GET", "GET"]
        assert len({asked.transaction_uid for asked in at.archive.commitments}) == 1
        await at.witness.ask(REFERENCE)
        assert at.archive.commitments[-1].method == "POST"
        assert len({asked.transaction_uid for asked in at.archive.commitments}) == 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b"[]", (("content-type", JSON),)), Unproven.ABSENT),
        (Reply(204), Unproven.ABSENT),
        (Reply(200, b'[{"00080018": {"vr": "UI"}}]', (("content-type", JSON),)), Unproven.UNTOLD),
        (Reply(200, b""), Unproven.UNTOLD),
        (Reply(200, b"garbage"), Unproven.UNTOLD),
        *((Reply(status), Unproven.UNTOLD) for status in (400, 404, 406, 501)),
        *((Reply(status), Unproven.UNANSWERED) for status in (401, 403, 429, 502)),
        (Reply(reset=True), Unproven.UNANSWERED),
    ],
)
async def test_a_search_denies_and_never_proves(reply: Reply, said: Unproven) -> None:
    async with asking(BY_SEARCH) as at:
        at.archive.on_look = lambda _: reply
        assert await at.witness.ask(REFERENCE) is said
        assert at.archive.commitments == []


async def test_a_search_is_made_where_the_request_says_that_it_is() -> None:
    paths: list[str] = []

    def look(asked: Asked) -> Reply:
        paths.append(asked.path)
        return Reply(204)

    async with asking(BOTH) as at:
        at.archive.on_look = look  # and the archive offers no storage commitment
        for reference in (REFERENCE, PLACED):
            assert await at.witness.ask(reference) is Unproven.ABSENT
    query = f"/instances?SOPInstanceUID={ONE.instance}"
    assert paths == [f"/dicom-web{query}", f"/dicom-web/studies/{ONE.study}/series/{ONE.series}{query}"]


async def test_where_neither_is_listed_nothing_is_asked() -> None:
    async with asking('["stored"]') as at:
        assert await at.witness.ask(REFERENCE) is Unproven.UNTOLD
        assert (at.archive.commitments, at.archive.looks) == ([], [])
