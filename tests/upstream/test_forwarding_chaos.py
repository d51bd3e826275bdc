"""An archive that answers anything at all: nothing moves forward without evidence, and nothing is lost by it.

The answers are drawn from a seed. While they are wild, every instance that is sent or committed was said to be stored
in a well-formed response, or was there to be seen; every parked one was refused for good by name. When the archive
behaves again, all that is not parked arrives.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from edged.store.records import Delivery, DeliveryState
from tests.support.committing import Committing
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Asked, Reply, ScriptedArchive, Stow, committed, report, scripted_archive
from tests.support.stow_kit import named

COUNT = 24
SUCCESSES = (200, 202, 204)
FAULTS = (301, 307, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 418, 421, 424, 429, 500, 501, 503)
LATER = (0xA700, 0xA710, 0x0110, 0x0111, 45070, 45071, 0xB007, None)
NEVER = (0x0122, 0xA900, 0xC000, 0xC122, 0x0124)


class Wild:
    """Answers of a seed; remembers what it claimed and what it refused for good."""

    def __init__(self, archive: ScriptedArchive, seed: int) -> None:
        self.claimed: set[str] = set()
        self.refused: set[str] = set()
        self.committed: set[str] = set()
        self._archive = archive
        self._chance = random.Random(seed)

    def store(self, stow: Stow) -> Reply:
        """Anything at all: reports in part, lies, statuses, garbage, resets."""
        chance = self._chance
        if chance.random() < 0.3:
            self._archive.keep(stow, chance.sample(stow.uids, chance.randint(0, len(stow.uids))))
        match chance.randrange(6):
            case 0:
                return Reply(reset=True)
            case 1:
                return Reply(200, chance.choice([b"", b"{}", b"<html>", b"[", b'{"00081199":1}', bytes(9)]))
            case 2:
                return Reply(chance.choice(SUCCESSES + FAULTS), chance.choice([b"", b"no"]), (("retry-after", "3"),))
            case 3:
                return self._spoilt(stow)
            case _:
                return self._report(stow)

    def _spoilt(self, stow: Stow) -> Reply:
        """A report with wrong bytes anywhere: it may be read as anything of the instances that it still names."""
        reply, chance = self._report(stow), self._chance
        body = bytearray(reply.body)
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randint(0, len(body))
            body[at : at + chance.choice([0, 1, 1, 1, 40])] = chance.choice(
                [b"", b"9", b'"', b"\0", b"}", b"\xff", b"8"]
            )
        named_still = {uid for uid in stow.uids if f'"{uid}"'.encode() in body}
        self.claimed |= named_still
        self.refused |= named_still
        return replace(reply, body=bytes(body))

    def commitment(self, asked: Asked) -> Reply:
        """The same for storage commitment."""
        chance = self._chance
        if asked.method == "GET" or chance.random() < 0.6:
            return chance.choice([Reply(s) for s in (200, 202, 404, 409, 410, 500, 503)] + [Reply(reset=True)])
        uids = chance.sample(asked.listed, chance.randint(0, len(asked.listed)))
        self.committed |= set(uids)
        left = [uid for uid in asked.listed if uid not in uids]
        return committed(uids, dict.fromkeys(chance.sample(left, len(left) // 2), 0x0110))

    def look(self, asked: Asked) -> Reply:
        """The truth, or no answer to the question."""
        return self._archive.show(asked) if self._chance.random() < 0.5 else Reply(self._chance.choice(FAULTS))

    def judge(self, uid: str, delivery: Delivery) -> None:
        """Fail unless there was evidence for where an instance stands."""
        shown = uid in self._archive.stored
        match delivery.state:
            case DeliveryState.SENT:
                assert shown if delivery.evidence == "found" else uid in self.claimed
            case DeliveryState.COMMITTED:
                assert uid in self.committed if delivery.proof == "dicomweb" else shown
            case DeliveryState.PARKED:
                assert uid in self.refused or delivery.text.startswith("HTTP 4") or delivery.text.startswith("HTTP 501")

    def _report(self, stow: Stow) -> Reply:
        chance = self._chance
        stored, failed = set(), {}
        for uid in stow.uids:
            draw = chance.random()
            if draw < 0.3:
                stored.add(uid)
            elif draw < 0.6:
                failed[uid] = chance.choice(LATER)
            elif draw < 0.65:
                failed[uid] = chance.choice(NEVER)
        self.claimed |= stored
        self.refused |= {uid for uid, reason in failed.items() if reason in NEVER}
        return report(stored, failed, status=chance.choice([0, 200, 409, 500]))


@pytest.mark.parametrize("http", ['"1.1"', '"2"'])
@pytest.mark.parametrize("seed", range(6))
async def test_nothing_moves_without_evidence(tmp_path: Path, seed: int, http: str) -> None:
    kinds = '["dicomweb", "search"]' if seed % 2 else '["dicomweb"]'
    async with scripted_archive() as (archive, _):
        wild = Wild(archive, seed)
        archive.on_store, archive.on_look, archive.on_commitment = wild.store, wild.look, wild.commitment
        config = destination(archive.url, commitment=kinds, visible_within='"1d"', http=http)
        async with forwarding(tmp_path, config) as box:
            uids = await box.take_made(*(named(number) for number in range(COUNT)))
            for _ in range(60):
                await box.pass_time(random.Random(seed).choice([1, 20, 400]))
                for uid in uids:
                    wild.judge(uid, box.delivery(uid))
            archive.on_store, archive.on_look = archive.store_all, archive.show
            archive.on_commitment = Committing(archive)
            await box.until(lambda: set(box.at()) <= {"committed", "parked"}, step_s=3600)
