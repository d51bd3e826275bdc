"""`edged demo`: a box and a small archive on this machine, real instances flowing from one to the other.

Everything lies in one temporary folder, which is removed at the end, however it ends. Exit status of `--once`: 0 when
all is committed, 1 when it is not within WITHIN_S; without it 0, after Ctrl-C or SIGTERM.
"""

import logging
import shutil
import tempfile
from contextlib import aclosing
from functools import partial
from pathlib import Path

import click
import trio

from edged.app.demo import Demo, follow_events, run_demo, send_samples
from edged.app.samples import Sample, choose_samples
from edged.cli.demo_report import DemoReport
from edged.cli.interruption import leaves, run_interruptible
from edged.cli.settings import fail
from edged.server import ListenerError
from edged.store.errors import StoreError
from edged.telemetry import log

SAMPLES = 48
WITHIN_S = 120.0
END_WITHIN_S = 2.0


@click.command("demo")
@click.option("--once", is_flag=True, help="End with 0 as soon as everything is committed.")
@click.option("--keep-data", is_flag=True, help="Leave the folder with both stores behind.")
def command(once: bool, keep_data: bool) -> None:
    """Run a box and an archive, send real DICOM files through the box, and show how far they get."""
    log.configure(log.Level.WARNING)
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="edged-demo-"))
    report = DemoReport(folder)
    complaints = list[str]()
    try:
        run_interruptible(partial(_demonstrate, report, once=once))
    except* (StoreError, ListenerError) as group:
        complaints = [
            *map(str, leaves(group)),
            f"both stores need 700 MB in {folder.parent}: TMPDIR names another place",
        ]
    finally:
        if keep_data:
            click.echo(f"both stores are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if complaints:
        fail(1, *complaints)
    raise SystemExit(0 if report.all_committed or not once else 1)


async def _demonstrate(report: DemoReport, *, once: bool) -> None:
    samples = choose_samples(SAMPLES)
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        demo: Demo = await nursery.start(run_demo, report.folder, shutdown)
        report.begin(demo, samples)
        await _show(demo, samples, report, once=once)
        shutdown.set()
        nursery.cancel_scope.deadline = trio.current_time() + END_WITHIN_S


async def _show(demo: Demo, samples: list[Sample], report: DemoReport, *, once: bool) -> None:
    committed = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, demo, report, committed)
        stop = await send_samples(demo, samples, report)
        report.sent(stop)
        with trio.move_on_after(WITHIN_S):
            await committed.wait()
        report.finish()
        if not once:
            report.invite()
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()


async def _tell(demo: Demo, report: DemoReport, committed: trio.Event) -> None:
    async with aclosing(follow_events(demo.box)) as events:
        async for event in events:
            report.happened(event)
            if report.all_committed:
                committed.set()
