"""The resources that edged serves: one row for each resource and method.

A row holds all that is known of a resource before a request comes: who may use it, what it takes and
gives, with which statuses, and its description. Routing, access control, negotiation and the
capabilities description all read these rows, so that what is announced is what is served. A resource
gets its row in the change that serves it (PS3.18 Tables 10.1-1, 13.1.1-1; 8.9; 8.10).
"""

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Final

from edged.config.choices import Role

_DICOM_PARTS: Final = 'multipart/related; type="application/dicom"'
_REPORTS: Final = (
    "application/dicom+json",
    "application/json",
    "application/dicom+xml",
    'multipart/related; type="application/dicom+json"',
    'multipart/related; type="application/dicom+xml"',
)
_WADL: Final = "application/vnd.sun.wadl+xml"
_JSON: Final = "application/json"

_REFUSED: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one resource.

    `roles`: any of them suffices, none means without credentials. `takes` and `offers` are media types, the
    default first. `listed`: it stands in the capabilities description. A `websocket` is reached by Upgrade.
    """

    name: str
    method: str
    template: str
    roles: frozenset[Role]
    description: str
    takes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    success: tuple[HTTPStatus, ...] = (HTTPStatus.OK,)
    failure: tuple[HTTPStatus, ...] = _REFUSED
    websocket: bool = False
    listed: bool = True

    @property
    def segments(self) -> tuple[str, ...]:
        """The template's path segments; a variable one stands in braces."""
        return _segments(self.template)


@cache
def _segments(template: str) -> tuple[str, ...]:
    return tuple(segment for segment in template.split("/") if segment)


_STORE_STATUSES: Final = (
    *_REFUSED,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    *_BUSY,
)

ROUTES: Final = (
    Route(
        name="retrieveCapabilities",
        method="OPTIONS",
        template="/",
        roles=frozenset(Role),
        description="Retrieve Capabilities (PS3.18 8.9); in JSON with the state of the box for its monitors.",
        offers=(_WADL, _JSON),
        success=(HTTPStatus.OK, HTTPStatus.NOT_MODIFIED),
        failure=(*_REFUSED, HTTPStatus.NOT_ACCEPTABLE),
        listed=False,
    ),
    Route(
        name="openNotificationConnection",
        method="GET",
        template="/",
        roles=frozenset({Role.MONITOR, Role.ADMIN}),
        description="Open Notification Connection by WebSocket: event reports from now on (PS3.18 8.10.4).",
        offers=("application/dicom+json", "application/dicom+xml"),
        success=(HTTPStatus.SWITCHING_PROTOCOLS,),
        failure=(*_REFUSED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UPGRADE_REQUIRED, *_BUSY),
        websocket=True,
    ),
    Route(
        name="openSubscriberConnection",
        method="GET",
        template="/subscribers/{requester}",
        roles=frozenset({Role.MONITOR, Role.ADMIN}),
        description="Open Notification Connection of a named requester: resumes where it acknowledged.",
        offers=("application/dicom+json", "application/dicom+xml"),
        success=(HTTPStatus.SWITCHING_PROTOCOLS,),
        failure=(*_REFUSED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UPGRADE_REQUIRED, *_BUSY),
        websocket=True,
    ),
    Route(
        name="storeInstances",
        method="POST",
        template="/studies",
        roles=frozenset({Role.STORE}),
        description="Store Instances of any study (PS3.18 10.5).",
        takes=(_DICOM_PARTS, "application/dicom"),
        offers=_REPORTS,
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=_STORE_STATUSES,
    ),
    Route(
        name="storeStudyInstances",
        method="POST",
        template="/studies/{study}",
        roles=frozenset({Role.STORE}),
        description="Store Instances of one study (PS3.18 10.5).",
        takes=(_DICOM_PARTS, "application/dicom"),
        offers=_REPORTS,
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=_STORE_STATUSES,
    ),
    Route(
        name="retrieveInstance",
        method="GET",
        template="/studies/{study}/series/{series}/instances/{instance}",
        roles=frozenset({Role.READ}),
        description="Retrieve Instance (PS3.18 10.4).",
        offers=(_DICOM_PARTS, "application/dicom"),
        success=(HTTPStatus.OK, HTTPStatus.NOT_MODIFIED),
        failure=(*_REFUSED, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.GONE, *_BUSY),
    ),
    Route(
        name="requestStorageCommitment",
        method="POST",
        template="/commitment-requests/{transactionUID}",
        roles=frozenset({Role.STORE}),
        description="Request Storage Commitment (PS3.18 13.4).",
        takes=_REPORTS,
        offers=_REPORTS,
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=_STORE_STATUSES,
    ),
    Route(
        name="checkStorageCommitmentResult",
        method="GET",
        template="/commitment-requests/{transactionUID}",
        roles=frozenset({Role.STORE}),
        description="Check the result of a storage commitment request (PS3.18 13.5).",
        offers=_REPORTS,
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=(*_REFUSED, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.GONE, *_BUSY),
    ),
    Route(
        name="health",
        method="GET",
        template="/healthz",
        roles=frozenset(),
        description="Tells whether the daemon serves requests.",
        offers=("text/plain",),
        failure=_BUSY,
        listed=False,
    ),
    Route(
        name="adminStatus",
        method="GET",
        template="/admin/status",
        roles=frozenset({Role.MONITOR, Role.ADMIN}),
        description="The state of the box, as in the capabilities description.",
        offers=(_JSON,),
        listed=False,
    ),
    Route(
        name="adminInstanceFile",
        method="GET",
        template="/admin/instances/{uid}/file",
        roles=frozenset({Role.ADMIN}),
        description="The stored bytes of an instance, exactly as they arrived.",
        offers=("application/dicom",),
        failure=(*_REFUSED, HTTPStatus.NOT_FOUND),
        listed=False,
    ),
)
"""All that is served now."""
