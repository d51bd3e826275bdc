"""POST /admin/probe: the destinations are probed from within the daemon, with its settings and its credentials.

What it asks for goes out into the network and may leave a test instance in an archive: hence POST, and the role admin.
"""

from difflib import get_close_matches

from msgspec import Struct

from edged.origin.admin import answered, read_content, unknown
from edged.origin.exchange import Reply, Request
from edged.services.probing import Prober


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which destination, "" for all of them, and whether a test instance is sent."""

    destination: str = ""
    instance: bool = False


class Probe:
    """Has destinations probed."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober

    async def __call__(self, request: Request) -> Reply:
        """Answer with what was found; raises Refusal (400, 404, 413, 415)."""
        wanted = await read_content(request, Wanted)
        names = list(self._prober.names)
        if wanted.destination and wanted.destination not in names:
            near = get_close_matches(wanted.destination, names, 1)
            hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(names) or 'none'}."
            raise unknown(wanted.destination, f"There is no destination {wanted.destination} in the settings.{hint}")
        found = await self._prober.probe(
            [wanted.destination] if wanted.destination else names, instance=wanted.instance
        )
        return answered(found)
