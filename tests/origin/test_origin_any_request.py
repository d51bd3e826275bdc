"""Whatever a request's head says, there is one whole answer, of a status that is known here, and the box works on."""

import json
import random
from http import HTTPStatus
from pathlib import Path

from edged.http.problem import INTERNAL_ERROR
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import opened_box
from tests.support.stow_kit import MULTIPART, made, multipart, named

ONE = named(1)
ROUNDS = 4000
CONFIG = """
[origin]
bind = ["http://127.0.0.1:0"]
trusted_proxies = ["127.0.0.1"]
cors = ["https://viewer.example"]
[access]
anonymous = ["store", "read", "monitor", "admin"]
"""
METHODS = ("GET", "GET", "HEAD", "POST", "POST", "OPTIONS", "PUT", "DELETE", "BREW")
PATHS = (
    "/",
    "/studies",
    "/studies",
    ONE.path,
    ONE.path,
    ONE.path,
    "/studies/1.2",
    "/commitment-requests/1.2.3",
    "/healthz",
    "/admin/status",
    "/x",
    "",
)
ODD = (
    '"',
    ",",
    ";q=",
    "*/*",
    "=",
    "\t",
    "\xff",
    "%",
    "gzip",
    "1" * 400,
    "/",
    "application/dicom",
    "bytes=0-9",
    "W/",
    "",
)
VALUES = {
    "accept": ("*/*", "application/dicom+json;q=0.5", 'multipart/related; type="application/dicom"', "text/html"),
    "accept-encoding": ("gzip", "deflate;q=0.3, *;q=0", "identity;q=0"),
    "accept-charset": ("utf-8", "*;q=0"),
    "content-type": (MULTIPART, "application/dicom", "application/dicom+json", "text/plain"),
    "content-encoding": ("gzip", "deflate, gzip", "br", "identity"),
    "host": ("localhost", "[::1]:80", "pacs.example"),
    "origin": ("https://viewer.example", "null"),
    "access-control-request-method": ("GET",),
    "authorization": ("Bearer x",),
    "forwarded": ("for=192.0.2.1;host=pacs.example;proto=https", "for=unknown"),
    "x-forwarded-for": ("192.0.2.1, 192.0.2.2",),
    "x-forwarded-prefix": ("/edge", "//"),
    "if-none-match": ("*", '"a"', 'W/"a", "b"'),
    "if-match": ("*", '"a"'),
    "if-modified-since": ("Sun, 06 Nov 1994 08:49:37 GMT",),
    "range": ("bytes=0-99", "bytes=99999-", "bytes=-5, 7-9", "lines=1-2"),
    "if-range": ('"a"',),
    "content-length": ("99999999999999999999", "3"),
}
QUERIES = ("", "", "?", "?accept=application/dicom", "?accept=*/*", "?x=%C3%BC&y", "?%", "?charset=x")


def drawn(source: random.Random) -> Asked:
    """A request, sound in some parts and odd in others."""
    names = {*source.sample(sorted(VALUES), source.randint(0, 6)), *source.choice(((), ("accept",)))}
    headers = {name: source.choice(VALUES[name]) for name in sorted(names)}
    for name, value in headers.items():
        if name != "host" and source.random() < 0.2:  # the server has seen to that field
            headers[name] = "".join(source.choice((*ODD, value)) for _ in range(source.randint(0, 4)))
    body = source.choice((b"", b"{}", b"\x1f\x8b\x08\x00", multipart([made(ONE)]), made(ONE)))
    return Asked(source.choice(METHODS), source.choice(PATHS) + source.choice(QUERIES), headers, iter([body]))


async def test_any_request(tmp_path: Path) -> None:
    source = random.Random(8)
    seen = set()
    async with opened_box(tmp_path, CONFIG) as box:
        await box.stow(made(ONE))
        for _ in range(ROUNDS):
            asked = drawn(source)
            answer = await call(box.application, asked)
            assert answer.ended, asked
            assert answer.status in set(HTTPStatus) - {INTERNAL_ERROR.status}, asked
            assert all(value.isprintable() for value in answer.headers.values())
            if answer.headers.get("content-type") == "application/problem+json" and answer.body:
                assert json.loads(answer.body)["status"] == answer.status
            seen.add(answer.status)
        assert (await box.stow(made(named(2)))).status == 200
    assert {200, 204, 206, 304, 400, 401, 404, 405, 406, 412, 415, 416, 426} <= seen
