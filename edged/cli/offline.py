"""Looking into the store of a box that is not running: nothing in it is written.

The command takes the owner's lock, so that no daemon starts meanwhile, and goes on as the folder's owner, so that
nothing that it makes ends up as root's.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edged.cli.settings import fail, settings_for
from edged.store.creation import STORE
from edged.store.environment import Environment, inspected, owned
from edged.store.errors import StoreError
from edged.store.schema import TABLES, Table

NO_STORE = 3


def find_store(config: Path | None) -> Path:
    """Return the data directory of the settings; ends with 3 when there is no store in it."""
    data_dir = settings_for(config).box.data_dir
    if not (data_dir / STORE).is_dir():
        fail(NO_STORE, f"there is no store in {data_dir}")
    return data_dir


def become_owner(data_dir: Path) -> None:
    """Go on as the folder's owner if this is root."""
    status = data_dir.stat()
    if os.geteuid() == 0 and status.st_uid != 0:
        os.setgid(status.st_gid)
        os.setuid(status.st_uid)


@contextmanager
def looking(data_dir: Path, tables: Sequence[Table] = TABLES, *, useful: Sequence[Table] = ()) -> Iterator[Environment]:
    """The store, opened read-only; ends with 1 when it is in use, cannot be opened, or is damaged where it is read."""
    try:
        with owned(data_dir), inspected(data_dir, tables, useful=useful) as environment:
            yield environment
    except StoreError as error:
        fail(1, str(error))
