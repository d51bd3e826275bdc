"""The rules of RFC 9113 that a client can break, and what has to come of it: on the stream where that is enough.

What may live here: one table. What is sent after the preface, and what comes back.
"""

from dataclasses import dataclass

from tests.support.http2_raw import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    POST,
    PRIORITY,
    PRIORITY_GIVEN,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WHOLE,
    WINDOW_UPDATE,
    block,
    data,
    frame,
    headers,
    rst_stream,
    settings,
    window_update,
)

(
    NO_ERROR,
    PROTOCOL_ERROR,
    _INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    _SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    _CANCEL,
    COMPRESSION_ERROR,
    _CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
) = range(12)
LARGEST = 2**31 - 1
OPEN = headers(1, POST, END_HEADERS)
NEVER = [*GET[:3], (b":path", b"/never")]


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection error."""

    code: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream error."""

    code: int
    stream_id: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """No error: an answer with this status."""

    status: int
    stream_id: int = 1


def get(*more: tuple[bytes, bytes], **pseudo: bytes | None) -> bytes:
    """A GET whose pseudo-header fields are replaced, or left out for None, with fields after them."""
    known = dict(GET) | {b":" + name.encode(): value for name, value in pseudo.items()}
    return headers(1, [*((name, value) for name, value in known.items() if value is not None), *more])


def said(length: int) -> bytes:
    """A POST that says how long its body is, without one yet."""
    return headers(1, [*POST, (b"content-length", b"%d" % length)], END_HEADERS)


RULES = {
    # 4.2 Frame Size
    "a DATA frame over the limit": (OPEN + data(1, bytes(65_537)), Connection(FRAME_SIZE_ERROR)),
    "a frame of 16 MiB, by its head alone": (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", Connection(FRAME_SIZE_ERROR)),
    "a DATA frame of the limit": (OPEN + data(1, bytes(65_535)), Answer(200)),
    # 4.3 Field Section Compression
    "an index that is not in the table": (frame(HEADERS, WHOLE, 1, b"\xff\xff\x00"), Connection(COMPRESSION_ERROR)),
    "index 0": (frame(HEADERS, WHOLE, 1, b"\x80"), Connection(COMPRESSION_ERROR)),
    "a block that breaks off": (frame(HEADERS, WHOLE, 1, b"\x00\x05ab"), Connection(COMPRESSION_ERROR)),
    "a table larger than allowed": (
        frame(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f" + block(GET)),
        Connection(COMPRESSION_ERROR),
    ),
    "a table size after a field": (frame(HEADERS, WHOLE, 1, block(GET) + b"\x20"), Connection(COMPRESSION_ERROR)),
    "a number without end": (frame(HEADERS, WHOLE, 1, b"\x7f" + b"\xff" * 100), Connection(COMPRESSION_ERROR)),
    "bad padding of Huffman": (frame(HEADERS, WHOLE, 1, b"\x00\x81\x00\x01a"), Connection(COMPRESSION_ERROR)),
    "DATA in a block": (headers(1, GET, END_STREAM) + data(1), Connection(PROTOCOL_ERROR)),
    "HEADERS of another stream in a block": (headers(1, GET, END_STREAM) + headers(3), Connection(PROTOCOL_ERROR)),
    "an unknown frame in a block": (headers(1, GET, END_STREAM) + frame(0x16, 0, 0), Connection(PROTOCOL_ERROR)),
    # 5.1 Stream States
    "DATA on an idle stream": (data(1, b"x"), Connection(PROTOCOL_ERROR)),
    "RST_STREAM on an idle stream": (rst_stream(1), Connection(PROTOCOL_ERROR)),
    "WINDOW_UPDATE on an idle stream": (window_update(1, 1), Connection(PROTOCOL_ERROR)),
    "PRIORITY on an idle stream": (frame(PRIORITY, 0, 3, bytes(5)) + headers(1), Answer(200)),
    "CONTINUATION on an idle stream": (frame(CONTINUATION, END_HEADERS, 1, block(GET)), Connection(PROTOCOL_ERROR)),
    "DATA on a half-closed stream": (
        headers(1, NEVER) + data(1, b"x"),
        Stream(STREAM_CLOSED),
    ),
    "HEADERS on a half-closed stream": (headers(1, NEVER) * 2, Stream(STREAM_CLOSED)),
    "CONTINUATION on a half-closed stream": (
        headers(1, NEVER) + frame(CONTINUATION, END_HEADERS, 1),
        Connection(PROTOCOL_ERROR),
    ),
    "DATA on a stream that the client reset": (OPEN + rst_stream(1) + data(1, b"x"), Stream(STREAM_CLOSED)),
    "HEADERS on a stream that the client reset": (OPEN + rst_stream(1) + headers(1), Stream(STREAM_CLOSED)),
    "RST_STREAM twice": (OPEN + rst_stream(1) * 2 + headers(3), Answer(200, 3)),
    "WINDOW_UPDATE on a closed stream": (OPEN + rst_stream(1) + window_update(1, 1) + headers(3), Answer(200, 3)),
    "frames for a stream that was reset here": (
        headers(1, [*POST, (b"A", b"b")], END_HEADERS) + data(1, b"x") + headers(1) + headers(3),
        Answer(200, 3),
    ),
    # 5.1.1 Stream Identifiers
    "an even stream": (headers(2), Connection(PROTOCOL_ERROR)),
    "a stream smaller than the last": (headers(5) + headers(3), Connection(PROTOCOL_ERROR)),
    "DATA on a stream that was skipped": (headers(5) + data(3, b"x"), Stream(STREAM_CLOSED, 3)),
    "the largest stream": (headers(LARGEST), Answer(200, LARGEST)),
    # 5.1.2 Stream Concurrency
    "more streams than allowed": (
        b"".join(headers(number, POST, END_HEADERS) for number in (1, 3, 5, 7)),
        Stream(REFUSED_STREAM, 7),
    ),
    # 5.5 Extending HTTP/2
    "an unknown frame": (frame(0x16, 0xFF, 0, b"what") + frame(0x17, 0, 1) + headers(1), Answer(200)),
    # 6.1 DATA
    "DATA on the connection": (data(0, b"x"), Connection(PROTOCOL_ERROR)),
    "DATA with padding": (OPEN + data(1, b"\x03ab\0\0\0", PADDED | END_STREAM), Answer(200)),
    "DATA with nothing but padding": (OPEN + data(1, b"\x03\0\0\0", PADDED | END_STREAM), Answer(200)),
    "DATA with more padding than payload": (OPEN + data(1, b"\x03ab", PADDED), Connection(PROTOCOL_ERROR)),
    "DATA without its padding's length": (OPEN + data(1, b"", PADDED), Connection(FRAME_SIZE_ERROR)),
    # 6.2 HEADERS
    "HEADERS on the connection": (headers(0), Connection(PROTOCOL_ERROR)),
    "HEADERS with padding": (frame(HEADERS, WHOLE | PADDED, 1, b"\x02" + block(GET) + b"\0\0"), Answer(200)),
    "HEADERS with more padding than payload": (
        frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + block(GET)),
        Connection(PROTOCOL_ERROR),
    ),
    "HEADERS with priority": (frame(HEADERS, WHOLE | PRIORITY_GIVEN, 1, bytes(5) + block(GET)), Answer(200)),
    "HEADERS that depend on themselves": (
        frame(HEADERS, WHOLE | PRIORITY_GIVEN, 1, b"\0\0\0\x01\0" + block(GET)),
        Answer(200),
    ),
    "HEADERS without the priority that they say": (
        frame(HEADERS, WHOLE | PRIORITY_GIVEN, 1, b"\0"),
        Connection(FRAME_SIZE_ERROR),
    ),
    "HEADERS with priority and too much padding": (
        frame(HEADERS, WHOLE | PRIORITY_GIVEN | PADDED, 1, b"\x02" + bytes(6)),
        Connection(PROTOCOL_ERROR),
    ),
    # 6.3 PRIORITY
    "PRIORITY on the connection": (frame(PRIORITY, 0, 0, bytes(5)), Connection(PROTOCOL_ERROR)),
    "PRIORITY of the wrong length": (OPEN + frame(PRIORITY, 0, 1, bytes(4)), Stream(FRAME_SIZE_ERROR)),
    "PRIORITY that depends on itself": (frame(PRIORITY, 0, 1, b"\0\0\0\x01\0") + headers(1), Answer(200)),
    # 6.4 RST_STREAM
    "RST_STREAM on the connection": (rst_stream(0), Connection(PROTOCOL_ERROR)),
    "RST_STREAM of the wrong length": (OPEN + frame(RST_STREAM, 0, 1, bytes(3)), Connection(FRAME_SIZE_ERROR)),
    # 6.5 SETTINGS
    "SETTINGS with an acknowledgement and a payload": (
        frame(SETTINGS, ACK, 0, bytes(6)),
        Connection(FRAME_SIZE_ERROR),
    ),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1, bytes(6)), Connection(PROTOCOL_ERROR)),
    "SETTINGS of the wrong length": (frame(SETTINGS, 0, 0, bytes(5)), Connection(FRAME_SIZE_ERROR)),
    "ENABLE_PUSH of 2": (settings((2, 2)), Connection(PROTOCOL_ERROR)),
    "INITIAL_WINDOW_SIZE too large": (settings((4, 2**31)), Connection(FLOW_CONTROL_ERROR)),
    "MAX_FRAME_SIZE too small": (settings((5, 16_383)), Connection(PROTOCOL_ERROR)),
    "MAX_FRAME_SIZE too large": (settings((5, 2**24)), Connection(PROTOCOL_ERROR)),
    "ENABLE_CONNECT_PROTOCOL of 2": (settings((8, 2)), Connection(PROTOCOL_ERROR)),
    "an unknown setting": (settings((0xFFFF, 1), (0, 0)) + headers(1), Answer(200)),
    "settings of every kind": (
        settings((1, 0), (1, 4096), (2, 0), (3, 0), (4, LARGEST), (5, 2**24 - 1), (6, 1), (8, 1)) + headers(1),
        Answer(200),
    ),
    "more settings than there are": (settings(*[(4, 1)] * 33), Connection(ENHANCE_YOUR_CALM)),
    "a header table of any size": (settings((1, 2**32 - 1)) + headers(1), Answer(200)),
    # 6.6 PUSH_PROMISE
    "PUSH_PROMISE": (OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02"), Connection(PROTOCOL_ERROR)),
    # 6.7 PING
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), Connection(PROTOCOL_ERROR)),
    "PING of the wrong length": (frame(PING, 0, 0, bytes(7)), Connection(FRAME_SIZE_ERROR)),
    "PING that answers nothing": (frame(PING, ACK, 0, bytes(8)) + headers(1), Answer(200)),
    # 6.8 GOAWAY
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), Connection(PROTOCOL_ERROR)),
    "GOAWAY that is too short": (frame(GOAWAY, 0, 0, bytes(7)), Connection(FRAME_SIZE_ERROR)),
    "GOAWAY of a client that waits for its answer": (headers(1) + frame(GOAWAY, 0, 0, bytes(8)), Answer(200)),
    # 6.9 WINDOW_UPDATE
    "WINDOW_UPDATE of the wrong length": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), Connection(FRAME_SIZE_ERROR)),
    "WINDOW_UPDATE of the connection by nothing": (window_update(0, 0), Connection(PROTOCOL_ERROR)),
    "WINDOW_UPDATE of a stream by nothing": (OPEN + window_update(1, 0), Stream(PROTOCOL_ERROR)),
    "the connection's window too large": (window_update(0, LARGEST), Connection(FLOW_CONTROL_ERROR)),
    "a stream's window too large": (OPEN + window_update(1, LARGEST), Stream(FLOW_CONTROL_ERROR)),
    "a window too large by settings": (
        OPEN + window_update(1, LARGEST - 65_535) + settings((4, 65_536)),
        Connection(FLOW_CONTROL_ERROR),
    ),
    "a reserved bit is ignored": (window_update(0, 2**31 + 1) + headers(1), Answer(200)),
    "more DATA than a stream's window": (
        headers(1, [POST[0], *NEVER[1:]], END_HEADERS) + data(1, bytes(65_536), 0),
        Stream(FLOW_CONTROL_ERROR),
    ),
    # 6.10 CONTINUATION
    "a block in pieces": (
        headers(1, GET[:2], END_STREAM)
        + frame(CONTINUATION, 0, 1, block(GET[2:3]))
        + frame(CONTINUATION, 0, 1)
        + frame(CONTINUATION, END_HEADERS, 1, block(GET[3:])),
        Answer(200),
    ),
    "CONTINUATION after the block": (headers(1) + frame(CONTINUATION, END_HEADERS, 1), Connection(PROTOCOL_ERROR)),
    "CONTINUATION of another stream": (
        headers(1, GET, END_STREAM) + frame(CONTINUATION, END_HEADERS, 3),
        Connection(PROTOCOL_ERROR),
    ),
    # 8.1 HTTP Message Framing
    "a body shorter than said": (
        said(5) + data(1, b"abc"),
        Stream(PROTOCOL_ERROR),
    ),
    "a body longer than said": (
        said(2) + data(1, b"abc", 0),
        Stream(PROTOCOL_ERROR),
    ),
    "no body where one was said": (headers(1, [*POST, (b"content-length", b"1")]), Stream(PROTOCOL_ERROR)),
    "a body shorter than said, with trailers": (
        said(5) + data(1, b"abc", 0) + headers(1, [(b"a", b"b")]),
        Stream(PROTOCOL_ERROR),
    ),
    "a body in pieces, with trailers": (
        said(5) + data(1, b"ab", 0) + data(1, b"cde", 0) + headers(1, [(b"a", b"b")]),
        Answer(200),
    ),
    "trailers that do not end the stream": (OPEN + headers(1, [(b"a", b"b")], END_HEADERS), Stream(PROTOCOL_ERROR)),
    "trailers with a pseudo-header field": (OPEN + headers(1, [(b":path", b"/")]), Stream(PROTOCOL_ERROR)),
    "trailers with a field of a connection": (OPEN + headers(1, [(b"connection", b"x")]), Stream(PROTOCOL_ERROR)),
    # 8.2 HTTP Fields
    "a name in upper case": (get((b"X-Up", b"1")), Stream(PROTOCOL_ERROR)),
    "an empty name": (get((b"", b"1")), Stream(PROTOCOL_ERROR)),
    "a name with a space": (get((b"a b", b"1")), Stream(PROTOCOL_ERROR)),
    "a name with a colon": (get((b"a:b", b"1")), Stream(PROTOCOL_ERROR)),
    "a name that is not ASCII": (get(("é".encode(), b"1")), Stream(PROTOCOL_ERROR)),
    "a value with a line end": (get((b"a", b"1\r\nb: 2")), Stream(PROTOCOL_ERROR)),
    "a value with NUL": (get((b"a", b"1\0")), Stream(PROTOCOL_ERROR)),
    "a value with a space before it": (get((b"a", b" 1")), Stream(PROTOCOL_ERROR)),
    "a value with a tab after it": (get((b"a", b"1\t")), Stream(PROTOCOL_ERROR)),
    "an empty value": (get((b"a", b"")), Answer(200)),
    "a control character": (get((b"a", b"1\x01")), Answer(400)),
    "connection": (get((b"connection", b"keep-alive")), Stream(PROTOCOL_ERROR)),
    "keep-alive": (get((b"keep-alive", b"1")), Stream(PROTOCOL_ERROR)),
    "proxy-connection": (get((b"proxy-connection", b"1")), Stream(PROTOCOL_ERROR)),
    "transfer-encoding": (get((b"transfer-encoding", b"chunked")), Stream(PROTOCOL_ERROR)),
    "upgrade": (get((b"upgrade", b"websocket")), Stream(PROTOCOL_ERROR)),
    "te": (get((b"te", b"gzip")), Stream(PROTOCOL_ERROR)),
    "te: trailers": (get((b"te", b"trailers")), Answer(200)),
    # 8.3 HTTP Control Data
    "an unknown pseudo-header field": (get(what=b"1"), Stream(PROTOCOL_ERROR)),
    "a pseudo-header field of answers": (get(status=b"200"), Stream(PROTOCOL_ERROR)),
    "an informational status": (headers(1, [(b":status", b"100")]), Stream(PROTOCOL_ERROR)),
    "a pseudo-header field after a field": (headers(1, [*GET[:3], (b"a", b"b"), GET[3]]), Stream(PROTOCOL_ERROR)),
    "no :method": (get(method=None), Stream(PROTOCOL_ERROR)),
    "no :scheme": (get(scheme=None), Stream(PROTOCOL_ERROR)),
    "no :path": (get(path=None), Stream(PROTOCOL_ERROR)),
    "an empty :path": (get(path=b""), Stream(PROTOCOL_ERROR)),
    "nothing at all": (headers(1, []), Stream(PROTOCOL_ERROR)),
    ":method twice": (headers(1, [*GET, GET[0]]), Stream(PROTOCOL_ERROR)),
    ":path twice": (headers(1, [*GET, GET[3]]), Stream(PROTOCOL_ERROR)),
    "a :path with a line end": (get(path=b"/\r\n"), Stream(PROTOCOL_ERROR)),
    "Host that is not :authority": (get((b"host", b"other")), Stream(PROTOCOL_ERROR)),
    "Host that is :authority": (get((b"host", b"BOX")), Answer(200)),
    "Host instead of :authority": (get((b"host", b"box"), authority=None), Answer(200)),
    "neither Host nor :authority": (get(authority=None), Answer(400)),
    "Host twice": (get((b"host", b"box"), (b"host", b"box"), authority=None), Answer(400)),
    "user information in :authority": (get(authority=b"me@box"), Answer(400)),
    "an empty :authority": (get(authority=b""), Answer(400)),
    "a :path that is none": (get(path=b"x"), Answer(400)),
    "an asterisk for GET": (get(path=b"*"), Answer(400)),
    "an asterisk for OPTIONS": (get(method=b"OPTIONS", path=b"*"), Answer(200)),
    "a :path with a fragment": (get(path=b"/#a"), Answer(400)),
    "a :path that is not ASCII": (get(path="/é".encode()), Answer(400)),
    "a :path that is too long": (get(path=b"/" + b"a" * 9000), Answer(414)),
    "another scheme": (get(scheme=b"ftp"), Answer(400)),
    "a method that is none": (get(method=b"G T"), Answer(400)),
    "a method that nobody knows": (get(method=b"PROPFIND"), Answer(501)),
    "a Content-Length that is none": (get((b"content-length", b"-1")), Answer(400)),
    "a Content-Length that overflows": (get((b"content-length", b"9" * 30)), Answer(400)),
    "a Content-Length twice": (get((b"content-length", b"0"), (b"content-length", b"0")), Answer(400)),
    "too many fields": (get(*[(b"a", b"b")] * 200), Answer(431)),
    "a head that is too large": (get((b"a", b"b" * 33_000)), Answer(431)),
    "a head that is far too large": (get((b"a", b"b" * 65_400)), Connection(ENHANCE_YOUR_CALM)),
    # 8.5 The CONNECT Method, RFC 8441
    "CONNECT": (headers(1, [(b":method", b"CONNECT"), (b":authority", b"box:1")], END_HEADERS), Answer(501)),
    "CONNECT with a path": (get(method=b"CONNECT"), Stream(PROTOCOL_ERROR)),
    "CONNECT without an authority": (headers(1, [(b":method", b"CONNECT")]), Stream(PROTOCOL_ERROR)),
    "CONNECT to an unknown protocol": (get(method=b"CONNECT", protocol=b"connect-udp"), Answer(501)),
    "CONNECT to a protocol without a path": (
        get(method=b"CONNECT", protocol=b"websocket", path=None),
        Stream(PROTOCOL_ERROR),
    ),
    ":protocol without CONNECT": (get(protocol=b"websocket"), Stream(PROTOCOL_ERROR)),
    "a WebSocket without a version": (get(method=b"CONNECT", protocol=b"websocket"), Answer(400)),
}
