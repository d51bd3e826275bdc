"""What an archive's answer to a look, a search or a repair leads to, found out by giving it.

Those have no table in the program as the store and the storage commitment have. Each is asked of an archive that gives
every status in turn, in several forms, and what comes of it is told in words: a result that has none is an error.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from msgspec import Struct

from edged.config import Destination as DestinationSettings
from edged.config import parse
from edged.services.bell import Bells
from edged.services.repair import Copy, Retrieved
from edged.store.store import Store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from edged.upstream.asking import asking_for
from edged.upstream.comparing import Finding
from edged.upstream.connection import open_client
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.endpoint import Endpoint
from edged.upstream.look import Looker
from edged.upstream.reaching import client_settings
from edged.upstream.retrieve import Retriever
from tests.support.scripted_archive import JSON, Reply, ScriptedArchive, scripted_archive
from tests.support.store_kit import instance_of
from tests.support.stow_kit import MULTIPART, multipart

_TELLS_NOTHING = Reply(HTTPStatus.IM_A_TEAPOT)  # of the two answers to a look the one that is not tried
_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_UID = "1.2.3.4.5"
_INSTANCE = instance_of(b"abc", _UID)
_SAME = {
    "00080016": {"vr": "UI", "Value": [_INSTANCE.sop_class_uid]},
    "00080018": {"vr": "UI", "Value": [_UID]},
}
_OTHER = {**_SAME, "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.4"]}}
_SHOWN = (json.dumps([_SAME]).encode(), json.dumps([_OTHER]).encode(), b"[]", b"no JSON")

_OF_A_LOOK = {
    (
        Finding.THERE,
        Finding.DIFFERS,
        Finding.ABSENT,
        Finding.UNKNOWN,
    ): "What it shows is compared; without the instance it is not to be seen; what cannot be read tells nothing.",
    (Finding.ABSENT,) * 4: "Not to be seen.",
    (Finding.UNKNOWN,) * 4: "Tells nothing.",
    (Finding.SILENT,) * 4: "Asked again later.",
}
_OF_A_SERIES = {
    (True, True, False, False): "The instances that it shows are compared; each of the others is looked for alone.",
    (False,) * 4: "Each instance is looked for alone.",
}
_OF_A_PROBE = {True: "Passed.", False: "Not passed."}
_OF_A_REPAIR = {
    (Retrieved.GIVEN, Retrieved.SILENT): "The first part is put in place if its data set is the same; without one: as "
    "any other.",
    (Retrieved.ABSENT,) * 2: "It does not have the instance: the next archive is asked.",
    (Retrieved.SILENT,) * 2: "The next archive is asked; this one again in the next pass.",
}


class Tried(Struct, frozen=True):
    """What an answer led to, in words: one of each of these requests."""

    metadata: str
    instance: str
    search: str
    series: str
    probe: str


@dataclass(slots=True)
class _Kept:
    """Takes what an archive gives back."""

    limit: int = 1 << 20

    async def add(self, data: bytes | memoryview) -> None:
        """Drop it."""


class _Trial:
    """The requests of one destination, each answered as is asked for."""

    def __init__(self, archive: ScriptedArchive, looker: Looker, retriever: Retriever) -> None:
        self._archive = archive
        self._looker = looker
        self._retriever = retriever

    async def tried(self, reply: Callable[[bytes], Reply]) -> Tried:
        """Have each request answered by `reply`, which gets what is shown."""
        shown = [reply(each) for each in _SHOWN]
        given = (reply(multipart([b"an instance"])), reply(b"none"))
        metadata = [await self._look(metadata=each, search=_TELLS_NOTHING) for each in shown]
        search = [await self._look(metadata=each if each.reset else _TELLS_NOTHING, search=each) for each in shown]
        return Tried(
            _OF_A_LOOK[tuple(metadata)],  # type: ignore[index]
            _OF_A_REPAIR[tuple([await self._repair(each) for each in given])],  # type: ignore[index]
            _OF_A_LOOK[tuple(search)],  # type: ignore[index]
            _OF_A_SERIES[tuple([await self._series(each) for each in shown])],  # type: ignore[index]
            _OF_A_PROBE[await self._probe(shown[2])],
        )

    async def _look(self, *, metadata: Reply, search: Reply) -> Finding:
        self._archive.on_look = lambda asked: metadata if asked.path.endswith("/metadata") else search
        return await self._looker.look(_INSTANCE)

    async def _series(self, reply: Reply) -> bool:
        self._archive.on_look = lambda _: reply
        shown = await self._looker.series(_INSTANCE.study_instance_uid, _INSTANCE.series_instance_uid)
        return _UID in shown

    async def _probe(self, reply: Reply) -> bool:
        self._archive.on_look = lambda _: reply
        return await self._looker.search_passes()

    async def _repair(self, reply: Reply) -> Retrieved:
        self._archive.on_retrieve = lambda _: reply
        return await self._retriever.retrieve(_INSTANCE, cast("Copy", _Kept()))


def _reply(status: int, body: bytes) -> Reply:
    content_type = MULTIPART if body.startswith(b"--") else JSON
    return Reply(status, b"" if status in _WITHOUT_BODY else body, (("content-type", content_type),))


def _settings(url: str) -> DestinationSettings:
    [settings] = parse(f'[[destination]]\nname = "archive"\nurl = "{url}"\n', {}).destinations
    return settings


async def try_all() -> dict[int, Tried]:
    """What every status led to, and under 0 what no answer led to."""
    clock = ManualClock()
    box = Surroundings(cast("Store", None), clock, live=Live(), conditions=Conditions(clock), bells=Bells())
    async with scripted_archive() as (archive, _):
        settings = _settings(archive.url)
        destination = Destination(1, settings, box)
        async with open_client(Endpoint.parse(settings.url), client_settings(destination)) as client:
            asking = asking_for(destination, client)
            trial = _Trial(archive, Looker(asking), Retriever(destination, asking))
            return {0: await trial.tried(lambda _: Reply(reset=True))} | {
                int(status): await trial.tried(lambda body, status=status: _reply(status, body))  # type: ignore[misc]
                for status in HTTPStatus
                if status >= HTTPStatus.OK
            }
