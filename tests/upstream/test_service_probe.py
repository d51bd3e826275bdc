"""Whether storage commitment is offered: what a destination says of itself, and what a request shows."""

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.capabilities import application_json, capabilities_json, wadl
from edged.dicomweb.resources import ROUTES
from edged.dicomweb.wadl import wadl_xml
from edged.telemetry.live import Service
from edged.upstream.message import Response
from edged.upstream.service_probe import described
from tests.support.committing import Committing
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import named

WITHOUT = [route for route in ROUTES if "commitment-requests" not in route.template]
TREE = wadl("http://archive.example/dicom-web")
WHOLE = wadl_xml(TREE)
LESS = wadl_xml(wadl("http://archive.example/dicom-web", routes=WITHOUT))
BOTH = {"commitment": '["dicomweb", "search"]'}


def answered(body: bytes, status: int = 200) -> Response:
    """An answer."""
    return Response(status=status, headers=(), body=body, truncated=False, http_version="1.1")


@pytest.mark.parametrize("body", [WHOLE, capabilities_json(application_json(TREE))])
def test_a_description_that_lists_the_service(body: bytes) -> None:
    assert described(answered(body)) is Service.OFFERED


def test_a_description_that_does_not() -> None:
    assert described(answered(LESS)) is Service.NOT_OFFERED


@pytest.mark.parametrize(("status", "body"), [(405, WHOLE), (204, b""), (200, b""), (200, b"<html>studies</html>")])
def test_what_is_no_description_says_nothing(status: int, body: bytes) -> None:
    assert described(answered(body, status)) is Service.UNKNOWN


@given(st.integers(100, 999), st.binary(max_size=200))
def test_any_answer_is_read(status: int, body: bytes) -> None:
    assert described(answered(body, status)) in Service


async def test_it_is_asked_before_the_first_request_and_again_after_a_while(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **BOTH)) as box:
        archive.on_options = lambda _: Reply(200, LESS)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert [each.path for each in archive.options] == ["/dicom-web/"]
        assert len(archive.commitments) == 1  # an honest request is made all the same
        assert box.stands().service is Service.NOT_OFFERED
        assert box.condition_names() == {"weaker-proof:archive"}
        archive.on_options = lambda _: Reply(200, WHOLE)
        archive.on_commitment = Committing(archive).at_once
        await box.pass_time(700)
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 2}, step_s=1)
        assert len(archive.options) == 2
        assert box.delivery(named(2).instance).proof == "dicomweb"
        assert box.stands().service is Service.OFFERED
        assert box.condition_names() == set()


async def test_a_passing_404_of_one_that_offers_it_takes_no_proof_away(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **BOTH)) as box:
        archive.on_options = lambda _: Reply(200, WHOLE)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: bool(archive.commitments))
        for _ in range(8):
            await box.pass_time(5)
        assert box.at() == {"sent": 8}
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 8}, step_s=10)
        assert {box.delivery(named(n).instance).proof for n in range(1, 9)} == {"dicomweb"}
        assert archive.looks == []


async def test_refusals_that_are_repeated_are_believed_whatever_it_says(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **BOTH)) as box:
        archive.on_options = lambda _: Reply(200, WHOLE)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=30)
        assert box.delivery(named(1).instance).proof == "search"
        assert len(archive.commitments) == 3


@pytest.mark.parametrize("answer", [Reply(reset=True), Reply(500), Reply(401)])
async def test_that_it_does_not_say_holds_nothing_up(tmp_path: Path, answer: Reply) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_options = lambda _: answer
        archive.on_commitment = Committing(archive).at_once
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=1)


async def test_a_description_that_never_comes_holds_no_store_up(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_options = lambda _: Reply(after=trio.Event())
        await box.take_made(named(1))
        await box.until(lambda: bool(archive.options), step_s=1)
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"sent": 2}, step_s=1)
