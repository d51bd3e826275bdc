"""Boxes for the tests of the origin server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.app.box import Parts
from tests.support.box_kit import ARCHIVE, Box, opened_box, served_box


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    """A box in process with one destination that nothing is sent to."""
    async with opened_box(tmp_path, ARCHIVE) as opened:
        yield opened


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Parts]:
    """A whole box behind a socket, without destinations."""
    async with served_box(tmp_path) as parts:
        yield parts
