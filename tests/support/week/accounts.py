"""What an archive's faults explain: the book that says how often an instance may have been sent, and why it is parked.

Whoever lets something go wrong charges it here, to every instance that may have to be sent once more because of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable

LOOKS_IN_VAIN = 3
"""So many make "not there" a verdict, which is sent again for."""


class Accounts:
    """Uploads and what explains them, by SOP Instance UID."""

    def __init__(self) -> None:
        self.uploads: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.kinds: Counter[str] = Counter()
        self._charged: Counter[str] = Counter()
        self._denied: Counter[str] = Counter()
        self._came_again: Counter[str] = Counter()
        self._unanswered: dict[int, frozenset[str]] = {}
        self._requests = 0

    def uploaded(self, uids: Iterable[str]) -> Callable[[], None]:
        """A whole request came; return what to call when its answer is out."""
        self._requests += 1
        number, named = self._requests, frozenset(uids)
        self.uploads.update(named)
        self._unanswered[number] = named

        def arrived() -> None:
            self._unanswered.pop(number, None)

        return arrived

    def came_again(self, uids: Iterable[str]) -> None:
        """The modality sent these once more: if they were let go they are asked for, and uploaded unless seen."""
        self._came_again.update(uids)

    def charge(self, uids: Iterable[str], why: str) -> None:
        """Something went wrong that may cost each of these one more upload."""
        if charged := set(uids):
            self._charged.update(charged)
            self.kinds[why] += 1

    def charge_unanswered(self, why: str) -> None:
        """Whatever waits for an answer does not get it."""
        self.charge({uid for uids in self._unanswered.values() for uid in uids}, why)
        self._unanswered.clear()

    def denied(self, uid: str) -> None:
        """A look for an instance was not answered by the truth."""
        self._denied[uid] += 1

    def explained(self, uid: str) -> int:
        """How often it may have been sent."""
        denied = self._denied[uid]
        return 1 + self._charged[uid] + denied // LOOKS_IN_VAIN + min(denied, self._came_again[uid])

    def unexplained(self) -> dict[str, tuple[int, int]]:
        """What was sent more often than the faults explain: uploads, and how many are explained."""
        return {uid: (count, self.explained(uid)) for uid, count in self.uploads.items() if count > self.explained(uid)}
