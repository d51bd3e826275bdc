"""curl against a box: HTTP/1.0, 1.1 and 2 in every way to get there have the same meaning (PS3.18 8, RFC 9110)."""

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import make_certificates
from tests.support.clients import Curl, Seen
from tests.support.daemon import Daemon, daemon
from tests.support.stow_kit import MULTIPART, Named, json_report, made, multipart, named, parts_of
from tests.support.wadl_schema import breaches

WADL = "application/vnd.sun.wadl+xml"
DICOM = "application/dicom"
RELATED = f'multipart/related; type="{DICOM}"'


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the box: options of curl, which of its listeners, and the version that a GET is answered in.

    A request in 1.0 is answered in the highest version of its major one (RFC 9110 6.2).
    """

    options: tuple[str, ...]
    version: str
    tls: bool = False


WAYS = (
    Way(("--http1.0",), "1.1"),
    Way(("--http1.1",), "1.1"),
    Way(("--http2",), "2"),
    Way(("--http2-prior-knowledge",), "2"),
    Way(("--http1.1",), "1.1", tls=True),
    Way(("--http2",), "2", tls=True),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A box with a plain and a TLS listener, and who may be trusted there."""

    daemon: Daemon
    folder: Path
    authority: Path

    def client(self, way: Way) -> Curl:
        return Curl(self.folder, *way.options, *(("--cacert", str(self.authority)) if way.tls else ()))

    def url(self, way: Way) -> str:
        return self.daemon.urls[way.tls].replace("127.0.0.1", "localhost")


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    certificates = make_certificates(tmp_path)
    pair = certificates.server
    files = f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
    config = f'[origin]\nbind = ["http://127.0.0.1:0", "https://127.0.0.1:0"]\n{files}'
    async with daemon(tmp_path / "box", config, clock="trust") as running:
        yield Box(running, tmp_path, certificates.authority)


class Visit:
    """One client's requests about one instance of its own."""

    def __init__(self, box: Box, number: int, way: Way) -> None:
        self._curl = box.client(way)
        self._base = box.url(way)
        self._file = box.folder / "upload"
        self.name: Named = named(number)
        self.data = made(self.name, size=200_000)

    async def store(self, *arguments: str, squeeze: bool = False) -> Seen:
        """Store the instance."""
        body = multipart([self.data])
        self._file.write_bytes(gzip.compress(body) if squeeze else body)
        fields = ["-H", f"Content-Type: {MULTIPART}", *(["-H", "Content-Encoding: gzip"] if squeeze else [])]
        return await self._curl(f"{self._base}/studies", "--data-binary", f"@{self._file}", *fields, *arguments)

    async def get(self, accept: str, *arguments: str) -> Seen:
        """Retrieve the instance."""
        return await self._curl(self._base + self.name.path, "-H", f"Accept: {accept}", *arguments)

    async def options(self, accept: str, *arguments: str) -> Seen:
        """Retrieve the capabilities."""
        return await self._curl(f"{self._base}/", "-X", "OPTIONS", "-H", f"Accept: {accept}", *arguments)

    async def other(self, path: str, *arguments: str) -> Seen:
        """Ask for anything else."""
        return await self._curl(self._base + path, *arguments)


async def require_stored(visit: Visit) -> None:
    """A store, its answer, and the same again in gzip."""
    first = await visit.store("-H", "Accept: application/dicom+json")
    assert first.status == 200
    assert first.headers["content-type"] == "application/dicom+json"
    assert set(json_report(first.body).stored) == {visit.name.instance}
    assert first.headers["location"].endswith(f"/studies/{visit.name.study}")
    again = await visit.store("-H", "Accept: text/html", squeeze=True)
    assert (again.status, json_report(again.body).failed) == (200, {})


async def require_retrieved(visit: Visit, version: str) -> None:
    """Whole, in both forms, and without the payload."""
    single = await visit.get(DICOM)
    assert (single.status, single.version, single.body) == (200, version, visit.data)
    head = await visit.get(DICOM, "--head")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(visit.data)))
    assert head.headers["etag"] == single.headers["etag"]
    related = await visit.get(RELATED)
    assert related.headers["etag"] != single.headers["etag"]
    [(_, inner)] = parts_of(related.headers["content-type"], related.body)
    assert inner == visit.data


async def require_validators(visit: Visit) -> None:
    """304 and 412 by entity tags, 304 by date."""
    whole = await visit.get(DICOM)
    etag = whole.headers["etag"]
    unchanged = await visit.get(DICOM, "-H", f"If-None-Match: {etag}")
    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", etag)
    assert (await visit.get(DICOM, "-H", 'If-None-Match: "other"')).status == 200
    assert (await visit.get(DICOM, "-H", 'If-Match: "other"')).status == 412
    since = f"If-Modified-Since: {whole.headers['last-modified']}"
    assert (await visit.get(DICOM, "-H", since)).status == 304


async def require_ranges(visit: Visit) -> None:
    """One range, several, none that can be satisfied; of the multipart payload its own octets."""
    size = len(visit.data)
    one = await visit.get(DICOM, "-r", "100-199")
    assert (one.status, one.headers["content-range"]) == (206, f"bytes 100-199/{size}")
    assert one.body == visit.data[100:200]
    assert (await visit.get(DICOM, "-r", "-50")).body == visit.data[-50:]
    several = await visit.get(DICOM, "-r", "0-9,1000-1009")
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert [data for _, data in parts_of(several.headers["content-type"], several.body)] == [
        visit.data[:10],
        visit.data[1000:1010],
    ]
    beyond = await visit.get(DICOM, "-r", f"{size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    whole = await visit.get(RELATED)
    assert (await visit.get(RELATED, "-r", "5-5000")).body == whole.body[5:5001]
    stale = await visit.get(DICOM, "-r", "0-9", "-H", 'If-Range: "other"')
    assert (stale.status, stale.body) == (200, visit.data)


async def require_described(visit: Visit) -> None:
    """The capabilities in both forms, compressed, conditional; the state only in JSON."""
    description = await visit.options(WADL)
    assert (description.status, description.headers["content-type"]) == (200, WADL)
    assert breaches(description.body) == []
    again = await visit.options(WADL, "-H", f"If-None-Match: {description.headers['etag']}")
    assert (again.status, again.body) == (304, b"")
    squeezed = await visit.options(WADL, "--compressed")
    assert squeezed.body == description.body
    assert squeezed.headers["content-encoding"] == "zstd"
    assert squeezed.headers["etag"] != description.headers["etag"]
    for coding in ("gzip", "deflate"):
        again = await visit.options(WADL, "--compressed", "-H", f"Accept-Encoding: {coding}")
        assert (again.body, again.headers["content-encoding"]) == (description.body, coding)
    state = json.loads((await visit.options("application/json")).body)["edged"]
    assert state["store"]["instances"]["held"] > 0
    assert (await visit.options("image/png")).status == 406


async def require_refused(visit: Visit) -> None:
    """Each refusal is a Status Report, in what the client accepts."""
    plain = ("-H", "Accept: application/json")
    missing = await visit.other("/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5", *plain)
    assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(missing.body)["request_id"] == missing.headers["x-request-id"]
    deleted = await visit.other("/studies", "-X", "DELETE", *plain)
    assert (deleted.status, deleted.headers["allow"]) == (405, "OPTIONS, POST")
    assert (await visit.other("/studies", "-H", "Content-Type: text/plain", "-d", "text")).status == 415
    page = await visit.other("/nothing", "-H", "Accept: text/html")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    nothing = await visit.other(visit.name.path, "-H", "Accept:")
    assert nothing.status == 406


@pytest.mark.timeout(120)
async def test_every_version_means_the_same(box: Box) -> None:
    for number, way in enumerate(WAYS, 1):
        visit = Visit(box, number, way)
        await require_stored(visit)
        await require_retrieved(visit, way.version)
        await require_validators(visit)
        await require_ranges(visit)
        await require_described(visit)
        await require_refused(visit)


async def test_an_interrupted_download_goes_on_where_it_stopped(box: Box) -> None:
    """`curl -C` with If-Range is what a viewer on a bad line does."""
    visit = Visit(box, 1, WAYS[1])
    await visit.store()
    first = await visit.get(RELATED, "-r", "0-99999")
    rest = await visit.get(RELATED, "-C", "100000", "-H", f"If-Range: {first.headers['etag']}")
    assert (rest.status, first.body + rest.body) == (206, (await visit.get(RELATED)).body)


async def test_a_large_upload_is_refused_before_it_is_sent(box: Box) -> None:
    """With Expect: 100-continue, which curl sends by itself, a 413 costs no upload."""
    visit = Visit(box, 1, WAYS[1])
    size = "Content-Length: 999999999999"
    refused = await visit.store("-H", size, "-H", "Expect: 100-continue")
    assert refused.status == 413
