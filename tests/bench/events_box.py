"""A box in a process of its own that fills its event log at a steady rate, for the section on events.

`python -m tests.bench.events_box FOLDER CAPACITY_MIB` prints `ready PORT`, waits for a line with a rate and
seconds, and writes events as admission and forwarding do: in the store's transactions, many a commit. Then it prints
when each commit was durable, as JSON: pairs of the last event's number and seconds of the machine's monotonic clock.
It ends with its standard input.
"""

import json
import sys
import time
from dataclasses import replace
from functools import partial

import trio

from edged.app import box as wiring
from edged.app.box import Parts, serve
from edged.app.memory import keep_freed_memory
from edged.config import parse
from edged.dicomweb.event_report import EventKind
from edged.server.limits import DEFAULT
from edged.store.events import append_event
from edged.store.records import Event
from edged.store.transaction import Transaction

EVERY_S = 0.02
STUDY_INSTANCES = 2000
KINDS = (EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED)


def _happen(txn: Transaction, *, first: int, count: int, now: float) -> int:
    """Write events of one study after the other; the number of the last one."""
    last = 0
    for each in range(first, first + count):
        study, instance = divmod(each, STUDY_INSTANCES)
        last = append_event(
            txn,
            Event(
                kind=KINDS[study % len(KINDS)],
                time=now,
                instance=each,
                study_instance_uid=f"1.2.840.99999.1.{study}",
                series_instance_uid=f"1.2.840.99999.1.{study}.{instance % 4}",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                sop_instance_uid=f"1.2.840.99999.1.{study}.{instance % 4}.{instance}",
                destination="archive" if study % len(KINDS) else "",
            ),
        )
    return last


async def _fill(parts: Parts, rate: int, seconds: float) -> list[tuple[int, float]]:
    """Write that many events a second, each turn what is due; the commits."""
    commits: list[tuple[int, float]] = []
    began, done, total = trio.current_time(), 0, int(rate * seconds)
    while done < total:
        await trio.sleep_until(began + EVERY_S * (len(commits) + 1))
        due = min(total, int((trio.current_time() - began) * rate)) - done
        if due > 0:
            write = partial(_happen, first=done, count=due, now=parts.clock.wall())
            commits.append((await parts.store.write(write), time.monotonic()))
            parts.bells.logged.ring()
            done += due
    return commits


async def _run(folder: str, capacity_mib: str) -> None:
    keep_freed_memory()
    vars(wiring)["server_limits"] = lambda _: replace(DEFAULT, websockets_per_address=DEFAULT.websockets)
    text = (
        f'[box]\ndata_dir = "{folder}/data"\ncontrol = "{folder}/control.sock"\n'
        f'[store]\ncapacity = "{capacity_mib}MiB"\n[origin]\nbind = ["http://127.0.0.1:0"]\n'
        '[commitment]\nevidence = "local"\n'
    )
    async with trio.open_nursery() as nursery:
        parts: Parts = await nursery.start(partial(serve, parse(text, {}), trio.Event()))
        print("ready", parts.urls[0].rsplit(":", 1)[1], flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            rate, seconds = line.split()
            print(json.dumps(await _fill(parts, int(rate), float(seconds))), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_run, sys.argv[1], sys.argv[2])
