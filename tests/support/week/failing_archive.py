"""An archive that fails at random in every way that the verdict table knows, and keeps book of it.

It answers well mostly. Otherwise it breaks off, stalls, trickles, talks nonsense, refuses by every status and reason,
answers before it has heard, stores and says no, says yes and does not store, shows late, hides and denies, and loses
what it has shown and committed to: what it `broke` with it gave true evidence of, once. While it is `calm` nothing of
this happens.
"""

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus

import trio

from edged.telemetry.live import Phase
from edged.upstream.dial import Connector
from edged.upstream.message import NoAnswer
from edged.upstream.transport import Transport
from tests.support.archive.rules import Archive, wanted_of
from tests.support.archive.serving import connector_to
from tests.support.archive.values import JSON, Asked, Fault, Kind, Reply, Stow, committed, report
from tests.support.week.accounts import Accounts

STATUSES = (
    *(301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 417),
    *(418, 421, 422, 424, 426, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 524, 599),
)
REFUSALS = frozenset({400, 409, 413, 415, 501})
"""What may be a verdict on a single instance."""

PASSING = (0xA700, 0xA70F, 0x0213)
UNCLEAR = (0xA710, 0x0110, 0x0111, 0xB00E, 0xB00F, 45070, 45071, 0xB007, None)
FOR_GOOD = (0x0122, 0x0124, 0xA900, 0xC000, 0xC122, 0x1234)
NONSENSE = (b"", b"{}", b"<html>", b"[", b'{"00081199":1}', b'{"00081199":{"vr":"SQ","Value":[{}]}}', bytes(9))
COMMITMENT_STATUSES = (301, 400, 401, 403, 404, 405, 409, 410, 413, 415, 429, 500, 501, 503)
POISON = 0xA900
NAMED_BYTES = 420
"""In so many bytes of a store request the first instance is named."""

MADE_UID = re.compile(rb"1\.2\.826\.0\.1\.\d+\.1\.\d+")


def is_poison(uid: str) -> bool:
    """Whether it never takes this instance: one in two hundred."""
    return random.Random(uid).random() < 0.005


class FailingArchive(Archive):
    """One archive; `wire_share` and `answer_share` are how often requests break and answers are bad."""

    def __init__(self, seed: int, *, http2: bool) -> None:
        super().__init__()
        self.accounts = Accounts()
        self.calm = False
        self.down = False
        self.wire_share, self.answer_share, self.dropped_share = 0.05, 0.2, 0.01
        self.broke: dict[str, float] = {}
        self._chance = random.Random(seed)
        self._http2 = http2
        self._pinned: set[str] = set()
        self._visible: dict[str, float] = {}
        self._asked_for: dict[str, tuple[list[str], int]] = {}
        self._results: dict[str, Reply] = {}
        self._serving: trio.CancelScope | None = None
        self.on_head, self.on_early = self._head, self._early
        self.on_store, self.on_look = self._store, self._look
        self.on_commitment = self._commitment
        self.on_options = lambda _: self._bad_status() if self._bad(0.3) else Reply(200)

    # what is stored

    def lose(self, uid: str) -> None:
        """Have an instance no longer, whatever was said of it."""
        if uid not in self.stored:
            return
        if uid in self._pinned:
            self._pinned.discard(uid)
            self.broke[uid] = trio.current_time()
        self.accounts.charge([uid], "lost after evidence" if uid in self.broke else "dropped")
        super().lose(uid)

    async def lose_now_and_then(self, every_s: float) -> None:
        """Lose anything that it has, from time to time, until it is calm."""
        while not self.calm:
            await trio.sleep(self._chance.expovariate(1 / every_s))
            if self.stored and not self.calm:
                self.lose(self._chance.choice(sorted(self.stored)))

    def _take(self, stow: Stow, uids: Iterable[str]) -> None:
        """Store these, and show them after a while."""
        self.keep(stow, uids)
        for uid in uids:
            if uid not in self._visible:
                self._visible[uid] = trio.current_time() + min(500.0, self._chance.expovariate(1 / 90))
                self.hidden.add(uid)

    # the wire

    def _bad(self, share: float) -> bool:
        return not self.calm and self._chance.random() < share

    def _fault(self, length: int) -> Fault:
        kind = self._chance.choice(list(Kind))
        at, early = self._chance.randint(0, length), None
        if kind is Kind.EARLY:
            early = Reply(self._chance.choice([401, 413, 503, 200]), self._chance.choice(NONSENSE))
            at = max(at, min(length, NAMED_BYTES))
        return Fault(kind, at, early, seconds=self._chance.choice([0.1, 40.0]))

    def _early(self, asked: Asked) -> None:
        """A single instance that is answered too early may be refused for good by it."""
        uids = {uid.decode() for uid in MADE_UID.findall(asked.body)}
        if len(uids) == 1:
            self.accounts.refused.update(uids)

    def _head(self, asked: Asked) -> Fault | None:
        if not self._bad(self.wire_share):
            return None
        fault = self._fault(int((asked.all("content-length") or ["0"])[0]))
        if fault.kind is Kind.TRICKLE:
            return None
        self._charge_line(fault.kind)
        if wanted := wanted_of(asked):
            self.accounts.denied(wanted)
        return fault

    def _charge_line(self, kind: Kind, uids: Iterable[str] = ()) -> None:
        """On HTTP/2 what breaks one request may break those beside it."""
        if self._http2:
            self.accounts.charge_unanswered(f"wire {kind.name}")
        else:
            self.accounts.charge(uids, f"wire {kind.name}")

    def _on_its_way(self, reply: Reply, uids: Sequence[str] = ()) -> Reply:
        """Let an answer take its time, and something happen to it now and then."""
        slow = self._bad(0.005)
        reply = replace(reply, delay_s=100.0 + 60.0 * self._chance.random() if slow else self._chance.random())
        if slow:
            self.accounts.charge(uids, "slow")
        if reply.status in REFUSALS and len(uids) == 1:
            self.accounts.refused.update(uids)
        if self._bad(self.wire_share):
            fault = replace(self._fault(len(reply.body) + 100), reply=None)
            reply = replace(reply, fault=fault)
            self._charge_line(fault.kind, uids)
        return reply

    def _bad_status(self) -> Reply:
        status = self._chance.choice(STATUSES)
        headers: list[tuple[str, str]] = []
        if self._chance.random() < 0.3:
            headers.append(("retry-after", str(self._chance.choice([0, 3, 60, 900]))))
        if status in {307, 308} and self._chance.random() < 0.7:
            headers.append(("location", self._chance.choice(["/dicom-web/studies", "http://elsewhere.example/"])))
        return Reply(status, self._chance.choice([b"", b"no"]), tuple(headers))

    # store

    def _store(self, stow: Stow) -> Reply:
        uids = stow.uids
        arrived = self.accounts.uploaded(uids)
        reply = replace(self._answered(stow, uids), arrived=arrived)
        if reply.fault is not None:
            arrived()  # nobody waits for it: it is charged already
        return reply

    def _answered(self, stow: Stow, uids: Sequence[str]) -> Reply:
        chance = self._chance
        if not self._bad(self.answer_share):
            return self._on_its_way(self._stored_well(stow), uids)
        self._take(stow, [uid for uid in uids if not is_poison(uid) and chance.random() < chance.choice([0, 0.5, 1])])
        match chance.randrange(3):
            case 0:
                self.accounts.charge(uids, "nonsense")
                reply = Reply(chance.choice([200, 202, 204, 500]), chance.choice(NONSENSE))
            case 1:
                reply = self._bad_status()
                self.accounts.charge(uids, f"status {reply.status}")
            case _:
                reply = self._mixed(stow)
        return self._on_its_way(reply, uids)

    def _stored_well(self, stow: Stow) -> Reply:
        """Store everything and say so, and not have some of it."""
        good = [uid for uid in stow.uids if not is_poison(uid)]
        bad = [uid for uid in stow.uids if is_poison(uid)]
        self.accounts.refused.update(bad)
        self.accounts.charge(bad, "poison")
        dropped = {uid for uid in good if self._bad(self.dropped_share)}
        self._take(stow, [uid for uid in good if uid not in dropped])
        self.accounts.charge(dropped - self.stored.keys(), "not stored")
        for uid in good:
            if self._bad(self.dropped_share):
                self.lose(uid)
        return report(good, dict.fromkeys(bad, POISON))

    def _mixed(self, stow: Stow) -> Reply:
        """Say something else of each, only of some the truth."""
        stored, failed = [], dict[str, int | None]()
        for uid in stow.uids:
            draw = self._chance.random()
            if uid in self.stored and draw < 0.4:
                stored.append(uid)
                continue
            self.accounts.charge([uid], "reason")
            if draw < 0.9:
                failed[uid] = self._chance.choice([*PASSING, *UNCLEAR])
            elif draw < 0.93:
                failed[uid] = self._chance.choice(FOR_GOOD)
                self.accounts.refused.add(uid)
        return report(stored, failed, status=self._chance.choice([0, 200, 202, 409, 500]))

    # looks

    def _look(self, asked: Asked) -> Reply:
        self.hidden -= {uid for uid in self.hidden if self._visible[uid] <= trio.current_time()}
        wanted = wanted_of(asked)
        if self._bad(self.answer_share):
            if wanted is not None:
                self.accounts.denied(wanted)
            empty = Reply(200, b"[]", (("content-type", JSON),))
            bad = [Reply(404), Reply(204), empty, Reply(200, b"<html>"), self._bad_status()]
            return self._on_its_way(self._chance.choice(bad))
        reply = self.show(asked)
        if self._bad(self.wire_share) and wanted is not None:
            self.accounts.denied(wanted)
            return replace(reply, fault=replace(self._fault(len(reply.body) + 100), reply=None))
        if reply.status == HTTPStatus.OK:
            self._pinned |= {each["00080018"]["Value"][0] for each in json.loads(reply.body)}
        return self._on_its_way(reply)

    # commitment

    def _commitment(self, asked: Asked) -> Reply:
        uid = asked.transaction_uid
        if self._bad(self.answer_share):
            if self._chance.random() < 0.3:
                self._asked_for.pop(uid, None)
                self._results.pop(uid, None)
            return self._on_its_way(self._bad_commitment(asked))
        if asked.method == "POST":
            if uid in self._asked_for:
                return self._on_its_way(Reply(409))
            self._asked_for[uid] = asked.listed, self._chance.randrange(4)
        elif uid not in self._asked_for:
            return self._on_its_way(Reply(404))
        listed, checks = self._asked_for[uid]
        if checks:
            self._asked_for[uid] = listed, checks - 1
            return self._on_its_way(Reply(202, headers=(("retry-after", str(self._chance.choice([1, 30]))),)))
        if uid not in self._results:
            self._results[uid] = self._result(listed)
        return self._on_its_way(self._results[uid])

    def _result(self, listed: Iterable[str]) -> Reply:
        """What it commits to it keeps; what it has it denies now and then."""
        kept = [uid for uid in listed if uid in self.stored and not self._bad(0.1)]
        failed = dict[str, int]()
        for uid in sorted(set(listed).difference(kept)):
            absent = uid not in self.stored
            failed[uid] = 0x0112 if absent else self._chance.choice([0x0112, 0x0110, 0x0213, 0x0131])
            if not absent and self._bad(0.02):
                failed[uid] = self._chance.choice([0x0119, 0x0122])
                self.accounts.refused.add(uid)
        self._pinned |= set(kept)
        return committed(kept, failed)

    def _bad_commitment(self, asked: Asked) -> Reply:
        if asked.method == "POST" and self._chance.random() < 0.2:
            kept = [uid for uid in asked.listed if uid in self.stored][::2]
            self._pinned |= set(kept)
            return committed(kept)  # of the others nothing is said
        if self._chance.random() < 0.3:
            return Reply(200, self._chance.choice(NONSENSE))
        return Reply(self._chance.choice(COMMITMENT_STATUSES))

    # being there

    async def run(self) -> None:
        """Serve until cancelled; `connector` works meanwhile."""
        while True:
            async with trio.open_nursery() as nursery:
                self._serving = nursery.cancel_scope
                self._connect = connector_to(self, nursery)
                await trio.sleep_forever()

    async def go_down(self, seconds: float) -> None:
        """Break everything off and be away for a while."""
        self.accounts.charge_unanswered("down")
        self.down = True
        assert self._serving is not None
        self._serving.cancel()
        await trio.sleep(seconds)
        self.down = False

    @property
    def connector(self) -> Connector:
        """The way to it, which does not always lead there."""

        async def connect(*where: object) -> Transport:
            await trio.sleep(0.05)
            if self.down or self._bad(0.03):
                phase = self._chance.choice([Phase.DNS, Phase.TCP, Phase.TLS])
                raise NoAnswer(phase, "it is not there", not_processed=True)
            return await self._connect(*where)  # type: ignore[arg-type]

        return connect
