"""How many descriptors the box may have: enough for its listeners, wherever it is started."""

import subprocess
import sys

import pytest

from edged.app.descriptors import MOST
from edged.server.limits import DEFAULT

CHILD = """
import resource, sys
from edged.app.descriptors import allow_descriptors
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"), [(256, MOST, MOST), (256, 512, 512), (512, 512, 512), (MOST, MOST, MOST)]
)
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, allowed: int) -> None:
    command = [sys.executable, "-c", CHILD, str(soft), str(hard)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split() == [str(allowed), str(hard)]


def test_it_is_enough_for_all_that_may_connect() -> None:
    assert 2 * (DEFAULT.connections + DEFAULT.websockets + DEFAULT.leaving + DEFAULT.refusals) <= MOST
