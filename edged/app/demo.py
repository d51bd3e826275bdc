"""The demonstration: an archive and a box in one process, wired as two machines would be.

Both are whole boxes with stores of their own below one folder, on free ports of the loopback. The archive commits on
its own evidence (`evidence = "local"`), the box forwards to it and asks it to commit. Nothing here is a shortcut: the
files come in by STOW-RS through the box's listener, and what is told is read from the box's event log.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from edged.app.box import Parts, serve
from edged.app.samples import Sample
from edged.config import Settings, parse
from edged.store.events import read_events
from edged.store.records import Event
from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.endpoint import Endpoint
from edged.upstream.file_walk import Found
from edged.upstream.send_files import FileSender
from edged.upstream.send_values import SendSettings, Stop, Watcher

AT_ONCE = 100
SEND = SendSettings(parallel=2, batch_files=6)

_ARCHIVE = """
[box]
name = "archive"
ae_title = "ARCHIVE"
data_dir = "{folder}/archive"
control = "{folder}/archive.sock"
[origin]
bind = ["http://127.0.0.1:0"]
[store]
capacity = "256MiB"
[commitment]
evidence = "local"
"""

_BOX = """
[box]
name = "box"
data_dir = "{folder}/box"
control = "{folder}/box.sock"
[origin]
bind = ["http://127.0.0.1:0"]
[store]
capacity = "256MiB"
[[destination]]
name = "archive"
url = "{archive}"
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """Both, while they serve."""

    box: Parts
    archive: Parts


def settings(template: str, folder: Path, archive: str = "") -> Settings:
    """Fill in a template; what the environment says of places does not count here."""
    return parse(template.format(folder=folder, archive=archive), env={})


async def run_demo(
    folder: Path, shutdown: trio.Event, *, task_status: trio.TaskStatus[Demo] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve both below `folder` until `shutdown` is set; the box ends first. Raises what `serve` raises."""
    archive_shutdown = trio.Event()
    async with trio.open_nursery() as outer:
        archive: Parts = await outer.start(serve, settings(_ARCHIVE, folder), archive_shutdown)
        async with trio.open_nursery() as inner:
            box: Parts = await inner.start(serve, settings(_BOX, folder, archive.urls[0]), shutdown)
            task_status.started(Demo(box, archive))
        archive_shutdown.set()


async def send_samples(demo: Demo, samples: Sequence[Sample], watcher: Watcher) -> Stop | None:
    """Store the samples in the box, as `edged send` does."""
    endpoint = Endpoint.parse(demo.box.urls[0])
    found = [Found(sample.path, sample.size, named=True) for sample in samples]
    async with open_client(endpoint, ClientSettings(max_connections=SEND.parallel)) as client:
        return await FileSender(client, SEND, watcher).send(found)


async def follow_events(parts: Parts) -> AsyncGenerator[Event, None]:
    """Yield the events of a box, from the first on, as they are logged."""
    after = 0
    while True:
        logged = parts.bells.logged.next
        events = await parts.store.read(partial(read_events, after=after, limit=AT_ONCE))
        for after, event in events:  # noqa: B007 - the place in the log
            yield event
        if not events:
            await logged.wait()
