"""Retrieve of one stored instance (PS3.18 10.4), and its stored bytes for administrators.

Multipart is the default, single part on request. The length is known before the first byte; when the store no longer
has a chunk the transfer is cut, so that a shortened file is never taken for a whole one.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from edged.http.accept import choose
from edged.http.conditional import matches_if_none_match, strong_etag
from edged.http.media_type import MediaType
from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.origin.exchange import Reply, Request, refusal
from edged.services.retrieve import WebForm, stored_pieces
from edged.store.instances import find_instance
from edged.store.records import Instance
from edged.store.store import Store


class RetrieveInstance:
    """GET /studies/{study}/series/{series}/instances/{instance}."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, request: Request) -> Reply:
        """Answer with the instance in the form that leaves (DICOM.md §1)."""
        number, instance = await _find(self._store, request.params["instance"])
        if (instance.study_instance_uid, instance.series_instance_uid) != (
            request.params["study"],
            request.params["series"],
        ):
            raise _not_found()
        form = WebForm(self._store, number, instance)
        media_type = choose(request.header("accept"), _offered(form))
        if media_type is None:
            available = "; or ".join(str(offer) for offer in _offered(form))
            raise refusal(HTTPStatus.NOT_ACCEPTABLE, f"This instance is available as {available}.")
        multipart = media_type.essence == "multipart/related"
        etag = strong_etag(form.digest + (b"m" if multipart else b"s"))
        if matches_if_none_match(request.header("if-none-match"), etag):
            return Reply(HTTPStatus.NOT_MODIFIED, (("etag", etag),))
        return _multipart(request, form, etag) if multipart else _single(form, etag)


class StoredFile:
    """GET /admin/instances/{uid}/file: exactly the bytes that came in."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, request: Request) -> Reply:
        """Answer with the stored bytes."""
        number, instance = await _find(self._store, request.params["uid"])
        headers = (("content-type", "application/dicom"), ("content-length", str(instance.size)))
        return Reply(HTTPStatus.OK, headers, partial(stored_pieces, self._store, number, instance))


async def _find(store: Store, uid: str) -> tuple[int, Instance]:
    found = await store.read(partial(find_instance, sop_instance_uid=uid))
    if found is None:
        raise _not_found()
    return found


def _not_found() -> Exception:
    return refusal(HTTPStatus.NOT_FOUND, "No such instance is stored here.")


def _offered(form: WebForm) -> tuple[MediaType, ...]:
    syntax = {"transfer-syntax": form.transfer_syntax_uid}
    return (
        MediaType("multipart", "related", {"type": "application/dicom", **syntax}),
        MediaType("application", "dicom", syntax),
    )


def _single(form: WebForm, etag: str) -> Reply:
    media_type = MediaType("application", "dicom", {"transfer-syntax": form.transfer_syntax_uid})
    headers = (("content-type", str(media_type)), ("content-length", str(form.length)), ("etag", etag))
    return Reply(HTTPStatus.OK, headers, form.pieces)


def _multipart(request: Request, form: WebForm, etag: str) -> Reply:
    writer = MultipartWriter("edged-" + form.digest.hex()[:32])
    part_type = MediaType("application", "dicom", {"transfer-syntax": form.transfer_syntax_uid})
    head = writer.head(
        (
            ("Content-Type", str(part_type)),
            ("Content-Location", request.base_url + request.path),
            ("Content-Length", str(form.length)),
        )
    )

    async def pieces() -> AsyncGenerator[bytes | memoryview, None]:
        yield head
        async with aclosing(form.pieces()) as inner:
            async for piece in inner:
                yield piece
        yield PART_TAIL + writer.closing

    length = writer.content_length([(len(head), form.length)])
    media_type = writer.media_type("application/dicom")
    headers = (("content-type", str(media_type)), ("content-length", str(length)), ("etag", etag))
    return Reply(HTTPStatus.OK, headers, pieces)
