"""A real store in a temporary folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.store.queue import destination_id
from edged.store.store import Store, open_store
from tests.support.store_kit import CAPACITY, problems


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a writer thread and one destination; it is whole after each test."""
    async with open_store(tmp_path / "box", CAPACITY) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        yield opened
        assert problems(opened) == []
