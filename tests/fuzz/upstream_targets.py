"""What destinations answer, and what proxies before them do: HTTP/1.1, HTTP/2, and the first part of a retrieve.

What may live here: for each the function that holds its invariant; the destination is `tests.support.upstream_octets`.
"""

import trio

from edged.http.multipart import MultipartError
from edged.upstream.message import ANSWER_LIMIT_BYTES, NoAnswer, Response
from edged.upstream.retrieve import FirstPart
from tests.fuzz.target import Target, cuts_of, first_line, however_cut
from tests.support.upstream_octets import http2_answer, response_to


def http1_response(data: bytes) -> None:
    """A response that is bounded, or NoAnswer, whatever a destination says."""
    _check(response_to(list(cuts_of(data))[1], http2=False))


def http2_response(data: bytes) -> None:
    """A response that is bounded, or NoAnswer, whatever a destination says once the request has come."""
    _check(response_to(list(cuts_of(data))[1], http2=True))


def _check(found: Response | NoAnswer) -> None:
    if isinstance(found, Response):
        assert len(found.body) <= ANSWER_LIMIT_BYTES
        assert 100 < found.status < 1000
        assert all(name == name.lower() for name, _ in found.headers)


class Taken:
    """What an instance goes into."""

    limit = 10_000

    def __init__(self) -> None:
        self.octets = b""

    async def add(self, data: bytes | memoryview) -> None:
        self.octets += data


def first_part(data: bytes) -> None:
    """The same first part however the answer is cut, no more than came; or MultipartError."""
    content_type, body = first_line(data)
    taken = however_cut(body, lambda pieces: trio.run(_take, content_type, pieces))
    assert len(taken[0]) <= len(body)


async def _take(content_type: str, pieces: list[bytes]) -> tuple[bytes, bool | None]:
    taken = Taken()
    part = FirstPart(taken)
    if not part.wants(200, {"content-type": content_type}):
        return b"", False
    try:
        for piece in pieces:
            await part.add(piece)
        await part.finish()
    except MultipartError:
        return taken.octets, None
    return taken.octets, part.whole


CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n"

TARGETS = (
    Target(
        "upstream-http1",
        http1_response,
        (
            CONTINUED + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.0 503 \xff\r\nRetry-After: 5\r\nConnection: close\r\n\r\nlater",
            b"HTTP/1.1 204 \r\nContent-Length: 99999999999999999999999\r\n\r\n",
        ),
        slow=True,
    ),
    Target("upstream-http2", http2_response, (http2_answer(),), slow=True),
    Target(
        "upstream-first-part",
        first_part,
        (
            b'multipart/related; type="application/dicom"; boundary=x\n--x\r\n\r\nDICM\r\n--x\r\n\r\nmore\r\n--x--',
            b"application/dicom\nDICM",
        ),
        slow=True,
    ),
)
