"""The Store transaction when there is no room, or too much at once: 503, 413, and what is told of each instance."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edged.dicom.reasons import FailureReason
from edged.store.space import OVERHEAD_BYTES
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.stow_kit import MULTIPART, Report, json_report, made, multipart, named

MIB = 1 << 20
ONE, TWO, THREE = named(1), named(2), named(3)
CHUNKED = {"Content-Type": MULTIPART, "Transfer-Encoding": "chunked"}


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Box]:
    """A box that takes instances of 1 MiB at most."""
    config = f'[origin]\nbind = ["http://127.0.0.1:0"]\nmax_instance = "1MiB"\n{ARCHIVE}'
    async with opened_box(tmp_path, config) as opened:
        yield opened


@contextmanager
def full(box: Box, *, free: int = 0) -> Iterator[None]:
    """Somebody has announced so much that `free` bytes are left."""
    reservation = box.store.space.open(box.store.space.free - free - OVERHEAD_BYTES)
    assert box.store.space.free == free
    try:
        yield
    finally:
        reservation.close()


def never() -> Iterator[bytes]:
    """A body that nobody may ask for."""
    yield from map(pytest.fail, ["the body was read"])


async def announce(box: Box, size: int, content_type: str = MULTIPART) -> Answer:
    headers = {"Content-Type": content_type, "Content-Length": str(size)}
    return await call(box.application, Asked("POST", "/studies", headers, never()))


async def chunked(box: Box, *parts: bytes) -> Answer:
    return await box.ask("POST", "/studies", CHUNKED, multipart(parts))


def is_refused_for_room(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0


async def test_what_is_announced_and_has_no_room_is_refused_before_its_body(box: Box) -> None:
    with full(box, free=10 * MIB):
        answer = await announce(box, 10 * MIB)
        assert is_refused_for_room(answer)
        assert json_report(answer.body) == Report({}, {}, [FailureReason.OUT_OF_RESOURCES], None, {})
        assert (await box.stow(made(ONE))).status == 200


async def test_a_refusal_for_room_honours_accept(box: Box) -> None:
    with full(box):
        headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+xml"}
        answer = await box.ask("POST", "/studies", headers, multipart([made(ONE)]))
        assert is_refused_for_room(answer)
        assert answer.headers["content-type"] == "application/dicom+xml"


async def test_a_request_without_a_length_is_refused_by_instance(box: Box) -> None:
    parts = made(ONE, size=70_000), made(TWO, size=80_000)
    with full(box, free=OVERHEAD_BYTES + 40_000):
        answer = await chunked(box, *parts)
        assert is_refused_for_room(answer)
        reason = FailureReason.OUT_OF_RESOURCES
        assert json_report(answer.body).failed == {ONE.instance: reason, TWO.instance: reason}
    assert (await chunked(box, *parts)).status == 200


async def test_what_fits_is_stored(box: Box) -> None:
    large = made(TWO, size=1 * MIB)
    with full(box, free=OVERHEAD_BYTES + 300_000):
        answer = await chunked(box, made(ONE), large, made(THREE))
        assert answer.status == 202
        report = json_report(answer.body)
        assert set(report.stored) == {ONE.instance, THREE.instance}
        assert report.failed == {TWO.instance: FailureReason.OUT_OF_RESOURCES}


async def test_an_instance_that_is_spooled_and_then_has_no_room_leaves_nothing(box: Box) -> None:
    with full(box, free=OVERHEAD_BYTES + 20 * MIB):
        answer = await chunked(box, made(ONE, size=40 * MIB))
        assert is_refused_for_room(answer)
        assert list(json_report(answer.body).failed) == [ONE.instance]


async def test_refused_parts_give_their_room_back_at_once(box: Box) -> None:
    wrong = [made(ONE, size=400_000)[:-10]] * 20
    with full(box, free=OVERHEAD_BYTES + 600_000):
        answer = await chunked(box, *wrong, made(TWO, size=400_000))
        assert answer.status == 202
        assert set(json_report(answer.body).stored) == {TWO.instance}


async def test_once_begun_a_request_of_known_length_has_its_room(box: Box) -> None:
    body = multipart([made(ONE), made(TWO, size=3 * MIB), made(THREE)])
    taken = []

    def pieces() -> Iterator[bytes]:
        yield body[:5000]
        taken.append(full(box))
        taken[0].__enter__()
        yield body[5000:]

    headers = {"Content-Type": MULTIPART, "Content-Length": str(len(body))}
    answer = await call(box.application, Asked("POST", "/studies", headers, pieces()))
    taken[0].__exit__(None, None, None)
    assert answer.status == 200
    assert len(json_report(answer.body).stored) == 3


async def test_what_could_never_fit_is_413(box: Box) -> None:
    answer = await announce(box, box.store.space.soft_cap + 1)
    assert answer.status == 413
    assert "retry-after" not in answer.headers
    assert (await announce(box, 10**30)).status == 413


async def test_a_single_instance_beyond_the_limit_is_413(small: Box) -> None:
    answer = await announce(small, MIB + 1, "application/dicom")
    assert answer.status == 413
    exact = made(ONE, size=MIB)
    assert (await small.ask("POST", "/studies", {"Content-Type": "application/dicom"}, exact)).status == 200


async def test_one_instance_beyond_the_limit_fails_alone(small: Box) -> None:
    answer = await chunked(small, made(ONE), made(TWO, size=MIB + 1000), made(THREE))
    assert answer.status == 202
    report = json_report(answer.body)
    assert set(report.stored) == {ONE.instance, THREE.instance}
    assert report.failed == {TWO.instance: FailureReason.PROCESSING_FAILURE}
    single = {"Content-Type": "application/dicom", "Transfer-Encoding": "chunked"}
    alone = await small.ask("POST", "/studies", single, made(TWO, size=20 * MIB))
    assert alone.status == 409
    assert json_report(alone.body).failed == {TWO.instance: FailureReason.PROCESSING_FAILURE}
