"""The resources that edged serves: one row for each resource and method.

A row holds all that is known of a resource before a request comes: who may use it, what it takes and
gives, with which statuses, and its description. Routing, access control, negotiation and the
capabilities description all read these rows, so that what is announced is what is served. A resource
gets its row in the change that serves it (PS3.18 Tables 10.1-1, 13.1.1-1; 8.9; 8.10).
"""

from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from typing import Final

from edged.config.choices import Role
from edged.dicomweb import parameters
from edged.dicomweb.parameters import Parameter
from edged.dicomweb.representation import DICOM_JSON, DICOM_XML, OFFERED

_DICOM_PARTS: Final = 'multipart/related; type="application/dicom"'
_DICOM: Final = (_DICOM_PARTS, "application/dicom")
_REPORTS: Final = tuple(str(media_type) for media_type in OFFERED)
_WADL: Final = "application/vnd.sun.wadl+xml"
_JSON: Final = "application/json"
_EVENT_REPORTS: Final = (str(DICOM_JSON), str(DICOM_XML), _JSON, "application/dicom")

_OPEN: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What a request may be answered that nobody is kept from. Source: PS3.18 Table 8.5-1."""

_ANY: Final = (*_OPEN, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""What any other request may be answered. Source: PS3.18 Table 8.5-1; RFC 6585 4."""

_STORE: Final = (
    *_ANY,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_ADMIN: Final = (*_STORE, HTTPStatus.NOT_FOUND)
_KEPT: Final = (*_ANY, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_BYTES: Final = (*_KEPT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
_SOCKET: Final = (*_ANY, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.CONFLICT, HTTPStatus.UPGRADE_REQUIRED)
_GET_ONLY: Final = frozenset(
    {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one resource.

    `roles`: any of them suffices, none means without credentials. `takes` and `offers` are media types, the
    default first. `parameters`: what else a request may carry, and `gives` an answer. `success` comes with a
    payload, `bare` without, `failure` with a Status Report. `listed`: it stands in the capabilities description.
    A `websocket` is reached by Upgrade.
    """

    name: str
    method: str
    template: str
    roles: frozenset[Role]
    description: str
    takes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    gives: tuple[Parameter, ...] = ()
    success: tuple[HTTPStatus, ...] = (HTTPStatus.OK,)
    bare: tuple[HTTPStatus, ...] = ()
    failure: tuple[HTTPStatus, ...] = _ANY
    websocket: bool = False
    listed: bool = True

    @property
    def segments(self) -> tuple[str, ...]:
        """The template's path segments; a variable one stands in braces."""
        return segments_of(self.template)

    @property
    def needs_accept(self) -> bool:
        """Whether a request without Accept is answered 406 (PS3.18 8.7.5; a store and a WebSocket take it as any)."""
        return HTTPStatus.NOT_ACCEPTABLE in self.failure and not self.websocket


def head_of(route: Route) -> Route:
    """Return the row of HEAD for that of a GET; it has no ranges and opens nothing. Source: RFC 9110 9.3.2, 14.2."""
    return replace(
        route,
        method="HEAD",
        parameters=tuple(each for each in route.parameters if each not in parameters.RANGED),
        success=_without(route.success, _GET_ONLY),
        bare=_without(route.bare, _GET_ONLY),
        failure=_without(route.failure, _GET_ONLY),
    )


def bare_options(route: Route, template: str, roles: frozenset[Role]) -> Route:
    """Return the row of OPTIONS for what is not described, from that of what is: it tells the methods alone.

    Source: RFC 9110 9.3.7.
    """
    return replace(
        route,
        template=template,
        roles=roles,
        offers=(),
        parameters=(),
        gives=(),
        success=(),
        bare=(HTTPStatus.NO_CONTENT,),
        failure=_ANY if roles else _OPEN,
    )


def _without(statuses: tuple[HTTPStatus, ...], lacking: frozenset[HTTPStatus]) -> tuple[HTTPStatus, ...]:
    return tuple(status for status in statuses if status not in lacking)


@cache
def segments_of(template: str) -> tuple[str, ...]:
    """Return a template's path segments."""
    return tuple(segment for segment in template.split("/") if segment)


RETRIEVE_CAPABILITIES: Final = Route(
    name="retrieveCapabilities",
    method="OPTIONS",
    template="/",
    roles=frozenset(Role),
    description="Retrieve Capabilities (PS3.18 8.9); in JSON with the state of the box for its monitors.",
    offers=(_WADL, _JSON),
    parameters=(parameters.ACCEPT_CHARSET, parameters.ACCEPT_ENCODING, *parameters.TAGGED),
    gives=(parameters.ETAG,),
    bare=(HTTPStatus.NOT_MODIFIED,),
    failure=(*_ANY, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.PRECONDITION_FAILED),
    listed=False,
)
"""The row of the service itself; every resource that is listed, and every level above one, answers alike."""

ROUTES: Final = (
    RETRIEVE_CAPABILITIES,
    Route(
        name="openNotificationConnection",
        method="GET",
        template="/",
        roles=frozenset({Role.MONITOR, Role.ADMIN}),
        description="Open Notification Connection by WebSocket: event reports, from now on or after a number (8.10.4).",
        offers=_EVENT_REPORTS,
        parameters=parameters.WEBSOCKET,
        success=(),
        bare=(HTTPStatus.SWITCHING_PROTOCOLS,),
        failure=_SOCKET,
        websocket=True,
    ),
    Route(
        name="openSubscriberConnection",
        method="GET",
        template="/subscribers/{requester}",
        roles=frozenset({Role.MONITOR, Role.ADMIN}),
        description="Open Notification Connection under the name of a requester, which goes on where it was.",
        offers=_EVENT_REPORTS,
        parameters=parameters.WEBSOCKET,
        success=(),
        bare=(HTTPStatus.SWITCHING_PROTOCOLS,),
        failure=_SOCKET,
        websocket=True,
    ),
    Route(
        name="storeInstances",
        method="POST",
        template="/studies",
        roles=frozenset({Role.STORE}),
        description="Store Instances of any study (PS3.18 10.5).",
        takes=_DICOM,
        offers=_REPORTS,
        parameters=(parameters.CONTENT_ENCODING, parameters.ACCEPT_ENCODING),
        gives=(parameters.LOCATION, parameters.CONTENT_LOCATION),
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=_STORE,
    ),
    Route(
        name="storeStudyInstances",
        method="POST",
        template="/studies/{study}",
        roles=frozenset({Role.STORE}),
        description="Store Instances of one study (PS3.18 10.5).",
        takes=_DICOM,
        offers=_REPORTS,
        parameters=(parameters.CONTENT_ENCODING, parameters.ACCEPT_ENCODING),
        gives=(parameters.LOCATION, parameters.CONTENT_LOCATION),
        success=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
        failure=_STORE,
    ),
    Route(
        name="retrieveInstance",
        method="GET",
        template="/studies/{study}/series/{series}/instances/{instance}",
        roles=frozenset({Role.READ}),
        description="Retrieve Instance (PS3.18 10.4).",
        offers=_DICOM,
        parameters=(*parameters.NEGOTIATED, *parameters.CONDITIONAL, *parameters.RANGED),
        gives=parameters.VALIDATED,
        success=(HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT),
        bare=(HTTPStatus.NOT_MODIFIED,),
        failure=(*_BYTES, HTTPStatus.NOT_ACCEPTABLE),
    ),
    Route(
        name="requestStorageCommitment",
        method="POST",
        template="/commitment-requests/{transactionUID}",
        roles=frozenset({Role.STORE}),
        description="Request Storage Commitment (PS3.18 13.4).",
        takes=_REPORTS,
        offers=_REPORTS,
        parameters=(parameters.ACCEPT_CHARSET, parameters.ACCEPT_ENCODING, parameters.CONTENT_ENCODING),
        gives=(parameters.RETRY_AFTER, parameters.ETAG, parameters.CONTENT_LOCATION),
        bare=(HTTPStatus.ACCEPTED,),
        failure=_STORE,
    ),
    Route(
        name="checkStorageCommitmentResult",
        method="GET",
        template="/commitment-requests/{transactionUID}",
        roles=frozenset({Role.STORE}),
        description="Check the result of a storage commitment request (PS3.18 13.5).",
        offers=_REPORTS,
        parameters=(*parameters.NEGOTIATED_TEXT, *parameters.TAGGED),
        gives=(parameters.RETRY_AFTER, parameters.ETAG, parameters.CONTENT_LOCATION),
        bare=(HTTPStatus.ACCEPTED, HTTPStatus.NOT_MODIFIED),
        failure=(*_KEPT, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.PRECONDITION_FAILED),
    ),
    Route(
        name="health",
        method="GET",
        template="/healthz",
        roles=frozenset(),
        description="Tells whether the daemon serves requests.",
        offers=("text/plain",),
        failure=_OPEN,
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
        parameters=(*parameters.CONDITIONAL, *parameters.RANGED),
        gives=parameters.VALIDATED,
        success=(HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT),
        bare=(HTTPStatus.NOT_MODIFIED,),
        failure=_BYTES,
        listed=False,
    ),
    Route(
        name="adminQueue",
        method="GET",
        template="/admin/queue",
        roles=frozenset({Role.ADMIN}),
        description="What waits, and why: a page of the queues' entries.",
        offers=(_JSON,),
        parameters=parameters.QUEUE,
        failure=(*_ANY, HTTPStatus.NOT_FOUND),
        listed=False,
    ),
    Route(
        name="adminQueueAction",
        method="POST",
        template="/admin/queue/{action}",
        roles=frozenset({Role.ADMIN}),
        description="A person's decision about entries of the queues, a step at a time.",
        takes=(_JSON,),
        offers=(_JSON,),
        failure=_ADMIN,
        listed=False,
    ),
    Route(
        name="adminExplain",
        method="GET",
        template="/admin/explain/{uid}",
        roles=frozenset({Role.ADMIN}),
        description="All that is known of an instance, a conflict, a series or a study.",
        offers=(_JSON,),
        parameters=parameters.PAGED,
        failure=(*_ANY, HTTPStatus.NOT_FOUND),
        listed=False,
    ),
    Route(
        name="adminProbe",
        method="POST",
        template="/admin/probe",
        roles=frozenset({Role.ADMIN}),
        description="Probes destinations step by step.",
        takes=(_JSON,),
        offers=(_JSON,),
        failure=_ADMIN,
        listed=False,
    ),
)
"""All that is served now."""
