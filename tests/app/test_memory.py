"""What was freed is used again: large buffers that come and go cost no fresh pages."""

import resource
import subprocess
import sys

from edged.app.memory import KEPT_BYTES

BLOCKS = 64
BLOCK_BYTES = 65_520
ROUNDS = 20
CHILD = f"""
import resource, sys
from edged.app.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def round():
    blocks = [bytearray(b"x") * {BLOCK_BYTES} for _ in range({BLOCKS})]
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", CHILD, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_freed_blocks_are_used_again() -> None:
    assert BLOCKS * BLOCK_BYTES < KEPT_BYTES
    pages = BLOCKS * BLOCK_BYTES // resource.getpagesize()
    assert faults("default") > pages * ROUNDS / 2
    assert faults("kept") < pages
