"""How many descriptors the process may have: a connection is one, and the usual limit of a shell is 1024.

The unit sets MOST itself; elsewhere the soft limit is raised as far as the hard one allows. Where that is too little,
the server waits with further connections until others have ended.
"""

import contextlib
import resource
from typing import Final

MOST: Final = 4096
"""More than twice what the listeners take (`server.limits`): the ways out and the store's files are beside them."""


def allow_descriptors() -> None:
    """Raise the limit of this process to MOST, or as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
