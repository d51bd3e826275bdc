"""What every answer gets before it leaves, whichever handler made it: its coding, 304, Warning, CORS fields, Vary.

Strategy: most answers are small and most requests ask for none of it, so each step begins with the cheap question.
Invariants: a streamed answer is never encoded, nor are images and DICOM files, which have transfer syntaxes for that;
an encoded answer is another representation, with its own entity tag, and conditions are judged by the tag that would be
sent; no field stands twice. A streamed answer's conditions are its handler's: they come before its ranges.
"""

from http import HTTPStatus

import trio
from msgspec.structs import replace

from edged.http.conditional import Validators
from edged.http.content_coding import (
    MIN_WORTH_BYTES,
    VARY,
    Coding,
    Encoder,
    choose_coding,
    coded_etag,
    is_worth_encoding,
)
from edged.http.origin_policy import OriginPolicy
from edged.http.warning import unsupported_parameters
from edged.origin.exchange import Headers, Reply, Request
from edged.origin.preconditions import is_known

ENCODED_A_TURN = 256 << 10
"""Bytes that are encoded before others have their turn: some 3 ms on a small machine."""

_CONDITIONAL = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_A_BODY = frozenset({"content-type", "content-length", "content-encoding"})
_ANY_TIME = 0.0  # what has no date is judged by none


async def finished(reply: Reply, request: Request, policy: OriginPolicy) -> Reply:
    """Return the answer as it leaves; raises Refusal (412)."""
    if isinstance(reply.body, bytes):
        reply = await _represented(reply, reply.body, request)
    added: Headers = ()
    if request.ignored:
        added = (("warning", unsupported_parameters(request.base_url, request.ignored)),)
    added += policy.response_fields(request.header("origin"))
    return replace(reply, headers=joined(reply.headers, added)) if added else reply


def joined(headers: Headers, added: Headers) -> Headers:
    """Return all fields; what both have of Vary stands in one line. Source: RFC 9110 12.5.5."""
    vary = [value for name, value in (*headers, *added) if name == "vary"]
    if len(vary) < 2:
        return headers + added
    names = dict.fromkeys(name.strip().lower() for value in vary for name in value.split(","))
    return (*(field for field in (*headers, *added) if field[0] != "vary"), ("vary", ", ".join(names)))


async def _represented(reply: Reply, body: bytes, request: Request) -> Reply:
    """Return an answer in the content coding that is wanted, without its body if the user agent has that already."""
    coding = Coding.IDENTITY
    if len(body) >= MIN_WORTH_BYTES and _is_worth(reply, len(body)):
        coding = choose_coding(request.header("accept-encoding")) or Coding.IDENTITY
        reply = replace(reply, headers=_coded(reply.headers, coding))
    if _is_known(reply, request):
        return Reply(HTTPStatus.NOT_MODIFIED, tuple(field for field in reply.headers if field[0] not in _OF_A_BODY))
    return reply if coding is Coding.IDENTITY else replace(reply, body=await _encode(body, coding))


def _is_worth(reply: Reply, length: int) -> bool:
    fields = dict(reply.headers)
    if "content-encoding" in fields or "content-range" in fields:
        return False
    return is_worth_encoding(fields.get("content-type", ""), length)


def _coded(headers: Headers, coding: Coding) -> Headers:
    """Return the fields of an answer that may be encoded, in this coding."""
    headers = joined(headers, (VARY,))
    if coding is Coding.IDENTITY:
        return headers
    plain = (field for field in headers if field[0] != "content-length")
    tagged = ((name, coded_etag(value, coding) if name == "etag" else value) for name, value in plain)
    return (*tagged, ("content-encoding", coding.value))


def _is_known(reply: Reply, request: Request) -> bool:
    """Whether the user agent has the answer already, by its tag, for it has no date; raises Refusal (412)."""
    if reply.status != HTTPStatus.OK or request.scope["method"] not in _CONDITIONAL:
        return False
    etag = next((value for name, value in reply.headers if name == "etag"), None)
    return etag is not None and is_known(request, Validators(etag), now=_ANY_TIME)


async def _encode(body: bytes, coding: Coding) -> bytes:
    encoder = Encoder(coding)
    encoded = bytearray()
    for start in range(0, len(body), ENCODED_A_TURN):
        if start:
            await trio.lowlevel.checkpoint()
        encoded += encoder.feed(memoryview(body)[start : start + ENCODED_A_TURN])
    return bytes(encoded + encoder.finish())
