"""The conditions of a request, judged against the representation that would answer it (RFC 9110 13).

What may live here: the step from a judgement to an answer, the same for every payload. It is asked when the answer
would be a success otherwise, and of the representation as it would be sent: an encoded one has a tag of its own.
"""

from http import HTTPStatus

from edged.http.conditional import Precondition, Validators, evaluate
from edged.origin.exchange import Request, refusal


def is_known(request: Request, current: Validators, *, now: float) -> bool:
    """Tell whether the user agent has this representation already, so that 304 answers; `now` is POSIX time in seconds.

    Raises Refusal (412). Source: RFC 9110 13.2.2, 15.4.5.
    """
    outcome = evaluate(str(request.scope["method"]), request.header, current, now=now)
    if outcome is Precondition.PRECONDITION_FAILED:
        raise refusal(HTTPStatus.PRECONDITION_FAILED, "The resource is in another state than the request expects.")
    return outcome is Precondition.NOT_MODIFIED
