"""Requesters that refuse what they are told: a condition for each, while its latest answer was a refusal.

It is raised at once and cleared some time after: both are events, which the same requester is told of, and one that
refuses every other report must not keep itself busy with its own answers.
"""

import trio

from edged.telemetry.conditions import Conditions, Severity

EVERY_S = 60.0
REFUSED = "report-refused"


class Refusals:
    """The latest answers of those who have refused something."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._took: dict[str, bool] = {}

    def answered(self, name: str, *, taken: bool) -> None:
        """Note what a requester has said of a report."""
        if not taken:
            hint = f"{name} has refused an event report. What it said of it is in the state, under notifications."
            self._conditions.raise_(condition_of(name), Severity.INFO, hint)
        if not taken or name in self._took:
            self._took[name] = taken

    async def keep(self) -> None:
        """Clear what does not stand any more; runs until cancelled."""
        while True:
            await trio.sleep(EVERY_S)
            for name in [name for name, taken in self._took.items() if taken]:
                del self._took[name]
                self._conditions.clear(condition_of(name))


def condition_of(name: str) -> str:
    """Return the name of the condition of a requester, which may have spaces in its own."""
    return f"{REFUSED}:{name.replace(' ', '%20')}"
