"""Messages of a WebSocket from their fragments: any fragments make the same message, and hold no more than it."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.server.websocket_message import Assembly, MessageTooBig

LIMIT = 1000


def fragments(whole: str | bytes, cuts: list[int]) -> list[str | bytes]:
    ends = sorted(min(cut, len(whole)) for cut in cuts)
    return [whole[begin:end] for begin, end in pairwise([0, *ends, len(whole)])]


@given(st.lists(st.one_of(st.text(), st.binary()), max_size=4), st.lists(st.integers(0, 50), max_size=6))
def test_any_fragments_make_the_same_messages(messages: list[str | bytes], cuts: list[int]) -> None:
    assembly = Assembly(LIMIT)
    for whole in messages:
        *parts, last = fragments(whole, cuts)
        assert [assembly.add(part, finished=False) for part in parts] == [None] * len(parts)
        kind = "text" if isinstance(whole, str) else "bytes"
        assert assembly.add(last, finished=True) == {"type": "websocket.receive", kind: whole}


@given(st.lists(st.tuples(st.one_of(st.text(max_size=300), st.binary(max_size=900)), st.booleans())))
def test_no_message_is_longer_than_the_limit_and_nothing_else_is_refused(
    pieces: list[tuple[str | bytes, bool]],
) -> None:
    assembly, size, text = Assembly(LIMIT), 0, False
    for data, finished in pieces:
        text = isinstance(data, str) if not size else text
        if isinstance(data, str) is not text:
            continue
        size += len(data.encode() if isinstance(data, str) else data)
        if size > LIMIT:
            with pytest.raises(MessageTooBig):
                assembly.add(data, finished=finished)
            size = 0
            continue
        assert (assembly.add(data, finished=finished) is not None) is finished
        size = 0 if finished else size


@pytest.mark.parametrize("octet", [b"x", "x", b"", ""])
def test_fragments_take_no_more_room_than_their_octets(octet: str | bytes) -> None:
    assembly = Assembly(100_000)
    for _ in range(100_000):
        assembly.add(octet, finished=False)
    held = [getattr(assembly, name) for name in vars(assembly)]
    assert sum(map(sys.getsizeof, held)) < 130_000
    assert assembly.add(octet, finished=True) if not octet else True


def test_a_message_in_one_piece_is_not_copied() -> None:
    whole = bytes(1000)
    message = Assembly(LIMIT).add(whole, finished=True)
    assert message is not None
    assert message["bytes"] is whole
