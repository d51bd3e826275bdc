"""The id of the request that is being served, for every log line that is written meanwhile and for its answer.

What may live here: making ids and knowing the current one. Strategy: a context variable, which the tasks and
worker threads that a request starts inherit by themselves. An id is a random part for this process and a
count, so it is unique over restarts without anything being kept. What a client calls its request is never
taken over: it could be anything, and somebody else's.
"""

import os
from base64 import b32encode
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

REQUEST_ID_FIELD = "x-request-id"

_PROCESS = b32encode(os.urandom(5)).decode("ascii").lower()  # five octets are eight letters, without padding
_COUNT = count(1)
_CURRENT: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """An id that no other request has: lower-case letters, digits and one hyphen."""
    return f"{_PROCESS}-{next(_COUNT):x}"


def current_request_id() -> str:
    """The id of the request that this task or thread works for, empty outside of any."""
    return _CURRENT.get()


@contextmanager
def serving_request(request_id: str) -> Iterator[None]:
    """Work for a request within the block."""
    token = _CURRENT.set(request_id)
    try:
        yield
    finally:
        _CURRENT.reset(token)
