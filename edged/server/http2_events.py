"""What an HTTP/2 client has said, as the codec tells it.

What may live here: the events, frozen. Every one but Leaving is of a stream that had a request.
"""

from dataclasses import dataclass

Fields = list[tuple[bytes, bytes]]
"""Names and values in the order they came."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A stream has begun; `ended` if it has no body."""

    stream_id: int
    fields: Fields
    ended: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A piece of a body; what it took from the windows has to be given back by `Codec.credit`."""

    stream_id: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Trailed:
    """A body has ended with trailers."""

    stream_id: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Lost:
    """A stream was reset, by the client or for its fault."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The client opens no more streams; the code says whether it wants what is under way."""

    code: int


Event = Requested | Received | Trailed | Lost | Leaving
