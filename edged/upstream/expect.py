"""Whether to ask before a large body is sent (Expect: 100-continue), learned of one destination over HTTP/1.1.

Pure. To ask costs a round trip, so only those are asked that may well refuse: a destination of which nothing is known,
and one that refused the last large body or gave no answer to it. One that does not answer the question, or that refuses
to be asked (417), is not asked again. HTTP/2 needs none of it: a stream is given up without its connection.

Invariant: it never decides whether a body is sent, only whether the answer is waited for first, `WAIT_S` at most.
"""

from http import HTTPStatus

from edged.upstream.message import FIRST_REFUSAL

LEAST_BYTES = 1 << 20
"""Of a body that is worth a round trip."""
WAIT_S = 1.0
"""After which the body is sent unasked; also curl's. Source: RFC 9110 10.1.1."""
FIELD = ("Expect", "100-continue")


class Expectation:
    """What is known of one destination."""

    def __init__(self) -> None:
        self._wary = True
        self._useless = False

    def wanted(self, length: int | None) -> bool:
        """Whether to ask before a body of so many bytes."""
        return self._wary and not self._useless and (length or 0) >= LEAST_BYTES

    def lost(self) -> None:
        """There was no answer to a request."""
        self._wary = True

    def ignored(self) -> None:
        """It was asked and said nothing."""
        self._useless = True

    def is_refused(self, status: int) -> bool:
        """Take the answer to a request that asked; True: that it asked was the trouble, and it is to be sent again."""
        self._useless = self._useless or status == HTTPStatus.EXPECTATION_FAILED
        return status == HTTPStatus.EXPECTATION_FAILED

    def answered(self, length: int | None, status: int) -> None:
        """Take the answer to a request with a body of so many bytes."""
        if (length or 0) >= LEAST_BYTES:
            self._wary = status >= FIRST_REFUSAL
