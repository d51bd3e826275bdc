"""The box that runs for all tests of the commands; nothing that a test wrote is kept, for stores are large."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_kit import RunningBox, start_box


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box that is an archive."""
    box = start_box(tmp_path_factory.mktemp("box"))
    yield box
    assert box.stop() == 0
    box.remove()


@pytest.fixture(autouse=True)
def _nothing_kept(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path)
