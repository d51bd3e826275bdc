"""What of a batch had not left when its answer was complete."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from edged.store.records import Instance
from edged.upstream.heard import unsent_of
from edged.upstream.message import Response
from edged.upstream.stow import store_body
from tests.support.store_kit import instance_of


@dataclass(frozen=True, slots=True)
class Marked:
    """A form of bytes that tell whose they are."""

    number: int
    length: int

    @property
    def instance(self) -> Instance:
        return instance_of(b"", f"1.{self.number}")

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        yield bytes([self.number]) * self.length


def response(*, request_sent: bool, sent_bytes: int = 0) -> Response:
    return Response(200, (), b"", False, "1.1", request_sent=request_sent, sent_bytes=sent_bytes)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.floats(0, 1))
async def test_whatever_may_not_have_left_is_named(sizes: list[int], share: float) -> None:
    body = store_body([Marked(128 + number, size) for number, size in enumerate(sizes)])
    payload = b"".join([bytes(piece) async for piece in body.pieces()])
    sent_bytes = int(len(payload) * share)
    unsent = unsent_of(response(request_sent=False, sent_bytes=sent_bytes), body.ends())
    left = payload[:sent_bytes]
    whole = {f"1.{form.number}" for form in body.forms if left.count(form.number) == form.length}
    assert unsent == {f"1.{form.number}" for form in body.forms} - whole


def test_of_a_request_that_left_nothing_is_missing() -> None:
    body = store_body([Marked(1, 100)])
    assert unsent_of(response(request_sent=True), body.ends()) == frozenset()
