"""What of the settings is read again while the box runs: how fast each destination may be sent to.

It is asked for by SIGHUP. Everything else needs a restart. A file with a problem changes nothing and is a condition.
"""

import logging
from collections.abc import Callable

from edged.config import ConfigError, Settings
from edged.services.bell import Bell
from edged.telemetry.conditions import Conditions, Severity
from edged.upstream.destination import Surroundings

log = logging.getLogger(__name__)

FAILED = "configuration-reload-failed"
LOOK_S = 3600.0

Reread = Callable[[], Settings]
"""Reads the settings again, as at the start. Raises ConfigError."""


async def keep_tuned(reread: Reread, asked: Bell, *, box: Surroundings, conditions: Conditions) -> None:
    """Take over the rates whenever it is asked for; runs until cancelled."""
    while True:
        if await asked.wait(LOOK_S):
            tune(reread, box, conditions)


def tune(reread: Reread, box: Surroundings, conditions: Conditions) -> None:
    """Take over the rates of the destinations that there are."""
    try:
        settings = reread()
    except ConfigError as error:
        log.warning("the configuration cannot be used, and stays as it was: %s", "; ".join(error.problems))
        hint = "The configuration has a problem and was not read again: see edged check-config."
        conditions.raise_(FAILED, Severity.WARNING, hint)
        return
    conditions.clear(FAILED)
    box.rates.update({destination.name: destination.rate for destination in settings.destinations})
    box.tuned.ring()
