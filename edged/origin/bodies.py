"""Request bodies with their content coding undone (RFC 9110 8.4), as pieces or whole.

What may live here: the bounds of decoding, and what a body that breaks them is answered: 415 for a coding that is not
known, before anything is read, 413 beyond a bound, 400 for what is malformed. A body without a coding costs nothing.
What is gathered whole has room before it is more than one piece; until there is some its client is not read on.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

import trio

from edged.http.content_coding import ACCEPT_ENCODING, ContentCodingError, UnsupportedCoding
from edged.http.content_decoding import DecodeLimits, Decoder, ExpansionExceeded
from edged.http.problem import Problem
from edged.origin.exchange import Refusal, Request, refusal
from edged.origin.room import SMALL_BYTES

STEPS_A_TURN = 2
"""Steps of decoding before others have their turn, whether they gave anything or not; a hostile one takes 0.7 ms."""


def pieces_of(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Return the request's body, decoded, in pieces as it arrives.

    Raises Refusal (415) at once; iterating raises ClientGone, NoRoom when the window of its coding finds none, and
    ContentCodingError when it is not what it says it is, or decodes to more than `most_bytes`.
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
    """Return the whole body, decoded, with room held for it in `request.memory.coming`.

    Raises Refusal (400, 413, 415), ClientGone and NoRoom.
    """
    detail = f"This resource takes at most {most_bytes} bytes."
    if (request.content_length or 0) > most_bytes:
        raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    gathered, room = bytearray(), request.memory.coming
    try:
        async with aclosing(pieces_of(request, most_bytes)) as pieces:
            async for piece in pieces:
                if len(gathered) + len(piece) > most_bytes:
                    raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
                if not room.bytes and len(gathered) + len(piece) > SMALL_BYTES:
                    await room.hold(_expected(request, most_bytes))
                gathered += piece
    except ContentCodingError as error:
        raise coding_refusal(error) from error
    room.keep(len(gathered))
    return bytes(gathered)


def coding_refusal(error: ContentCodingError) -> Refusal:
    """Return what a body is answered that could not be decoded."""
    too_large = isinstance(error, ExpansionExceeded)
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST, _sentence(error))


def _expected(request: Request, most_bytes: int) -> int:
    """Return how long a body may become."""
    announced = request.content_length
    return most_bytes if announced is None or request.header("content-encoding") is not None else announced


async def _decoded(request: Request, decoder: Decoder) -> AsyncGenerator[bytes, None]:
    steps = 0
    await request.memory.windows.hold(decoder.window_bytes)
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
