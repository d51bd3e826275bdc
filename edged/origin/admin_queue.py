"""The resources of `edged queue`: a page of entries, and one step of a person's decision about some.

Every change stands in the audit log, instance by instance, with what was decided and why.
"""

from http import HTTPStatus

from edged.http.query import QueryError
from edged.origin.admin import answered, read_content, unknown
from edged.origin.audit import Outcome
from edged.origin.exchange import Reply, Request, refusal
from edged.services.queue_values import Change, QueueRequestError, UnknownNameError, Wanted
from edged.services.queueing import ROWS, QueueService
from edged.store.queue_admin import Action
from edged.store.queue_walk import CursorError, EntryState

_DIGITS = 6


class ListQueue:
    """GET /admin/queue."""

    def __init__(self, service: QueueService) -> None:
        self._service = service

    async def __call__(self, request: Request) -> Reply:
        """Answer with a page of entries; raises Refusal (400, 404)."""
        try:
            wanted, after, limit = _asked(request)
            return answered(await self._service.page(wanted, after, limit))
        except UnknownNameError as error:
            raise unknown(error.name, str(error)) from error
        except (QueryError, QueueRequestError, CursorError) as error:
            raise refusal(HTTPStatus.BAD_REQUEST, str(error)) from error


class ChangeQueue:
    """POST /admin/queue/{action}."""

    def __init__(self, service: QueueService) -> None:
        self._service = service

    async def __call__(self, request: Request) -> Reply:
        """Do one step and answer with what was done, or with what is to be agreed to; raises Refusal."""
        action = _action(request.params["action"])
        change = await read_content(request, Change)
        try:
            stepped, accounts = await self._service.act(action, change, who=request.requester.name)
        except UnknownNameError as error:
            raise unknown(error.name, str(error)) from error
        except (QueueRequestError, CursorError) as error:
            raise refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        request.outcomes = tuple(Outcome(each.sop_instance_uid, each.text) for each in accounts)
        return answered(stepped)


def _asked(request: Request) -> tuple[Wanted, str, int]:
    query = request.query
    limit = query.single("limit") or str(ROWS)
    if not (limit.isascii() and limit.isdigit() and len(limit) <= _DIGITS and int(limit)):
        raise QueueRequestError("The limit of a page is a number from 1 on.")
    try:
        states = tuple(EntryState(each) for each in query.values("state"))
    except ValueError as error:
        raise QueueRequestError(f"A state is one of {', '.join(EntryState)}.") from error
    wanted = Wanted(
        destination=query.single("destination") or "",
        study=query.single("study") or "",
        uids=query.values("uid"),
        states=states,
    )
    return wanted, query.single("after") or "", int(limit)


def _action(name: str) -> Action:
    try:
        return Action(name)
    except ValueError:
        raise unknown(name, f"There is no such action. Known: {', '.join(Action)}.") from None
