"""A program that runs another one under the system call filter of the shipped unit, as systemd would.

`python unit_filter.py [CALL ...] -- PROGRAM [ARGUMENT ...]`: what the unit's SystemCallFilter= lines allow, expanded by
systemd-analyze and loaded by libseccomp, and all else answered EPERM; the named calls are not allowed either. It also
forbids memory that is both writable and executable.
"""

import ctypes
import os
import re
import subprocess
import sys
from errno import EPERM
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "edged.service"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_MASKED_EQUAL = 7
_WRITE, _EXECUTE = 2, 4


class _Compared(ctypes.Structure):
    """One argument of a call, compared (scmp_arg_cmp)."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    ]


def allowed_calls() -> set[str]:
    """Return the names that the unit allows."""
    allowed = _expanded("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        names = {call for word in line.lstrip("~").split() for call in _expanded(word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    said = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    names = [line.split("#")[0].strip() for line in said.stdout.splitlines()[1:]]
    return {call for name in names if name for call in _expanded(name)}


def load(allowed: set[str]) -> None:
    """Have the kernel answer EPERM to all other calls of this process, for ever."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(_ERRNO | EPERM))
    assert filters.value
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in allowed}
    for name, number in numbers.items():
        if number >= 0 and name not in {"mmap", "mprotect"}:
            assert library.seccomp_rule_add_array(filters, _ALLOW, number, 0, None) == 0, name
    both = _WRITE | _EXECUTE
    for name, mask, values in (("mmap", both, (0, _WRITE, _EXECUTE)), ("mprotect", _EXECUTE, (0,))):
        for value in values:
            compared = _Compared(2, _MASKED_EQUAL, mask, value)
            assert library.seccomp_rule_add_array(filters, _ALLOW, numbers[name], 1, ctypes.byref(compared)) == 0
    assert library.seccomp_load(filters) == 0


def main(words: list[str]) -> None:
    """Become the other program."""
    at = words.index("--")
    load(allowed_calls() - set(words[:at]))
    os.execv(words[at + 1], words[at + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
