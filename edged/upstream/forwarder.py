"""Running all destinations: for each its client, its workers and its prover, in a nursery of its own.

One destination's trouble is its own: it holds no other up, and nothing that it answers ends the process.
"""

import trio

from edged.config import Destination as Settings
from edged.config.choices import HTTPVersion
from edged.services.destinations import Routes
from edged.upstream.aside import Aside
from edged.upstream.asker import Asker
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.endpoint import Endpoint
from edged.upstream.look import Looker
from edged.upstream.outcomes import Outcomes
from edged.upstream.prover import Prover
from edged.upstream.retrieve import Retriever
from edged.upstream.sender import Sender
from edged.upstream.tls import TLSSettings

_CHOICES = {
    HTTPVersion.AUTO: HttpChoice.AUTO,
    HTTPVersion.HTTP_1_1: HttpChoice.ONE,
    HTTPVersion.HTTP_2: HttpChoice.TWO,
}


async def forward(routes: Routes, destinations: tuple[Settings, ...], box: Surroundings) -> None:
    """Forward to every destination and prove what they took; runs until cancelled."""
    async with trio.open_nursery() as nursery:
        for settings in destinations:
            nursery.start_soon(_run, Destination(routes.ids[settings.name], settings, box))


def client_settings(settings: Settings) -> ClientSettings:
    """How to reach a destination; two more connections than workers: proving waits neither for uploads nor a repair."""
    tls = TLSSettings(settings.tls.ca, settings.tls.certificate, settings.tls.private_key)
    return ClientSettings(http=_CHOICES[settings.http], tls=tls, max_connections=settings.parallel + 2)


async def _run(destination: Destination) -> None:
    settings = destination.settings
    async with open_client(Endpoint.parse(settings.url), client_settings(settings)) as client:
        looker = Looker(destination, client)
        outcomes = Outcomes(destination, looker)
        destination.box.holders[destination.number] = Retriever(destination, client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Aside(destination).work)
            nursery.start_soon(Prover(destination, looker, Asker(destination, client)).work)
            for _ in range(settings.parallel):
                nursery.start_soon(Sender(destination, client, outcomes, looker=looker).work)
