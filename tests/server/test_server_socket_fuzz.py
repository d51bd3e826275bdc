"""Thousands of connections with random and mutated HTTP/1 at a live server, which they do not hurt (`damaged`)."""

from functools import partial

from tests.fuzz.corpus import gunicorn_corpus
from tests.support.damaged import require_unhurt
from tests.support.mutated import mutated_octets
from tests.support.server_kit import TO_HTTP2, TO_WEBSOCKET

POST = b"POST /a HTTP/1.1\r\nHost: box\r\n"
WHOLE = [
    b"GET /a?b=c HTTP/1.1\r\nHost: box\r\nAccept: text/plain\r\n\r\n",
    b"HEAD http://box:80/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    POST + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\nabcdefghijkl",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nabcde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n",
    TO_HTTP2 + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    TO_WEBSOCKET + b"\x81\x82\x00\x00\x00\x00hi",
    *gunicorn_corpus(),
]


async def test_random_and_mutated_requests_hurt_nobody() -> None:
    await require_unhurt(partial(mutated_octets, whole=WHOLE), b"HTTP/1.1 ")
