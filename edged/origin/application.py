"""The ASGI application: finds the route, lets in whoever may, answers; nothing a request does ends more than itself.

The order is the same for every service: the resource (404), a browser's preflight, the method (405), who asks (401,
403), the query (400), a turn (503), the handler; then what every answer gets (`answering`). Whatever is refused on the
way is a Status Report. What monitors ask for takes no turn. Each request that is not mere monitoring is noted in the
audit log, with the status of its answer if that went out whole; at the level debug each one is in the log.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from edged.config import Access, Origin
from edged.config.choices import Role
from edged.dicomweb.parameters import Style
from edged.dicomweb.resources import ROUTES, Route
from edged.dicomweb.routing import Match, match
from edged.http.origin_policy import OriginPolicy
from edged.http.problem import INTERNAL_ERROR, Problem
from edged.http.query import Query, QueryError, parse_query
from edged.origin.access import Gate
from edged.origin.answering import finished
from edged.origin.audit import Audit, Entry, is_audited
from edged.origin.base_url import Base
from edged.origin.exchange import (
    ClientGone,
    Message,
    Receive,
    Refusal,
    Reply,
    Request,
    Scope,
    Send,
    answer,
    refusal,
    report,
)
from edged.origin.pages import origin_of
from edged.origin.provenance import client_of
from edged.origin.room import Memory, NoRoom, Rooms
from edged.origin.turns import COME_AGAIN_S, Turn, Turns
from edged.store.errors import InstanceGone, StoreError
from edged.telemetry.request import current_request_id

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Reply]]

_CACHE_CONTROL = ("cache-control", "private, no-cache")
"""Of what not everybody may see, unless its handler says otherwise."""

_NOBODYS = frozenset[Role]()
_QUERY_NAMES = {
    route.name: frozenset(each.name for each in route.parameters if each.style is Style.QUERY) for route in ROUTES
}

_UPGRADE = Problem(
    status=HTTPStatus.UPGRADE_REQUIRED,
    detail="This resource is a notification connection: open a WebSocket.",
)
_UNREADABLE = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    detail="The bytes of this instance cannot be read from the store. The box's state says what can be done.",
)
_NO_ROOM = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="There is no room in memory for this now.",
    temporary=True,
    retry_after=COME_AGAIN_S,
)
_CUT_OFF = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="Others were waiting for what this request held, and it was waiting for its client.",
    temporary=True,
    retry_after=COME_AGAIN_S,
)
_UNAVAILABLE = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="The store cannot serve this now.",
    temporary=True,
    retry_after=60,
)


class SocketHandler(Protocol):
    """Serves one WebSocket."""

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Serve it to its end; raises Refusal and StoreError while it is not accepted."""


class Application:
    """Routes to handlers, by the names of the rows in `dicomweb.resources`."""

    def __init__(
        self,
        origin: Origin,
        access: Access,
        handlers: Mapping[str, Handler],
        *,
        sockets: Mapping[str, SocketHandler],
        audit: Audit | None = None,
    ) -> None:
        self.base = Base(origin)
        """Where the service stands, for whoever knows more of it than the settings of the origin server."""
        self._policy = OriginPolicy(origin.cors)
        self._gate = Gate(access, origin)
        self._turns = Turns(origin.max_requests)
        self.rooms = Rooms()
        """What requests hold in memory as a whole, for whoever wants to know."""
        self._handlers = handlers
        self._sockets = sockets
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] == "http":
            await self._serve(self.base.request(scope, receive), send)
        elif scope["type"] == "websocket":
            await self._serve_socket(self.base.request(scope, receive), send)

    async def _serve(self, request: Request, send: Send) -> None:
        """The guard of a request: an unexpected error is logged once and answered 500.

        When the answer has begun the server is told: it logs the error and cuts the transfer.
        """
        turn, status = Turn(self._turns), None
        send = turn.sending(send)
        request.receive = turn.receiving(request.receive)
        request.memory = Memory(self.rooms, turn)
        try:
            with turn.scope:
                status = await self._answered(request, turn, send)
            if turn.scope.cancelled_caught:
                log.info("a request was cut off: others waited for what it held")
                status = await self._answer_instead(request, _CUT_OFF, turn, send=send)
        finally:
            request.memory.release()
            self._turns.give(turn)
            self._note(request, status)

    async def _answered(self, request: Request, turn: Turn, send: Send) -> HTTPStatus | None:
        """Answer; return the status if the answer went out whole."""
        try:
            reply = await self._reply(request, turn)
            if isinstance(reply.body, bytes):
                request.memory.going.keep(request.held_bytes(reply.body))  # it may have been encoded
            await request.skip()
            await answer(reply, request.scope, send)
        except ClientGone:
            log.debug("a client left in the middle of its request")
            return None
        except Exception as error:
            if turn.has_answered:
                raise
            problem = _UNREADABLE if isinstance(error, InstanceGone) else INTERNAL_ERROR
            log.log(logging.WARNING if problem is _UNREADABLE else logging.ERROR, "a request failed", exc_info=True)
            return await self._answer_instead(request, problem, turn, send=send)
        return reply.status

    async def _answer_instead(self, request: Request, problem: Problem, turn: Turn, *, send: Send) -> HTTPStatus | None:
        """Answer with a problem unless another answer has begun: the server cuts that one."""
        if turn.has_answered:
            return None
        await answer(await self._report(request, problem), request.scope, send)
        return problem.status

    async def _reply(self, request: Request, turn: Turn) -> Reply:
        try:
            found = _resource(request)
            preflight = self._policy.preflight(request.scope["method"], request.fields)
            if preflight is not None:
                return Reply(HTTPStatus.NO_CONTENT, self._policy.preflight_fields(preflight, found.allow))
            route = await self._admitted(request, found, str(request.scope["method"]))
            if route.websocket:
                raise Refusal(_UPGRADE, (("connection", "upgrade"), ("upgrade", "websocket")))
            return await finished(await self._handled(request, route, turn), request, self._policy)
        except Refusal as error:
            return await self._report(request, error.problem, error)
        except InstanceGone:
            raise
        except StoreError as error:
            log.info("the store could not serve a request: %s", error)
            return await self._report(request, _UNAVAILABLE)
        except NoRoom:
            return await self._report(request, _NO_ROOM)

    async def _report(self, request: Request, problem: Problem, refused: Refusal | None = None) -> Reply:
        reply = report(problem, request.header("accept"), refused.headers if refused else ())
        return await finished(reply, request, self._policy)

    async def _handled(self, request: Request, route: Route, turn: Turn) -> Reply:
        handler = self._handlers[route.name]
        if Role.MONITOR not in route.roles and route.roles:
            await self._turns.take(turn)
        reply = await handler(request)
        if not route.roles or any(name == "cache-control" for name, _ in reply.headers):
            return reply
        return Reply(reply.status, (*reply.headers, _CACHE_CONTROL), reply.body)

    async def _admitted(self, request: Request, found: Match, method: str) -> Route:
        """Return the row of the request if it may use it and its query can be read; raises Refusal."""
        route = request.route = found.route(method)
        if route is None:
            detail = f"This resource takes {found.allow}."
            raise Refusal(Problem(status=HTTPStatus.METHOD_NOT_ALLOWED, detail=detail), (("allow", found.allow),))
        request.params.update(found.parameters)
        await self._gate.admit(request, route.roles, request.said)
        raw = request.scope.get("query_string")
        if raw:
            _read_query(request, raw, _QUERY_NAMES[route.name])
        return route

    async def _serve_socket(self, request: Request, send: Send) -> None:
        accepted, reply = False, None

        async def sending(message: Message) -> None:
            nonlocal accepted
            await send(message)
            accepted = True

        try:
            found = _resource(request)
            if not self._policy.origin_allowed(request.header("origin"), own=origin_of(request.base_url)):
                raise refusal(HTTPStatus.FORBIDDEN, "Pages of this origin may not open a connection here.")
            route = await self._admitted(request, found, "GET")
            if not route.websocket:
                raise refusal(HTTPStatus.BAD_REQUEST, "This resource is not a notification connection.")
            await self._sockets[route.name](request, request.receive, sending)
        except Refusal as error:
            reply = report(error.problem, request.header("accept"), error.headers)
        except StoreError:
            if accepted:
                raise
            reply = report(_UNAVAILABLE, request.header("accept"))
        if reply is not None:
            await _deny(reply, send)
        self._note(request, HTTPStatus.SWITCHING_PROTOCOLS if reply is None else reply.status)

    def _note(self, request: Request, status: HTTPStatus | None) -> None:
        """Put the request into the audit log, if it belongs there; `status` None: its answer did not go out whole."""
        route = request.route
        if log.isEnabledFor(logging.DEBUG):
            log.debug("a request has ended", extra=_summary(request, status))
        if self._audit is None or not is_audited(route.roles if route else _NOBODYS, status):
            return
        entry = Entry(
            request=current_request_id(),
            requester=request.requester,
            address=client_of(request, request.said),
            method=str(request.scope.get("method", "GET")),
            resource=route.name if route else "",
            status=status,
            study=request.params.get("study"),
            series=request.params.get("series"),
            instance=request.params.get("instance") or request.params.get("uid"),
            transaction=request.params.get("transactionUID"),
            instances=request.outcomes,
            forwarded_malformed=request.said.malformed,
        )
        self._audit.note(entry)


def _summary(request: Request, status: HTTPStatus | None) -> dict[str, object]:
    """What the log tells of a request beside its id: nothing that could name a patient or an instance."""
    return {
        "method": request.scope.get("method", "GET"),
        "resource": request.route.name if request.route else "none",
        "status": "none" if status is None else int(status),
    }


def _resource(request: Request) -> Match:
    found = match(request.path)
    if found is None:
        raise refusal(HTTPStatus.NOT_FOUND, "There is no such resource.")
    return found


def _read_query(request: Request, raw: bytes, known: frozenset[str]) -> None:
    """Read the query; what the resource does not know is ignored, and told in a Warning (PS3.18 8.3)."""
    try:
        query = parse_query(raw)
    except QueryError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, f"The query cannot be read: {error}.") from error
    request.ignored = query.unsupported(known)
    request.query = Query(tuple(each for each in query.parameters if each.name in known))


async def _deny(reply: Reply, send: Send) -> None:
    """Refuse a WebSocket with an HTTP answer (the ASGI denial response)."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "websocket.http.response.start", "status": int(reply.status), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reply.body})
