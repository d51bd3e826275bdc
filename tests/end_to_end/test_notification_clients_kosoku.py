"""Autobahn's protocol cases, as kosoku has them, against the notification connection of a daemon itself.

What a case sends is no acknowledgement mostly: the box says nothing to it, and lets whoever goes on with it go. Cases
that wait for what they have sent to come back cannot be run here. They are named, all of them; those same cases run
against the same server with an application that does echo (tests/server/test_server_websocket_kosoku.py).
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest
from kosoku.cases import CASES

from tests.support.daemon import daemon
from tests.support.kosoku_cases import Ran, run_cases

NEED_AN_ECHO: Final = {
    "1.*": "a message comes back, whatever its length",
    "5.3": "two fragments come back as one message",
    "5.4": "two fragments, in one write, come back as one message",
    "5.5": "two fragments, octet by octet, come back as one message",
    "5.6": "two fragments around a ping come back as one message",
    "5.7": "two fragments around a ping, in one write, come back as one message",
    "5.8": "two fragments around a ping, octet by octet, come back as one message",
    "5.19": "five fragments around two pings come back as one message",
    "5.20": "five fragments around two pings, each flushed, come back as one message",
    "6.1.*": "empty fragments come back as one message",
    "6.2.*": "good UTF-8 in any fragments comes back",
    "6.5.*": "good UTF-8 comes back",
    "6.6.2": "a part of a word that is good UTF-8 comes back",
    "6.6.5": "a part of a word that is good UTF-8 comes back",
    "6.6.7": "a part of a word that is good UTF-8 comes back",
    "6.6.9": "a part of a word that is good UTF-8 comes back",
    "6.6.11": "a part of a word that is good UTF-8 comes back",
    "6.7.*": "the first code points of each length come back",
    "6.9.*": "the last code points of each length come back",
    "6.11.*": "code points at the edges of what is allowed come back",
    "6.22.*": "code points that are no characters come back",
    "6.23.*": "special code points come back",
    "7.1.1": "a message comes back before the close",
    "9.*": "large messages come back, against the clock",
    "10.1.1": "a message in fragments of a size comes back",
    "12.*": "a thousand compressed messages come back",
    "13.*": "a thousand compressed messages come back, with all parameters of compression",
}
RUN: Final = 150
"""Fewer would mean that the list above has grown."""


@pytest.mark.timeout(120)
async def test_every_case_that_needs_no_echo(tmp_path: Path) -> None:
    async with daemon(tmp_path / "box") as box:
        ran = await run_cases(f"ws{box.url.removeprefix('http')}/", ["*"], but=[*NEED_AN_ECHO])
        assert ran == Ran(RUN, [])
        assert "a connection failed" not in box.logged
        assert (await box.state())["store"]["instances"]["held"] == 0


def test_every_name_is_that_of_a_case() -> None:
    unknown = [name for name in NEED_AN_ECHO if not any(fnmatchcase(each, name) for each in CASES)]
    needing = [each for each in CASES if any(fnmatchcase(each, name) for name in NEED_AN_ECHO)]
    assert unknown == []
    assert len(needing) + RUN == len(CASES)
