"""How much a client may make an HTTP/2 connection do for nothing.

What may live here: one count against a clock that the caller reads; pure. Strategy: everything that costs work
and brings no request nearer to its answer takes one: a stream reset before its answer, a stream refused, a request
that the server itself refuses, late DATA in crumbs or beyond its window, an acknowledged SETTINGS or PING, a
WINDOW_UPDATE, an empty DATA frame, what is ignored. It comes back with time, with octets moved and with answers
finished, so that whoever transfers something can never run out, however many windows it opens. Invariant: `spend`
raises ConnectionFault or at least a spent one was saved before.
"""

from edged.server.http2_frames import ConnectionFault, ErrorCode

BURST = 1000  # as nghttp2 lets streams be reset (its --stream-reset-burst, CVE-2023-44487)
PER_S = 50  # nghttp2 allows 33 resets; here PING and WINDOW_UPDATE count as well
PER_OCTET = 1 / 256  # some user agents open both windows again for each frame of a few KiB
PER_ANSWER = 8  # some open the window of each stream, and say its priority


class Patience:
    """What one connection may still ask for."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left: float = BURST
        self._at = 0.0

    def passed(self, now: float) -> None:
        """It is `now`, in seconds of any clock that does not go back."""
        if self._at:
            self._earn((now - self._at) * PER_S)
        self._at = now

    def moved(self, size: int) -> None:
        """So many octets of a body came or went."""
        self._earn(size * PER_OCTET)

    def answered(self) -> None:
        """A request has its whole answer."""
        self._earn(PER_ANSWER)

    def spend(self) -> None:
        """The client asks for something; raises ConnectionFault when it was too much (RFC 9113 10.5)."""
        self._left -= 1
        if self._left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the client asks for too much that leads to nothing")

    def _earn(self, amount: float) -> None:
        self._left = min(BURST, self._left + amount)
