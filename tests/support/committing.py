"""Storage commitment for a scripted archive: it commits to what it has stored, at once or after some checks.

A rule for `ScriptedArchive.on_commitment`: 202 to the request, 202 to result checks until the result is ready, 409 to a
Transaction UID in use, 404 to one that it does not know. What was requested and checked is kept by Transaction UID.
"""

from tests.support.archive.rules import Archive
from tests.support.archive.values import Asked, Reply, committed

NOT_READY = Reply(202, headers=(("retry-after", "5"),))


class Committing:
    """Commits to what is stored: 202 to the POST, the result `after` so many GETs; unknown UIDs are 404."""

    def __init__(self, archive: Archive, after: int = 1) -> None:
        self.requested: dict[str, list[str]] = {}
        self.checks: dict[str, int] = {}
        self._archive = archive
        self._after = after

    def __call__(self, asked: Asked) -> Reply:
        uid = asked.transaction_uid
        if asked.method == "POST":
            if uid in self.requested:
                return Reply(409)
            self.requested[uid] = asked.listed
            return NOT_READY
        if uid not in self.requested:
            return Reply(404)
        self.checks[uid] = self.checks.get(uid, 0) + 1
        return NOT_READY if self.checks[uid] < self._after else self.result(uid)

    def result(self, uid: str) -> Reply:
        """The result over what was listed."""
        listed, stored = self.requested[uid], self._archive.stored
        return committed(
            [each for each in listed if each in stored], {each: 0x0112 for each in listed if each not in stored}
        )

    def at_once(self, asked: Asked) -> Reply:
        """The rule that answers the POST with the result."""
        self.requested[asked.transaction_uid] = asked.listed
        return self.result(asked.transaction_uid)
