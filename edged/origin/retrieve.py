"""Retrieve of one stored instance (PS3.18 10.4), and its stored bytes for administrators.

Multipart is the default, single part on request; an instance is offered in the one transfer syntax that it leaves in.
When the store no longer has a chunk the transfer is cut, so that a shortened file is never taken for a whole one.
What is not here is 404, and so is what cannot be a UID, for it names nothing; what was here and was let go is 410.
The date of an instance is when it was received. It is not told while the clock cannot be believed: an instance that
takes the place of another might seem the older one.
"""

from http import HTTPStatus

from edged.dicomweb.media_types import TRANSFER_SYNTAX
from edged.dicomweb.negotiation import NegotiationError, Selection, negotiate
from edged.dicomweb.routing import url_of
from edged.http.media_type import MediaType
from edged.origin.exchange import Refusal, Reply, Request, refusal
from edged.origin.payload import Part, Payload, multipart, single_part
from edged.origin.payload_reply import reply_with
from edged.services.event_reports import INSTANCE
from edged.services.retrieve import StoredForm, WebForm, was_evicted
from edged.store.instances import find_instance
from edged.store.records import Instance
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

_DICOM = "application/dicom"


class RetrieveInstance:
    """GET /studies/{study}/series/{series}/instances/{instance}."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, request: Request) -> Reply:
        """Answer with the instance in the form that leaves (DICOM.md §1).

        Raises Refusal: 400, 404, 406, 410, 412, 416.
        """
        number, instance = await _find(self._store, request.params["instance"])
        if (instance.study_instance_uid, instance.series_instance_uid) != (
            request.params["study"],
            request.params["series"],
        ):
            raise _not_found()
        form = WebForm(self._store, number, instance)
        selection = _negotiated(request, form)
        payload = _payload(request, form, selection, modified=_modified(instance, self._clock))
        return reply_with(request, payload, self._clock.wall())


class StoredFile:
    """GET /admin/instances/{uid}/file: exactly the bytes that came in."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, request: Request) -> Reply:
        """Answer with the stored bytes. Raises Refusal: 404, 410, 412, 416."""
        number, instance = await _find(self._store, request.params["uid"])
        part = Part(
            StoredForm(self._store, number, instance),
            MediaType("application", "dicom"),
            request.base_url + request.path,
        )
        payload = single_part(part, modified=_modified(instance, self._clock))
        return reply_with(request, payload, self._clock.wall())


async def _find(store: Store, uid: str) -> tuple[int, Instance]:
    def look(txn: Transaction) -> tuple[int, Instance] | None:
        found = find_instance(txn, uid)
        if found is None and was_evicted(txn, uid):
            raise refusal(HTTPStatus.GONE, "This instance was kept here until it was committed to, and then let go.")
        return found

    found = await store.read(look)
    if found is None:
        raise _not_found()
    return found


def _not_found() -> Refusal:
    return refusal(HTTPStatus.NOT_FOUND, "No such instance is stored here.")


def _negotiated(request: Request, form: WebForm) -> Selection:
    syntax = {TRANSFER_SYNTAX: form.transfer_syntax_uid}
    offered = (MediaType("multipart", "related", {"type": _DICOM, **syntax}), MediaType("application", "dicom", syntax))
    try:
        return negotiate(request.wishes, offered)
    except NegotiationError as error:
        raise Refusal(error.problem) from error


def _payload(request: Request, form: WebForm, selection: Selection, *, modified: float | None) -> Payload:
    location = url_of(request.base_url, INSTANCE, **request.params)
    part = Part(form, MediaType("application", "dicom", {TRANSFER_SYNTAX: form.transfer_syntax_uid}), location)
    if selection.media_type.type == "multipart":
        return multipart((part,), location=location, modified=modified, vary=selection.vary)
    return single_part(part, modified=modified, vary=selection.vary)


def _modified(instance: Instance, clock: Clock) -> float | None:
    return instance.received if clock.trusted() else None
