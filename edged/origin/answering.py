"""What every answer gets before it leaves, whichever handler made it: a content coding, Warning, CORS fields, Vary.

Strategy: most answers are small and most requests ask for none of it, so each step begins with the cheap question.
Invariants: a streamed answer is never encoded, nor are images and DICOM files, which have transfer syntaxes for that;
an encoded answer is another representation, with its own entity tag; no field stands twice.
"""

from dataclasses import replace
from http import HTTPStatus

import trio

from edged.http.conditional import matches_if_none_match
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

ENCODED_A_TURN = 256 << 10
"""Bytes that are encoded before others have their turn: some 3 ms on a small machine."""

_CONDITIONAL = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_A_BODY = frozenset({"content-type", "content-length", "content-encoding"})


async def finished(reply: Reply, request: Request, policy: OriginPolicy) -> Reply:
    """Return the answer as it leaves."""
    if isinstance(reply.body, bytes) and len(reply.body) >= MIN_WORTH_BYTES and _is_worth(reply):
        reply = await _encoded(reply, request)
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


def _is_worth(reply: Reply) -> bool:
    assert isinstance(reply.body, bytes)
    fields = dict(reply.headers)
    if "content-encoding" in fields or "content-range" in fields:
        return False
    return is_worth_encoding(fields.get("content-type", ""), len(reply.body))


async def _encoded(reply: Reply, request: Request) -> Reply:
    """Return an answer that may be encoded, encoded if that is wanted."""
    assert isinstance(reply.body, bytes)
    coding = choose_coding(request.header("accept-encoding")) or Coding.IDENTITY
    headers = joined(reply.headers, (VARY,))
    if coding is Coding.IDENTITY:
        return replace(reply, headers=headers)
    headers = tuple((name, coded_etag(value, coding) if name == "etag" else value) for name, value in headers)
    if _is_known(reply, request, dict(headers).get("etag")):
        kept = tuple(field for field in headers if field[0] not in _OF_A_BODY)
        return Reply(HTTPStatus.NOT_MODIFIED, kept)
    body = await _encode(reply.body, coding)
    plain = tuple(field for field in headers if field[0] != "content-length")
    return replace(reply, headers=(*plain, ("content-encoding", coding.value)), body=body)


def _is_known(reply: Reply, request: Request, etag: str | None) -> bool:
    """Whether the user agent has the encoded answer already; of the plain one the handler has decided."""
    if etag is None or reply.status != HTTPStatus.OK or request.scope["method"] not in _CONDITIONAL:
        return False
    return matches_if_none_match(request.header("if-none-match"), etag)


async def _encode(body: bytes, coding: Coding) -> bytes:
    encoder = Encoder(coding)
    encoded = bytearray()
    for start in range(0, len(body), ENCODED_A_TURN):
        if start:
            await trio.lowlevel.checkpoint()
        encoded += encoder.feed(memoryview(body)[start : start + ENCODED_A_TURN])
    return bytes(encoded + encoder.finish())
