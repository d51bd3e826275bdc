"""The box as a service: signals, systemd's notifications, a watchdog that is fed by traffic (DESIGN §1.10).

The watchdog is fed only while a probe through a listening socket of the box is answered and no write has run for longer
than STUCK_S. A failed store is a condition and a STATUS, not a restart loop.
"""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial

import sdnotify
import trio

from edged.app.box import Parts, control_socket, serve
from edged.app.descriptors import allow_descriptors
from edged.app.memory import keep_freed_memory
from edged.app.tuning import Reread
from edged.config import Settings
from edged.services.bell import Bell
from edged.store.errors import StoreError

log = logging.getLogger(__name__)

STUCK_S = 120.0
PROBE_WITHIN_S = 10.0
STATUS_EVERY_S = 10.0
STATUS_LEAST_S = 0.5
"""Between two, however fast conditions come and go."""

_PROBE = b"GET %s/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def run_daemon(settings: Settings, say: Callable[[str], None], *, reread: Reread | None = None) -> None:
    """Run a box until SIGTERM or SIGINT; `say` gets the lines that scripts wait for, `reread` the settings again."""
    keep_freed_memory()
    allow_descriptors()
    notifier = sdnotify.SystemdNotifier()
    shutdown, reload = trio.Event(), Bell()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_signalled, shutdown, notifier, nursery.cancel_scope)
        nursery.start_soon(_ring_at_hangup, reload)
        async with trio.open_nursery() as running:
            parts: Parts = await running.start(partial(serve, settings, shutdown, reload=reload, reread=reread))
            gc.freeze()  # what is there now stays: else every full collection walks it, a tenth of the work
            for url in parts.urls:
                say(f"listening on {url}")
            say("ready")
            notifier.notify(f"READY=1\nSTATUS={await _status(parts)}")
            async with trio.open_nursery() as reporting:
                reporting.start_soon(_report_status, parts, notifier)
                reporting.start_soon(_feed_watchdog, parts, notifier)
                await shutdown.wait()
                reporting.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _until_signalled(
    shutdown: trio.Event, notifier: sdnotify.SystemdNotifier, everything: trio.CancelScope
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if shutdown.is_set():
                log.info("signal %s again: not waiting any longer", signal.Signals(number).name)
                everything.cancel()
                return
            log.info("signal %s: stopping; a second one skips the wait", signal.Signals(number).name)
            notifier.notify("STOPPING=1")
            shutdown.set()


async def _ring_at_hangup(reload: Bell) -> None:
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            log.info("signal SIGHUP: certificates are loaded again, and of the configuration the rates")
            reload.ring()


async def _status(parts: Parts) -> str:
    try:
        state = await parts.state.state(parts.conditions)
    except StoreError as error:
        return f"store: {error}"
    instances = state["store"]["instances"]  # type: ignore[index]
    counted = ", ".join(f"{count} {name}" for name, count in instances.items() if count)
    problems = ", ".join(each.name for each in parts.conditions.snapshot())
    failed = f"{parts.store.failure.text} " if parts.store.failure.text else ""
    return f"{failed}{counted or 'empty'}{'; ' + problems if problems else ''}"


async def _report_status(parts: Parts, notifier: sdnotify.SystemdNotifier) -> None:
    """Say how the box is now and then, and at once when a condition turns."""
    turned = Bell()
    parts.conditions.listen(lambda _turn, _condition: turned.ring())
    while True:
        following = turned.next
        notifier.notify(f"STATUS={await _status(parts)}")
        await trio.sleep(STATUS_LEAST_S)
        with trio.move_on_after(STATUS_EVERY_S):
            await following.wait()


async def _feed_watchdog(parts: Parts, notifier: sdnotify.SystemdNotifier) -> None:
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    if not limit_us.isdigit():
        return
    while True:
        if await healthy(parts):
            notifier.notify("WATCHDOG=1")
        await trio.sleep(int(limit_us) / 1e6 / 3)


async def healthy(parts: Parts) -> bool:
    """Whether the box answers through its own socket and its writer is not stuck."""
    if parts.store.stuck_s(time.monotonic()) > STUCK_S:
        log.error("a write to the store has run for more than %.0f s", STUCK_S)
        return False
    path = control_socket(parts.settings)
    base = parts.settings.origin.base_path.rstrip("/").encode()
    with trio.move_on_after(PROBE_WITHIN_S):
        try:
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(_PROBE % base)
                return (await stream.receive_some(64)).split(b" ")[1:2] == [b"200"]
        except (OSError, trio.BrokenResourceError):
            return False
    return False
