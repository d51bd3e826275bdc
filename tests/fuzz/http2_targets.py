"""What the server reads of HTTP/2: frames, the state of a connection, field blocks, and the request in one.

What may live here: for each the function that holds its invariant. What is driven here is the codec alone, by a minimal
server that answers, faults and refuses as the real one does; the whole connection is in `connection_targets`.
"""

from hpack import Encoder

from edged.server.head_gate import Head, HeadError, is_host
from edged.server.http2_codec import Codec
from edged.server.http2_events import Event, Received, Requested, Trailed
from edged.server.http2_frames import ConnectionFault, ErrorCode, Frame, FrameReader
from edged.server.http2_outgoing import FieldReader
from edged.server.http2_request import Malformed, check_trailers, length_of, request_of
from edged.server.limits import Limits
from tests.fuzz.target import Target, however_cut
from tests.support.http2_raw import GET, block
from tests.support.http2_samples import CONNECTIONS

LIMITS = Limits(head_bytes=400, target_bytes=100, fields=8, streams=3)
FRAME_BYTES, BLOCK_BYTES = 300, 500
LIST_BYTES = 2000
ENTRY_BYTES = 32  # of each field, beside its octets (RFC 9113 6.5.2)
ANSWER = [(b":status", b"200"), (b"x-long", b"y" * 100)]
MOST_ANSWERED = 16
"""Octets out for each that came in: a HEADERS frame of ten brings an answer of 120."""


def http2_frames(octets: bytes) -> None:
    """The same frames however they are cut, no more octets than came; else ConnectionFault."""
    found, _ = however_cut(octets, _frames)
    assert sum(len(each.payload) for each in found) <= len(octets)
    assert all(len(each.payload) <= BLOCK_BYTES for each in found)


def _frames(pieces: list[bytes]) -> tuple[list[Frame], ErrorCode | None]:
    reader, found = FrameReader(frame_bytes=FRAME_BYTES, block_bytes=BLOCK_BYTES), list[Frame]()
    try:
        for piece in pieces:
            found.extend(reader.take(piece))
    except ConnectionFault as fault:
        return found, fault.code
    return found, None


def http2_codec(octets: bytes) -> None:
    """The same events and answers however the octets are cut, bounded by what came; else ConnectionFault."""
    _, _, written = however_cut(octets, _served)
    begun = Codec(LIMITS)
    begun.begin()
    assert len(written) <= begun.out.size + MOST_ANSWERED * len(octets) + 100
    _whole_frames(written)


def _served(pieces: list[bytes]) -> tuple[list[Event], ErrorCode | None, bytes]:
    codec, events, refused = Codec(LIMITS), list[Event](), set[int]()
    codec.begin()
    try:
        for piece in pieces:
            for event in codec.receive(piece, now=1.0):
                if event is not None:
                    events.append(event)
                    _react(codec, event, refused)
    except ConnectionFault as fault:
        codec.end(fault.code)
        return events, fault.code, codec.out.take()
    return events, None, codec.out.take()


def _react(codec: Codec, event: Event, refused: set[int]) -> None:
    """Do what the server does: a stream in four is answered at once, one only with its body, one is reset."""
    match event:
        case Requested(stream_id, fields):
            try:
                request_of(fields, LIMITS)
            except Malformed:
                codec.fault(stream_id, ErrorCode.PROTOCOL_ERROR)
            except HeadError:
                codec.refuse(stream_id, ANSWER, b"refused")
                refused.add(stream_id)
            else:
                if stream_id % 8 == 1:
                    codec.send_headers(stream_id, ANSWER, ended=True)
                codec.enlarge(stream_id, 1000)
        case Received(stream_id, octets, ended):
            codec.credit(stream_id, len(octets))
            if ended and stream_id % 8 == 3 and stream_id not in refused:
                codec.send_continue(stream_id)
                codec.send_headers(stream_id, ANSWER, ended=False)
                codec.send_data(stream_id, b"answer"[: codec.sendable(stream_id)], ended=True)
        case Trailed(stream_id, fields):
            try:
                check_trailers(fields)
            except Malformed:
                codec.fault(stream_id, ErrorCode.PROTOCOL_ERROR)
            else:
                codec.reset(stream_id, ErrorCode.CANCEL)
        case _:
            pass


def _whole_frames(written: bytes) -> None:
    at = 0
    while at < len(written):
        at += 9 + int.from_bytes(written[at : at + 3], "big")
    assert at == len(written)


def hpack(octets: bytes) -> None:
    """Fields within the bound of a list, twice from one decoder; else ConnectionFault."""
    reader = FieldReader(LIST_BYTES)
    try:
        for _ in range(2):
            found = reader.read(octets)
            assert sum(len(name) + len(value) + ENTRY_BYTES for name, value in found) <= LIST_BYTES
    except ConnectionFault:
        return


def http2_request(octets: bytes) -> None:
    """A request with one sound host, or Malformed, or HeadError; as trailers nothing, or Malformed."""
    fields = [(name, value) for name, _, value in (line.partition(b": ") for line in octets.split(b"\n"))]
    for limits in (LIMITS, Limits()):
        try:
            found = request_of(fields, limits)
        except (Malformed, HeadError):
            continue
        _sound(found)
    try:
        check_trailers(fields)
    except Malformed:
        return


def _sound(found: Head) -> None:
    assert is_host(found.named[b"host"][0])
    assert len(found.named[b"host"]) == 1
    assert found.target[:1] == b"/" or (found.target, found.method) == (b"*", "OPTIONS")
    assert not {b"connection", b"transfer-encoding", b"upgrade"} & found.named.keys()
    assert (length_of(found) or 0) >= 0
    assert all(value.isascii() or not {10, 13, 0} & set(value) for _, value in found.fields)


_LINES = b":method: GET\n:scheme: https\n:authority: box\n:path: /a?b\n"

TARGETS = (
    Target("http2-frames", http2_frames, CONNECTIONS),
    Target("http2-codec", http2_codec, CONNECTIONS),
    Target(
        "hpack",
        hpack,
        (
            block(GET),
            Encoder().encode([*GET, (b"accept", b"application/dicom+json"), (b"cookie", b"a=b")]),
            b"\x3f\xe1\x1f" + Encoder().encode(GET, huffman=True),
            b"\xbe\xbf\x20",
        ),
    ),
    Target(
        "http2-request",
        http2_request,
        (
            _LINES + b"content-length: 5\ncookie: a=b\ncookie: c=d\nhost: BOX\nte: trailers",
            b":method: CONNECT\n:protocol: websocket\n" + _LINES[13:] + b"sec-websocket-version: 13",
            b":method: OPTIONS\n:scheme: http\n:path: *\nhost: [::1]:80",
        ),
    ),
)
