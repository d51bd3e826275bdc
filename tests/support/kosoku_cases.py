"""The protocol cases of kosoku (those of Autobahn's TestSuite) against a server.

What may live here: running cases, in a process of their own because kosoku is asyncio's and leaves descriptors open,
and what has failed of them.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kosoku import FailureError, run_fuzzingclient

from tests.support.clients import run

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Ran:
    """How many cases ran, and a line for each that failed."""

    count: int
    failed: list[str]


async def run_cases(url: str, cases: Sequence[str], *, but: Sequence[str] = ()) -> Ran:
    """Run the cases that globs name, without some."""
    printed = await run(sys.executable, "-m", __name__, url, json.dumps([*cases]), json.dumps([*but]))
    return Ran(**json.loads(printed))


async def _ran(url: str, cases: list[str], but: list[str]) -> dict[str, object]:
    try:
        results = await run_fuzzingclient(url, cases, but, AT_ONCE)
    except FailureError as error:
        results = error.results
    failed = [each for each in results if not each.passed]
    return {
        "count": len(results),
        "failed": [f"{each.case_id}: {each.result} {each.result_close}" for each in failed],
    }


if __name__ == "__main__":
    _, asked, wanted, unwanted = sys.argv
    print(json.dumps(asyncio.run(_ran(asked, json.loads(wanted), json.loads(unwanted)))), flush=True)
    os._exit(0)  # kosoku's threads abort an interpreter that ends in order, now and then
