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

    async def said(self, reference: Reference) -> Proof | Unproven:
        """What is said of one instance alone."""
        answers = await self.witness.ask([reference])
        assert answers.keys() == {reference}
        return answers[reference]


@asynccontextmanager
async def asking(kinds: str, *, at_once: int = 500) -> AsyncIterator[Asking]:
    clock = ManualClock()
    box = Surroundings(cast("Store", None), clock, live=Live(), conditions=Conditions(clock), bells=Bells())
    async with scripted_archive() as (archive, _):
        text = f'[[destination]]\nname = "archive"\nurl = "{archive.url}"\ncommitment = {kinds}\n'
        text += f"commitment_instances = {at_once}\n"
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
        assert await at.said(REFERENCE) is said
        assert at.archive.looks == []


@pytest.mark.parametrize("later", [committed([ONE.instance]), Reply(404)])
async def test_an_answer_that_comes_later_is_asked_for_under_the_same_uid(later: Reply) -> None:
    async with asking(BOTH) as at:
        at.archive.on_commitment = lambda _: Reply(202)
        assert await at.said(REFERENCE) is Unproven.LATER
        assert await at.said(REFERENCE) is Unproven.LATER
        at.archive.on_commitment = lambda _: later
        assert await at.said(REFERENCE) is (Proof.DICOMWEB if later.status == 200 else Unproven.LATER)
        assert [asked.method for asked in at.archive.commitments] == ["POST", "GET", "GET"]
        assert len({asked.transaction_uid for asked in at.archive.commitments}) == 1
        await at.said(REFERENCE)
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
        assert await at.said(REFERENCE) is said
        assert at.archive.commitments == []


async def test_a_search_is_made_where_the_request_says_that_it_is() -> None:
    paths: list[str] = []

    def look(asked: Asked) -> Reply:
        paths.append(asked.path)
        return Reply(204)

    async with asking(BOTH) as at:
        at.archive.on_look = look  # and the archive offers no storage commitment
        for reference in (REFERENCE, PLACED):
            assert await at.said(reference) is Unproven.ABSENT
    query = f"/instances?SOPInstanceUID={ONE.instance}"
    assert paths == [f"/dicom-web{query}", f"/dicom-web/studies/{ONE.study}/series/{ONE.series}{query}"]


async def test_where_neither_is_listed_nothing_is_asked() -> None:
    async with asking('["stored"]') as at:
        assert await at.said(REFERENCE) is Unproven.UNTOLD
        assert (at.archive.commitments, at.archive.looks) == ([], [])


def of(*numbers: int, sop_class: str = CT) -> list[Reference]:
    return [Reference(sop_class_uid=sop_class, sop_instance_uid=named(each).instance) for each in numbers]


async def test_many_are_asked_for_at_once_and_none_twice_in_one_request() -> None:
    wanted = [*of(*range(5)), *of(0, sop_class="1.2.840.10008.5.1.4.1.1.7")]
    async with asking(BY_REQUEST, at_once=3) as at:
        at.archive.on_commitment = lambda asked: committed(asked.listed)
        said = await at.witness.ask(wanted)
    listed = [asked.listed for asked in at.archive.commitments]
    assert [len(each) for each in listed] == [3, 3]
    assert all(len(set(each)) == len(each) for each in listed)
    assert said == dict.fromkeys(wanted[:5], Proof.DICOMWEB) | {wanted[5]: Unproven.LATER}, "committed says the class"


async def test_what_comes_later_is_asked_for_as_it_was_and_kept_while_nobody_answers() -> None:
    first, more = of(1, 2), of(3)
    async with asking(BY_REQUEST) as at:
        at.archive.on_commitment = lambda _: Reply(202)
        assert set((await at.witness.ask(first)).values()) == {Unproven.LATER}
        at.archive.on_commitment = lambda _: Reply(503)
        assert set((await at.witness.ask([*first, *more])).values()) == {Unproven.UNANSWERED}
        at.archive.on_commitment = lambda asked: committed(
            asked.listed if asked.method == "POST" else [each.sop_instance_uid for each in first]
        )
        assert set((await at.witness.ask([*first, *more])).values()) == {Proof.DICOMWEB}
    told = [(asked.method, asked.transaction_uid) for asked in at.archive.commitments]
    assert [method for method, _ in told] == ["POST", "GET", "GET", "POST"], "who does not answer is not asked on"
    assert len({uid for _, uid in told[:3]}) == 1


@pytest.mark.parametrize("status", [400, 413])
async def test_one_that_spoils_a_request_is_told_from_the_others(status: int) -> None:
    wanted = of(1, 2, 3)
    async with asking(BOTH) as at:
        spoilt = wanted[1].sop_instance_uid
        at.archive.on_commitment = lambda asked: Reply(status) if spoilt in asked.listed else committed(asked.listed)
        at.archive.on_look = lambda _: Reply(204)
        said = await at.witness.ask(wanted)
    assert list(said.values()) == [Proof.DICOMWEB, Unproven.ABSENT, Proof.DICOMWEB]


async def test_a_search_that_is_not_answered_is_the_last_one() -> None:
    async with asking(BY_SEARCH) as at:
        at.archive.on_look = lambda _: Reply(503)
        said = await at.witness.ask(of(*range(50)))
    assert set(said.values()) == {Unproven.UNANSWERED}
    assert len(at.archive.looks) <= 8
