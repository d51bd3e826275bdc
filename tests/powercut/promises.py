"""What senders had been told before the cut: what a store must still hold afterwards."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.powercut.recording import Op, read_records, told


@dataclass(slots=True)
class Promises:
    """Instances that were acknowledged, and commitment requests with the last result; `count` is of all that was said.

    Nothing is ever taken back, so promises of one recording with one `count` are the same.
    """

    stored: set[str] = field(default_factory=set)
    requested: dict[str, dict[str, int] | None] = field(default_factory=dict)
    count: int = 0

    def add(self, told: dict[str, Any]) -> None:
        """Take one acknowledgement."""
        self.count += 1
        if "stored" in told:
            self.stored.add(told["stored"])
        elif not self.requested.get(told["requested"]):
            self.requested[told["requested"]] = told["result"]

    def __bool__(self) -> bool:
        return bool(self.stored or self.requested)


def promised(log: Path) -> Promises:
    """Everything that senders had been told at the end of a log."""
    promises = Promises()
    for record in read_records(log):
        if record.op is Op.ACKNOWLEDGED:
            promises.add(told(record))
    return promises
