"""How the C library keeps what was freed: a request's buffers shall come from memory that was used before.

By default glibc gives the top of its heap back to the system whenever 128 KiB of it are free, and takes large blocks
straight from the system. Every group of chunks that the store writes then comes from fresh pages, and those cost more
than the writing: with a hundred instances a request 40 page faults an instance, 7 with this, and less memory in all.
What is kept is bounded by the threshold, in each of the allocator's arenas.
"""

import ctypes

TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
MMAP_THRESHOLD = -3

KEPT_BYTES = 16 << 20
"""As much as the writer's largest group."""

LARGE_BYTES = 4 << 20
"""Beyond every buffer of an upload; blocks from here on are still taken from the system and given back."""


def keep_freed_memory() -> bool:
    """Set the allocator's thresholds; return whether there are any to set, which is so with glibc (mallopt(3))."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    return all([mallopt(TRIM_THRESHOLD, KEPT_BYTES), mallopt(MMAP_THRESHOLD, LARGE_BYTES)])
