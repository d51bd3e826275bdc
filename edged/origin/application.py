"""The ASGI application: finds the route, lets in whoever may, answers; nothing a request does ends more than itself."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Protocol

import trio

from edged.config import Access, Origin
from edged.config.choices import Role
from edged.dicomweb.resources import Route
from edged.dicomweb.routing import match
from edged.http.problem import INTERNAL_ERROR, Problem
from edged.origin.access import require
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
    public_base_url,
    refusal,
    report,
)
from edged.store.errors import InstanceGone, StoreError

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Reply]]
_WAIT_S = 60.0
_UPGRADE = Problem(
    status=HTTPStatus.UPGRADE_REQUIRED,
    detail="This resource is a notification connection: open a WebSocket.",
)

_UNREADABLE = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    detail="The bytes of this instance cannot be read from the store. The box's state says what can be done.",
)


class SocketHandler(Protocol):
    """Serves one WebSocket."""

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Serve it to its end; raises Refusal while it is not accepted."""


class Application:
    """Routes to handlers, by the names of the rows in `dicomweb.resources`."""

    def __init__(
        self,
        origin: Origin,
        access: Access,
        handlers: Mapping[str, Handler],
        *,
        sockets: Mapping[str, SocketHandler],
    ) -> None:
        self._origin = origin
        self._access = access
        self._handlers = handlers
        self._sockets = sockets
        self._running = trio.CapacityLimiter(origin.max_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] == "http":
            await self._serve(self._request(scope, receive), send)
        elif scope["type"] == "websocket":
            await self._serve_socket(self._request(scope, receive), send)

    def _request(self, scope: Scope, receive: Receive) -> Request:
        raw = scope.get("raw_path") or str(scope["path"]).encode()
        path = raw.decode("latin-1").partition("?")[0]
        base = self._origin.base_path.rstrip("/")
        inside = path == base or path.startswith(base + "/")
        return Request(
            scope=scope,
            receive=receive,
            path=(path[len(base) :] or "/") if inside else "",
            base_url=public_base_url(scope, self._origin.base_path, self._origin.base_url),
        )

    async def _serve(self, request: Request, send: Send) -> None:
        """The guard of a request: an unexpected error is logged once and answered 500.

        When the answer has begun the server is told: it logs the error and cuts the transfer.
        """
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            reply = await self._reply(request)
            await request.skip()
            await answer(reply, request.scope, sending)
        except ClientGone:
            log.debug("a client left in the middle of its request")
        except Exception as error:
            if begun:
                raise
            problem = _UNREADABLE if isinstance(error, InstanceGone) else INTERNAL_ERROR
            log.log(logging.WARNING if problem is _UNREADABLE else logging.ERROR, "a request failed", exc_info=True)
            await answer(report(problem, request.header("accept")), request.scope, send)

    async def _reply(self, request: Request) -> Reply:
        try:
            route = self._route(request, str(request.scope["method"]))
            if route.websocket:
                raise Refusal(_UPGRADE, (("upgrade", "websocket"),))
            handler = self._handlers[route.name]
            if Role.MONITOR in route.roles or not route.roles:
                return await handler(request)
            await self._enter()
            try:
                return await handler(request)
            finally:
                self._running.release()
        except Refusal as error:
            return report(error.problem, request.header("accept"), error.headers)
        except StoreError as error:
            log.info("the store could not serve a request: %s", error)
            problem = Problem(
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                detail="The store cannot serve this now.",
                temporary=True,
                retry_after=60,
            )
            return report(problem, request.header("accept"))

    async def _enter(self) -> None:
        with suppress(trio.WouldBlock):
            self._running.acquire_nowait()
            return
        with trio.move_on_after(_WAIT_S):
            await self._running.acquire()
            return
        raise refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once.", temporary=True, retry_after=10)

    def _route(self, request: Request, method: str) -> Route:
        found = match(request.path)
        if found is None:
            raise refusal(HTTPStatus.NOT_FOUND, "There is no such resource.")
        route = found.route(method)
        if route is None:
            detail = f"This resource takes {found.allow}."
            raise Refusal(Problem(status=HTTPStatus.METHOD_NOT_ALLOWED, detail=detail), (("allow", found.allow),))
        request.params.update(found.parameters)
        require(request, route.roles, self._access)
        return route

    async def _serve_socket(self, request: Request, send: Send) -> None:
        try:
            route = self._route(request, "GET")
            if not route.websocket:
                raise refusal(HTTPStatus.BAD_REQUEST, "This resource is not a notification connection.")
            await self._sockets[route.name](request, request.receive, send)
        except Refusal as error:
            await _deny(report(error.problem, request.header("accept"), error.headers), send)


async def _deny(reply: Reply, send: Send) -> None:
    """Refuse a WebSocket with an HTTP answer (the ASGI denial response)."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "websocket.http.response.start", "status": int(reply.status), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reply.body})
