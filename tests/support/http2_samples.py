"""Connections of HTTP/2 with frames of every kind, for fuzz tests to damage and to put in another order.

What may live here: one table. What breaks a single rule stands in `http2_rules`; here most frames are good.
"""

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
    PREFACE,
    PRIORITY,
    PRIORITY_GIVEN,
    SETTINGS,
    WHOLE,
    block,
    data,
    frame,
    headers,
    rst_stream,
    settings,
    window_update,
)

_WEBSOCKET = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
_BEGIN = settings((1, 100), (4, 10), (5, 20_000))
_FRAMES = (
    (  # bodies
        _BEGIN,
        headers(1),
        headers(3, POST, END_HEADERS),
        data(3, b"abc", 0),
        data(3, b"\x02ab\0\0", PADDED),
        data(3, bytes(2000)),
    ),
    (  # trailers, and an end
        _BEGIN,
        headers(3, POST, END_HEADERS),
        headers(3, [(b"trailer", b"1")]),
        rst_stream(3),
        window_update(0, 1 << 20),
        frame(PING, 0, 0, b"12345678"),
        frame(GOAWAY, 0, 0, bytes(8)),
    ),
    (  # field blocks in pieces, and with what is ignored
        _BEGIN,
        headers(1, GET, END_STREAM),
        frame(CONTINUATION, END_HEADERS, 1, block([(b"a", b"b")])),
        frame(HEADERS, WHOLE | PADDED | PRIORITY_GIVEN, 5, b"\x02" + bytes(5) + block(GET) + bytes(2)),
        frame(PRIORITY, 0, 5, bytes(5)),
        frame(SETTINGS, ACK, 0),
        window_update(5, 100),
    ),
    (  # answers that come early, or are large
        settings((4, 1 << 20)),
        headers(5, [*GET[:3], (b":path", b"/early")]),
        headers(7, [*GET[:3], (b":path", b"/large")]),
        window_update(7, 1 << 20),
    ),
    (  # a WebSocket
        settings((1, 0)),
        headers(9, _WEBSOCKET, END_HEADERS),
        data(9, b"\x81\x82\x00\x00\x00\x00hi", 0),
        data(9, b"\x88\x80\x00\x00\x00\x00"),
    ),
    (  # no requests
        settings(),
        headers(1, [*GET[:3], (b":path", b"nowhere")]),
        headers(9, [(b"x", b"y")]),
        headers(2),
    ),
)

CONNECTIONS = tuple(PREFACE + b"".join(frames) for frames in _FRAMES)
"""What each of them sends."""

FRAMES = [frame for frames in _FRAMES for frame in frames]
"""All that stand in them."""
