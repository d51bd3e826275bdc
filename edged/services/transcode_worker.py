"""The process that decompresses one instance: foreign decoders over foreign bytes, within limits that it sets itself.

Started by `upstream/decoding` with two open files, what to read and what to write, and the limits. It says how many
bytes it will write, waits for a line that allows it, and writes. How it ended is its exit status; it says nothing else,
since what a decoder complains of may quote the data set. What speaks against the instance has a status of its own; any
other end, by a signal from outside too, does not. Whoever started it ends it with SIGKILL: that the service is stopped
is no reason to end.
"""

import os
import resource
import signal
import sys
from contextlib import suppress
from enum import IntEnum
from errno import EFBIG
from pathlib import Path

NICER = 10
FIRST_TO_GO = "1000"
"""Its place when memory runs out: before all else, before the daemon above all."""

HEAD_BYTES = 64 << 20
"""Added to the pixel data for everything before it, when a file's greatest size is set."""


class Ended(IntEnum):
    """Its exit status; any other says nothing of the instance."""

    DONE = 0
    CANNOT = 10  # the reason is the line that it says in place of a length
    NO_MEMORY = 11
    UNREADABLE = 12  # the decoders raised an error
    UNDONE = 13  # an error of the machine, or nobody waits for it any more


def main(source: int, out: int, *, memory_bytes: int, processor_s: int) -> Ended:
    """Decompress from one open file into another."""
    _give_way()
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_s, processor_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return _decompress(source, out)
    except MemoryError:
        return Ended.NO_MEMORY
    except OSError as error:  # without a number it is a decoder's
        return Ended.UNREADABLE if error.errno in {None, EFBIG} else Ended.UNDONE


def _give_way() -> None:
    """Be the least important, as far as the service manager allows it."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICER)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)


def _decompress(source: int, out: int) -> Ended:
    from edged.dicom.decompress import CannotDecompress, Decompressed  # noqa: PLC0415 - within the limits

    with os.fdopen(source, "rb") as reading, os.fdopen(out, "wb") as writing:
        try:
            found = Decompressed(reading)
            most = found.pixel_bytes + os.fstat(reading.fileno()).st_size
            sys.stdout.write(f"{most}\n")
            sys.stdout.flush()
            if not sys.stdin.readline():
                return Ended.UNDONE
            resource.setrlimit(resource.RLIMIT_FSIZE, (most + HEAD_BYTES, most + HEAD_BYTES))
            found.write(writing)
            writing.truncate()
        except CannotDecompress as error:
            sys.stdout.write(f"{error}\n")
            return Ended.CANNOT
        except (MemoryError, OSError):
            raise
        except Exception:  # noqa: BLE001 - whatever foreign decoders raise
            return Ended.UNREADABLE
    return Ended.DONE


if __name__ == "__main__":
    _SOURCE, _OUT, _MEMORY_BYTES, _PROCESSOR_S = map(int, sys.argv[1:5])
    sys.exit(main(_SOURCE, _OUT, memory_bytes=_MEMORY_BYTES, processor_s=_PROCESSOR_S))
