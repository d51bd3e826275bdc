"""The messages of a WebSocket, put together from their fragments (RFC 6455 5.4).

What may live here: what is held of a message until it is whole; pure. Strategy: a message that comes in one
piece is handed on as it is; of another the octets are held, whatever number of pieces they come in.
Invariants: what is held has `limit_bytes` at most, however small the fragments are and however many; empty
ones leave nothing behind.
"""

from typing import Any


class MessageTooBig(Exception):
    """A message is longer than a session takes; nothing is held of it."""


class Assembly:
    """The message that has begun, if any."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()

    def add(self, data: str | bytes, *, finished: bool) -> dict[str, Any] | None:
        """What ASGI calls a whole message, None while there is more to come; raises MessageTooBig."""
        octets = data.encode() if isinstance(data, str) else data
        if len(self._held) + len(octets) > self._limit_bytes:
            self._held = bytearray()
            raise MessageTooBig
        if finished and not self._held:
            return _message(data)
        self._held += octets
        if not finished:
            return None
        held, self._held = self._held, bytearray()
        return _message(held.decode() if isinstance(data, str) else bytes(held))


def _message(data: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}
