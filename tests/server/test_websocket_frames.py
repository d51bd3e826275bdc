"""Messages as frames on their way out: as another codec reads them, made once, and not for ever."""

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from edged.server import websocket_frames
from edged.server.websocket_deflate import Agreed
from edged.server.websocket_frames import LEAST_BYTES, Frames

BIG = '{"a report": "of many lines"}' * 500


def read(octets: bytes, window_bits: int | None) -> str | bytes:
    """The message in a frame, as a client reads it."""
    extension = PerMessageDeflate()
    if window_bits is not None:
        extension.finalize(Agreed(window_bits, named=True).answer)
    codec = Connection(ConnectionType.CLIENT, [extension])
    codec.receive_data(octets)
    events = [each for each in codec.events() if isinstance(each, TextMessage | BytesMessage)]
    if isinstance(events[0], TextMessage):
        return "".join(str(each.data) for each in events)
    return b"".join(bytes(each.data) for each in events if isinstance(each, BytesMessage))


@given(
    st.one_of(st.text(max_size=50), st.binary(max_size=50)),
    st.sampled_from([1, 3, 100, 2000]),
    st.sampled_from([None, *range(9, 16)]),
)
def test_a_frame_is_read_as_its_message(part: str | bytes, times: int, window_bits: int | None) -> None:
    message = part * times
    assert read(Frames().of(message, window_bits).octets, window_bits) == message


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536])
def test_every_form_of_a_length(size: int) -> None:
    assert read(Frames().of(bytes(size), None).octets, None) == bytes(size)


def test_a_large_message_is_smaller_where_that_was_negotiated() -> None:
    frames = Frames()
    assert len(frames.of(BIG, 15).octets) < len(frames.of(BIG, None).octets) / 10
    assert len(frames.of(BIG.encode(), 15).octets) < len(BIG) / 10


@pytest.mark.parametrize("message", ["x" * (LEAST_BYTES - 1), bytes(range(256)), ""])
def test_a_small_message_is_not_compressed(message: str | bytes) -> None:
    frames = Frames()
    assert frames.of(message, 15).octets == frames.of(message, None).octets


def test_what_would_not_become_smaller_is_sent_as_it_is() -> None:
    noise = bytes(each * each * 7919 % 251 for each in range(300)) + b"".join(
        (each * 2_654_435_761 % (1 << 32)).to_bytes(4, "big") for each in range(300)
    )
    assert len(noise) >= LEAST_BYTES
    octets = Frames().of(noise, 15).octets
    assert len(octets) <= len(noise) + 4


def test_what_many_are_sent_is_made_once() -> None:
    frames = Frames()
    again = "".join([BIG[:7], BIG[7:]])
    assert again is not BIG
    for window in (None, 15, 9):
        assert frames.of(BIG, window) is frames.of(BIG, window)
        assert frames.of(again, window) is frames.of(BIG, window)
    assert frames.of(BIG, 15) is not frames.of(BIG, None)
    assert frames.of(BIG.encode(), None) is not frames.of(BIG, None)


def test_no_more_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_frames, "KEPT_BYTES", 10_000)
    frames = Frames()
    first = weakref.ref(frames.of(bytes(1500), None))
    for number in range(1, 100):
        frames.of(bytes([number]) * 1500, None)
        assert frames._bytes <= 10_000
        assert frames._bytes == sum(len(key[0]) + len(each.octets) for key, each in frames._kept.items())
    assert first() is None
    assert len(frames._held) == len(frames._kept)


@pytest.mark.parametrize("size", [1500, 20_000])  # the latter is more than all that is kept
def test_what_a_session_holds_is_not_made_again_and_not_held_for_longer(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(websocket_frames, "KEPT_BYTES", 10_000)
    frames = Frames()
    held = frames.of(bytes(size), None)
    for number in range(1, 100):
        frames.of(bytes([number]) * 1500, None)
    assert frames.of(bytes(size), None) is held
    gone = weakref.ref(held)
    del held
    for number in range(1, 100):
        frames.of(bytes([number]) * 1500, None)
    assert gone() is None


def test_what_is_larger_than_all_that_is_kept_drives_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_frames, "KEPT_BYTES", 10_000)
    frames = Frames()
    first = weakref.ref(frames.of(bytes(1500), None))
    frames.of(bytes(20_000), None)
    assert first() is not None
    assert len(frames._held) == 1
