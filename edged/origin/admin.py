"""What the resources below /admin have in common: what the commands send is JSON, and so is what they get.

A handler of such a resource is a row of `dicomweb.resources` with the role admin, and stands beside the others in the
composition root. What it is asked about and does not know it refuses by `unknown`: so a command can tell that from a
path that is not there. Invariant: only application/json is read, which no form of a web page can send.
"""

from http import HTTPStatus
from typing import TypeVar

import msgspec

from edged.http.problem import Problem
from edged.origin.bodies import read_whole
from edged.origin.exchange import Refusal, Reply, Request, refusal

MOST_BYTES = 256 << 10
JSON = "application/json"

_NO_STORE = ("cache-control", "no-store")

T = TypeVar("T")


async def read_content(request: Request, kind: type[T]) -> T:
    """Return what was sent as a value of a kind; raises Refusal (400, 413, 415)."""
    if (request.header("content-type") or "").partition(";")[0].strip().lower() != JSON:
        raise refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"This resource takes {JSON}.")
    body = await read_whole(request, MOST_BYTES)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, f"The payload is not what this resource takes: {error}.") from error


def answered(value: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """Answer with one value."""
    return Reply(status, (("content-type", JSON), _NO_STORE), msgspec.json.encode(value))


def unknown(name: str, detail: str) -> Refusal:
    """Refuse what names something that is not there; the detail tells the remedy."""
    return Refusal(Problem(status=HTTPStatus.NOT_FOUND, detail=detail, extra={"unknown": name}))
