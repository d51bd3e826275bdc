"""Builds of the daemon that are broken on purpose, to see that the harness notices: `python -m … KIND run …`.

Each breaks one promise of the store in the running program, and then the program runs as usual.
"""

import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

import lmdb
import outcome

from edged.cli import main
from edged.store import creation
from edged.store.admission import Admitted, Outcome
from edged.store.instances import find_instance
from edged.store.records import Instance
from edged.store.upload import Done, Upload


class Fault(StrEnum):
    """What is broken."""

    NO_SYNC = "no-sync"
    NO_META_SYNC = "no-meta-sync"
    NO_FOLDER_SYNC = "no-folder-sync"
    EARLY_ANSWER = "early-answer"


def program(fault: Fault) -> tuple[str, ...]:
    """The command that runs a broken build."""
    return sys.executable, "-m", "tests.powercut.broken", fault


def _open_with(flag: str) -> None:
    opened: Callable[..., lmdb.Environment] = lmdb.open
    vars(lmdb)["open"] = partial(opened, **{flag: False})


def _sync_no_folder() -> None:
    vars(creation)["sync_folder"] = lambda _: None


_admit_soon = Upload.admit_soon


def _admit_early(self: Upload, instance: Instance, done: Done, **options: Any) -> None:
    """The answer before the commit, unless the UID is known already or nothing else arrives meanwhile.

    A sender alone stores an instance and then, at once, another data set under its UID: that must be refused here too.
    """
    alone = self._store.arriving <= 1
    if alone or self._store.read_now(partial(find_instance, sop_instance_uid=instance.sop_instance_uid)):
        _admit_soon(self, instance, done, **options)
    else:
        _admit_soon(self, instance, lambda _: None, **options)
        done(outcome.Value(Admitted(Outcome.STORED, self.number)))


def _answer_early() -> None:
    Upload.admit_soon = _admit_early  # type: ignore[method-assign]


BREAK: dict[Fault, Callable[[], None]] = {
    Fault.NO_SYNC: partial(_open_with, "sync"),
    Fault.NO_META_SYNC: partial(_open_with, "metasync"),
    Fault.NO_FOLDER_SYNC: _sync_no_folder,
    Fault.EARLY_ANSWER: _answer_early,
}

if __name__ == "__main__":
    BREAK[Fault(sys.argv.pop(1))]()
    main()
