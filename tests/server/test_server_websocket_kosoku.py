"""Autobahn's protocol cases, as kosoku has them, against the server with an application that echoes.

All of them but a part of the large messages, which are slow, and those of compression (12, 13): with Python 3 kosoku
0.1.0 fails in the first of them by itself, before anything is sent. Of 9.3 and 9.4 its process is aborted when the
fragments are small.
"""

from typing import Final

import pytest

from edged.server import Limits
from tests.support.kosoku_cases import run_cases
from tests.support.server_kit import serving, sink

LARGE: Final = ("9.*", "12.*", "13.*")
OF_LARGE: Final = ("9.1.*", "9.2.*", "9.3.5", "9.4.5", "9.5.*", "9.6.*", "9.7.1", "9.8.1")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("cases", "but", "count"), [(["*"], LARGE, 247), (OF_LARGE, (), 28)], ids=["all small ones", "large messages"]
)
async def test_every_case_passes(cases: list[str], but: tuple[str, ...], count: int) -> None:
    async with serving(sink, limits=Limits(message_bytes=16 << 20)) as running:
        ran = await run_cases(f"ws{running.url.removeprefix('http')}/", cases, but=but)
        assert ran.failed == []
        assert ran.count == count
        assert running.server.counters.failed == 0
