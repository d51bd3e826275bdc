"""A faulty disk below every daemon that a test spawns, and what systemd would be told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faulty_disk.faults import FaultyDisk, Notifications


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyDisk:
    """The disk below `tmp_path`/box/data; good until it is told otherwise."""
    disk = FaultyDisk(tmp_path / "box" / "data", tmp_path)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    return disk


@pytest.fixture
async def notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Notifications]:
    """What is told to systemd, the watchdog five times a second."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    told = Notifications(path)
    await told.listen()
    yield told
    told.close()
