"""Request bodies with their content coding undone (RFC 9110 8.4), as pieces or whole.

What may live here: the bounds of decoding, and what a body that breaks them is answered: 415 for a coding that is not
known, before anything is read, 413 beyond a bound, 400 for what is malformed. A body without a coding costs nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

import trio

from edged.http.content_coding import ACCEPT_ENCODING, ContentCodingError, UnsupportedCoding
from edged.http.content_decoding import DecodeLimits, Decoder, ExpansionExceeded
from edged.http.problem import Problem
from edged.origin.exchange import Refusal, Request, refusal

STEPS_A_TURN = 2
"""Steps of decoding before others have their turn, whether they gave anything or not; a hostile one takes 0.7 ms."""


def pieces_of(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Return the request's body, decoded, in pieces as it arrives.

    Raises Refusal (415) at once; iterating raises ClientGone, and ContentCodingError when it is not what it says it
    is, or decodes to more than `most_bytes`.
    """
    coding = request.header("content-encoding")
    if coding is None:
        return request.body()
    try:
        return _decoded(request, Decoder(coding, DecodeLimits(most_bytes)))
    except UnsupportedCoding as error:
        problem = Problem(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail=_sentence(error))
        raise Refusal(problem, (ACCEPT_ENCODING,)) from error


async def read_whole(request: Request, most_bytes: int) -> bytes:
    """Return the whole body, decoded; raises Refusal (400, 413, 415) and ClientGone."""
    detail = f"This resource takes at most {most_bytes} bytes."
    if (request.content_length or 0) > most_bytes:
        raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    gathered = bytearray()
    try:
        async with aclosing(pieces_of(request, most_bytes)) as pieces:
            async for piece in pieces:
                gathered += piece
                if len(gathered) > most_bytes:
                    raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    except ContentCodingError as error:
        raise coding_refusal(error) from error
    return bytes(gathered)


def coding_refusal(error: ContentCodingError) -> Refusal:
    """Return what a body is answered that could not be decoded."""
    too_large = isinstance(error, ExpansionExceeded)
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST, _sentence(error))


async def _decoded(request: Request, decoder: Decoder) -> AsyncGenerator[bytes, None]:
    steps = 0
    async with aclosing(request.body()) as pieces:
        async for piece in pieces:
            for decoded in decoder.feed(piece):
                if decoded:
                    yield decoded
                steps += 1
                if steps % STEPS_A_TURN == 0:
                    await trio.lowlevel.checkpoint()
    decoder.finish()


def _sentence(error: ContentCodingError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
