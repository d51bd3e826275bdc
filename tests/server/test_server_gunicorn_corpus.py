"""gunicorn's corpus of requests against a live server: what is invalid is refused at once, what is valid is served.

The exceptions are named one by one. gunicorn calls some requests invalid that only exceed its own limits; and most
of its valid ones with HTTP/1.1 have no Host, or something else that RFC 9112 forbids.
"""

import re
from pathlib import Path

import pytest
import trio

from edged.server import Limits
from tests.support.server_kit import Running, read_all, serving, sink

CORPUS = Path(__file__).parent / "gunicorn_corpus"
INVALID = sorted((CORPUS / "invalid").glob("*.http"))
VALID = sorted((CORPUS / "valid").glob("*.http"))
PATIENT = Limits(head_s=30, body_s=30, idle_s=30, linger_s=0.2, drain_s=0.5)  # whoever waits fails the test
AT_ONCE_S = 10

ALLOWED = {
    "006": "a request target of 4 KB: RFC 9110 4.1 asks for 8,000 octets at least",
    "007": "a field of 8,203 octets: beyond gunicorn's limit, within ours of the whole head",
    "008": "two fields of 8,189 and 4,108 octets: the same",
}
"""Of the invalid ones, those that RFC 9112 allows: they are answered as any other."""

INCOMPLETE = {"001": "its head has no end, but nothing wrong until there"}
"""Of the invalid ones, those that a server can only wait for; they end with the client."""

NO_HOST = (
    *(f"{number:03}" for number in (*range(4, 8), *range(9, 15), 18, 21, 23, 25, *range(28, 31), 100)),
    "025_line",
    "compat_obs_fold_huge",
)

REFUSED = {
    **dict.fromkeys(("002", "003"), "a Host that is no name and no address"),
    **dict.fromkeys(NO_HOST, "HTTP/1.1 without Host (RFC 9112 3.2), some with more that is wrong"),
    **dict.fromkeys(("040", "040_compat"), "a field that reads as framing to whoever maps it to a CGI variable"),
    "027": "a target that is not ASCII",
    "031": "an unknown method: 501",
    "031compat": "an unknown method: 501",
    "031compat2": "an unknown method: 501",
    "compat_obs_fold": "a folded field (RFC 9112 5.2)",
    "pp_01": "the PROXY protocol is not spoken",
    "pp_02": "the PROXY protocol is not spoken",
}
"""Of the valid ones, those that are refused."""

CUT = {"099": "its body is shorter than its Content-Length"}
"""Of the valid ones, those that never become whole."""

SECOND_REFUSED = {"022": "the second of its requests has no Host"}


def octets_of(file: Path) -> bytes:
    """A request as it is sent."""
    octets = file.read_bytes().replace(b"\n", b"").replace(b"\\r\\n", b"\r\n")
    return octets.replace(b"\\0", b"\x00").replace(b"\\n", b"\n").replace(b"\\t", b"\t")


async def replay(running: Running, file: Path, *, ends: bool) -> list[int]:
    """The statuses of what is answered; the client ends its side if it `ends`, else waits for the server to."""
    with trio.fail_after(AT_ONCE_S):
        async with await running.open() as stream:
            await stream.send_all(octets_of(file))
            if ends:
                await stream.send_eof()
            answers = await read_all(stream)
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
async def test_invalid(file: Path) -> None:
    async with serving(sink, limits=PATIENT) as running:
        statuses = await replay(running, file, ends=file.stem in ALLOWED.keys() | INCOMPLETE.keys())
        assert running.server.counters.failed == 0
    if file.stem in ALLOWED:
        assert set(statuses) == {200}
    elif file.stem in INCOMPLETE:
        assert statuses == []
    else:
        assert statuses in ([400], [431], [501], [505])


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
async def test_valid(file: Path) -> None:
    async with serving(sink, limits=PATIENT) as running:
        statuses = await replay(running, file, ends=file.stem not in REFUSED)
        assert running.server.counters.failed == 0
    if file.stem in REFUSED:
        assert statuses in ([400], [501])
    elif file.stem in CUT:
        assert statuses == []
    elif file.stem in SECOND_REFUSED:
        assert statuses == [200, 400]
    else:
        assert set(statuses) == {200}


def test_the_corpus_is_here_and_every_exception_is_of_it() -> None:
    assert (len(INVALID), len(VALID)) == (56, 42)
    assert ALLOWED.keys() | INCOMPLETE.keys() <= {file.stem for file in INVALID}
    assert REFUSED.keys() | CUT.keys() | SECOND_REFUSED.keys() <= {file.stem for file in VALID}
