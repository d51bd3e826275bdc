"""Running all destinations: for each its client, its workers and its prover, in a nursery of its own.

One destination's trouble is its own: it holds no other up, and nothing that it answers ends the process. What the parts
are made of is said by them (`..._for`); here they are only put together.
"""

import trio

from edged.config import Destination as Settings
from edged.services.destinations import Routes
from edged.upstream.aside import Aside
from edged.upstream.asker import Asker
from edged.upstream.asking import asking_for
from edged.upstream.by_hand import ByHand
from edged.upstream.connection import Client, open_client
from edged.upstream.crew import Crew
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.endpoint import Endpoint
from edged.upstream.exchange import Exchange
from edged.upstream.forms import Forms
from edged.upstream.lease import Leases
from edged.upstream.listener import Listener
from edged.upstream.look import Looker
from edged.upstream.outcomes import Outcomes
from edged.upstream.parking import Parking
from edged.upstream.prover import Prover
from edged.upstream.reaching import told_settings
from edged.upstream.reconciler import Reconciler
from edged.upstream.retrieve import Retriever
from edged.upstream.sender import Sender, Tools
from edged.upstream.transcoding import Transcoding
from edged.upstream.witness import witness_for
from edged.upstream.workers import Workers


async def forward(routes: Routes, destinations: tuple[Settings, ...], box: Surroundings) -> None:
    """Forward to every destination and prove what they took; runs until cancelled."""
    async with trio.open_nursery() as nursery:
        for settings in destinations:
            nursery.start_soon(_run, Destination(routes.ids[settings.name], settings, box))


async def _run(destination: Destination) -> None:
    endpoint = Endpoint.parse(destination.settings.url)
    async with open_client(endpoint, told_settings(destination)) as client:
        await _work(destination, client)


async def _work(destination: Destination, client: Client) -> None:
    asking = asking_for(destination, client)
    looker, parking = Looker(asking), Parking(destination)
    forms = Forms(destination)
    leases = Leases(destination, forms)
    crew = Crew(destination)
    tools = Tools(
        crew=crew,
        leases=leases,
        forms=forms,
        exchange=Exchange(destination, asking, looker),
        outcomes=Outcomes(destination, looker, parking),
        transcoding=Transcoding(destination, parking),
        parking=parking,
        looker=looker,
    )
    reconciler = Reconciler(destination, looker)
    box, number = destination.box, destination.number
    box.holders[number] = Retriever(destination, asking)
    box.witnesses[number] = witness_for(destination, asking)
    box.reprovers[number] = reconciler
    asker = Asker(destination, asking)
    prover = Prover(destination, looker, asker, parking=parking)
    box.hands[number] = ByHand(destination, leases, prover)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Aside(destination).work)
        nursery.start_soon(prover.work)
        nursery.start_soon(Listener(destination, asking, asker.service, hear=prover.hear).listen)
        nursery.start_soon(reconciler.keep)
        nursery.start_soon(Workers(destination, Sender(destination, tools), crew).work)
