"""permessage-deflate (RFC 7692): what is negotiated, and messages that come out as they went in, within a bound."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from edged.server.websocket_deflate import TAIL, Agreed, Inflating, OfferError, agreed_of, deflated
from tests.support.websocket_raw import BINARY, CONTINUATION, FIN, RSV1, TEXT, frame, ping

LIMIT = 100_000
WINDOWS = range(9, 16)


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([], None),
        ([b""], None),
        ([b"permessage-deflate"], Agreed()),
        ([b"Permessage-Deflate ; client_max_window_bits"], Agreed()),
        ([b"permessage-deflate; client_max_window_bits=10; client_no_context_takeover"], Agreed()),
        ([b"permessage-deflate; server_no_context_takeover"], Agreed()),
        ([b"permessage-deflate; server_max_window_bits=9"], Agreed(9, named=True)),
        ([b'permessage-deflate; server_max_window_bits="12"'], Agreed(12, named=True)),
        ([b"permessage-deflate; server_max_window_bits=15"], Agreed(15, named=True)),
        ([b"permessage-deflate; server_max_window_bits=8"], None),
        ([b"permessage-deflate; server_max_window_bits=16"], None),
        ([b"permessage-deflate; server_max_window_bits=012"], None),
        ([b"permessage-deflate; server_max_window_bits"], None),
        ([b"permessage-deflate; client_max_window_bits=7"], None),
        ([b"permessage-deflate; server_no_context_takeover=1"], None),
        ([b"permessage-deflate; unknown"], None),
        ([b"permessage-deflate; client_max_window_bits; client_max_window_bits"], None),
        ([b"x-webkit-deflate-frame, permessage-deflate; unknown, permessage-deflate"], Agreed()),
        ([b"permessage-bzip2", b"permessage-deflate; server_max_window_bits=8, permessage-deflate"], Agreed()),
    ],
)
def test_what_is_taken_of_an_offer(offered: list[bytes], agreed: Agreed | None) -> None:
    assert agreed_of(offered) == agreed


@pytest.mark.parametrize(
    "offered",
    [b"permessage-deflate;", b"a b", b";", b"a=1", b"a; b=", b'a; b="', b'a; b="c d"', b"\xff", b"a;;b", b"a; b=c=d"],
)
def test_what_is_no_list_of_extensions(offered: bytes) -> None:
    with pytest.raises(OfferError):
        agreed_of([offered])


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_offer_is_taken_or_not_or_an_error(offered: list[bytes]) -> None:
    try:
        agreed_of(offered)
    except OfferError:
        return


def test_the_answer_is_what_a_client_expects() -> None:
    assert Agreed().answer == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert Agreed(10, named=True).answer.endswith("; server_max_window_bits=10")


@given(st.binary(max_size=5000), st.sampled_from(WINDOWS))
def test_what_goes_out_compressed_is_the_message(message: bytes, window: int) -> None:
    client = PerMessageDeflate()
    client.finalize(Agreed(window, named=True).answer)
    codec = Connection(ConnectionType.CLIENT, [client])
    octets = deflated(message, window)
    size = bytes([len(octets)]) if len(octets) < 126 else b"\x7e" + len(octets).to_bytes(2, "big")
    for _ in range(2):
        codec.receive_data(frame(FIN | RSV1 | BINARY, octets, size=size, masked=False))
        assert b"".join(bytes(each.data) for each in codec.events() if isinstance(each, BytesMessage)) == message


def made_of(octets: bytes, cuts: list[int], limit: int = LIMIT) -> list[Event]:
    """What the server's codec makes of octets that come in pieces."""
    codec = Connection(ConnectionType.SERVER, [Inflating(limit)])
    events: list[Event] = []
    begin = 0
    for end in [*sorted(min(cut, len(octets)) for cut in cuts), len(octets)]:
        codec.receive_data(octets[begin:end])
        events += codec.events()
        begin = end
    return events


def compressed(message: bytes, *, final: bool = False) -> bytes:
    """As another implementation does it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    if final:
        return compressor.compress(message) + compressor.flush(zlib.Z_FINISH) + b"\x00"
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


@given(
    st.lists(st.tuples(st.text(max_size=300), st.booleans(), st.booleans()), max_size=4),
    st.lists(st.integers(0, 3000), max_size=8),
    st.integers(1, 40),
)
def test_fragments_with_pings_between_them_make_the_same_messages(
    messages: list[tuple[str, bool, bool]], cuts: list[int], size: int
) -> None:
    octets = b""
    for message, smaller, final in messages:
        payload = compressed(message.encode(), final=final) if smaller else message.encode()
        pieces = [payload[begin : begin + size] for begin in range(0, len(payload), size)] or [b""]
        for index, piece in enumerate(pieces):
            first = (TEXT | (RSV1 if smaller else 0)) if index == 0 else CONTINUATION
            octets += frame(first | (FIN if index == len(pieces) - 1 else 0), piece) + ping(b"still there?")
    events = made_of(octets, cuts)
    found, whole = [""], []
    for each in events:
        assert isinstance(each, TextMessage | Ping)
        if isinstance(each, Message):
            found.append(each.data)
            if each.message_finished:
                whole.append("".join(found))
                found = [""]
    assert whole == [message for message, _, _ in messages]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(FIN | RSV1 | TEXT, b"\xff\xff\xff"), 1007),
        (frame(FIN | RSV1 | TEXT, compressed(b"\xff\xff")), 1007),
        (frame(FIN | RSV1 | TEXT, compressed(b"x", final=True) + b"more"), 1007),
        (frame(RSV1 | TEXT, compressed(b"x")) + frame(FIN | RSV1 | CONTINUATION, b""), 1002),
        (frame(FIN | RSV1 | 9, b""), 1002),
        (frame(FIN | 0x20 | TEXT, b""), 1002),
        (frame(FIN | RSV1 | BINARY, compressed(bytes(LIMIT + 1))), 1009),
        (frame(RSV1 | BINARY, compressed(bytes(LIMIT)) + TAIL) + frame(FIN, compressed(b"x")), 1009),
    ],
)
@pytest.mark.parametrize("cuts", [[], [7], list(range(300))])
def test_what_breaks_the_rules_is_told_by_its_code(octets: bytes, code: int, cuts: list[int]) -> None:
    last = made_of(octets, cuts)[-1]
    assert isinstance(last, CloseConnection)
    assert last.code == code


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_anything_compressed_is_a_message_or_a_fault(payload: bytes, cuts: list[int]) -> None:
    for each in made_of(frame(FIN | RSV1 | BINARY, payload), cuts):
        assert isinstance(each, BytesMessage | CloseConnection)


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = compressed(bytes(200 << 20))
    octets = frame(FIN | RSV1 | BINARY, bomb, size=b"\x7f" + len(bomb).to_bytes(8, "big"))
    tracemalloc.start()
    try:
        [fault] = made_of(octets, [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(fault, CloseConnection)
    assert fault.code == 1009
    assert peak < len(octets) * 4 + LIMIT * 4
