"""The resources of `edged queue`: pages, steps, consent, who may, and what the audit log keeps."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from edged.origin.audit import FILE
from edged.services.conflicts import CONFLICT
from edged.services.queue_consent import VALID_S
from edged.services.queue_values import Plan
from edged.services.queueing import ROWS
from edged.store.history import history_of
from edged.store.instances import find_instance
from edged.store.queue import destination_id
from edged.store.queue_walk import EntryState
from edged.store.records import Delivery, DeliveryState
from edged.store.standings import read_delivery
from edged.store.waiting import waiting
from edged.telemetry.clock import ManualClock
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.queue_kit import bring
from tests.support.store_kit import put
from tests.support.stow_kit import made, named

ONE, TWO = named(1), named(2)
CONFIG = (
    f'duplicate = "keep-both"\n[origin]\nbind = ["http://127.0.0.1:0"]\n{ARCHIVE}{ARCHIVE.replace("archive", "second")}'
)
JSON = {"Accept": "application/json"}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, CONFIG) as opened:
        yield opened


async def listed(box: Box, query: str = "") -> Any:
    answer = await box.ask("GET", f"/admin/queue?{query}", JSON)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.body)


async def asked(box: Box, action: str, **content: object) -> tuple[int, Any]:
    headers = {**JSON, "Content-Type": "application/json"}
    answer = await box.ask("POST", f"/admin/queue/{action}", headers, json.dumps(content).encode())
    return answer.status, json.loads(answer.body)


async def done(box: Box, action: str, **content: object) -> Any:
    status, answered = await asked(box, action, **content)
    assert status == 200, answered
    return answered


def number_of(box: Box, uid: str) -> int:
    found = box.store.read_now(lambda txn: find_instance(txn, uid))
    assert found is not None
    return found[0]


async def test_a_page_tells_of_each_entry(box: Box) -> None:
    await box.stow(made(ONE))
    page = await listed(box)
    assert [(each["state"], each["destination"]) for each in page["entries"]] == [
        ("pending", "archive"),
        ("pending", "second"),
    ]
    assert page["entries"][0]["sop_instance_uid"] == ONE.instance
    assert page["entries"][0]["waits_for"] == "forwarding: it does not run"
    assert page["total"]["entries"] == 2
    assert page["after"] == ""


async def test_pages_follow_each_other(box: Box) -> None:
    await box.stow(made(ONE), made(TWO))
    first = await listed(box, "limit=3")
    second = await listed(box, f"limit=3&after={first['after']}")
    assert (len(first["entries"]), len(second["entries"]), second["total"]) == (3, 1, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("destination=second", 1),
        (f"study={ONE.study}", 2),
        ("state=parked", 1),
        ("state=parked,pending", 2),
        ("state=sent", 0),
        (f"uid={ONE.instance}&destination=archive", 1),
    ],
)
async def test_what_is_asked_for(box: Box, query: str, expected: int) -> None:
    await box.stow(made(ONE))
    await bring(box.store, number_of(box, ONE.instance), DeliveryState.PARKED)
    page = await listed(box, query)
    assert len(page["entries"]) == page["total"]["entries"] == expected


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1,2", "state=lost", "after=zz", "destination=a,b"])
async def test_what_cannot_be_asked(box: Box, query: str) -> None:
    assert (await box.ask("GET", f"/admin/queue?{query}", JSON)).status == 400


async def test_an_unknown_destination_is_named_with_the_nearest(box: Box) -> None:
    answer = await box.ask("GET", "/admin/queue?destination=archvie", JSON)
    report = json.loads(answer.body)
    assert (answer.status, report["unknown"]) == (404, "archvie")
    assert report["detail"] == "There is no destination named archvie. Is archive meant? Known: archive, second."
    status, report = await asked(box, "move", destination="archive", to="thrid")
    assert (status, report["unknown"]) == (404, "thrid")


async def test_hold_and_release(box: Box) -> None:
    await box.stow(made(ONE))
    number = number_of(box, ONE.instance)
    stepped = await done(box, "hold", destination="archive", reason="no consent yet")
    assert (stepped["done"], stepped["skipped"], stepped["after"]) == (1, [], "")
    [held] = (await listed(box, "state=on-hold"))["entries"]
    assert held["text"] == "put on hold by anonymous: no consent yet"
    assert box.store.read_now(lambda txn: waiting(txn, 1, DeliveryState.HELD)) == []
    rung = box.bells.arrived.next
    assert (await done(box, "release", uids=[ONE.instance]))["done"] == 1
    assert rung.is_set()
    assert [each.number for each in box.store.read_now(lambda txn: waiting(txn, 1, DeliveryState.HELD))] == [number]


async def test_what_is_left_is_told_with_the_reason(box: Box) -> None:
    await box.stow(made(ONE))
    await done(box, "hold", uids=[ONE.instance])
    stepped = await done(box, "hold", uids=[ONE.instance, "9.9"])
    assert stepped["done"] == 0
    assert stepped["unknown"] == ["9.9"]
    assert {each["text"] for each in stepped["skipped"]} == {"it is on-hold, and hold is for what is pending or stuck"}


@pytest.mark.parametrize(
    ("action", "content", "says"),
    [
        ("hold", {}, "Say which entries"),
        ("discard", {"destination": "archive"}, "needs a reason"),
        ("move", {"to": "archive", "uids": ["1.2"]}, "needs both destinations"),
        ("move", {"destination": "archive", "to": "archive"}, "there already"),
        ("hold", {"states": ["parked"]}, "hold is for what is pending or stuck, not parked"),
        ("release", {"states": ["conflict"]}, "one by one, by their ids"),
        ("hold", {"uids": ["1.2"] * 1001}, "At most 1000 UIDs"),
        ("hold", {"destination": "archive", "after": "nonsense"}, "not where a page ended"),
        ("hold", {"destnation": "archive"}, "destnation"),
    ],
)
async def test_what_does_not_say_enough_changes_nothing(
    box: Box, action: str, content: dict[str, object], says: str
) -> None:
    await box.stow(made(ONE))
    status, report = await asked(box, action, **content)
    assert status == 400
    assert says in report["detail"]


async def test_only_known_actions_and_json(box: Box) -> None:
    assert (await asked(box, "lose"))[0] == 404
    form = {**JSON, "Content-Type": "application/x-www-form-urlencoded"}
    assert (await box.ask("POST", "/admin/queue/hold", form, b"{}")).status == 415


async def test_long_changes_go_step_by_step(box: Box) -> None:
    for index in range(ROWS + 1):
        await put(box.store, b"x", f"1.{index}", destinations=(1,), required=(1,))
    first = await done(box, "hold", destination="archive")
    assert first["done"] == ROWS
    assert first["after"]
    second = await done(box, "hold", destination="archive", after=first["after"])
    assert (second["done"], second["after"]) == (1, "")


async def test_a_long_change_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with opened_box(tmp_path, CONFIG, keep=True) as box:
        for index in range(ROWS + 1):
            await put(box.store, b"x", f"1.{index}", destinations=(1,), required=(1,))
        after = (await done(box, "move", destination="archive", to="second"))["after"]
    async with opened_box(tmp_path, CONFIG) as box:
        assert (await done(box, "move", destination="archive", to="second", after=after))["done"] == 1
        assert (await listed(box, "limit=1"))["total"]["sums"] == [
            {"destination": "second", "state": "pending", "entries": ROWS + 1}
        ]


async def test_a_discard_wants_consent_to_exactly_that(box: Box) -> None:
    await box.stow(made(ONE))
    asking = {"destination": "archive", "reason": "sent by mistake"}
    consent = await done(box, "discard", **asking)
    assert consent["total"]["entries"] == 1
    assert consent["valid_s"] == VALID_S
    token = consent["token"]
    for other in ({"destination": "second"}, {"reason": "another"}, {"token": "no"}):
        status, report = await asked(box, "discard", **{**asking, "token": token, **other})
        assert status == 400
        assert "ask again, without a token" in report["detail"]
    await box.stow(made(TWO))
    assert (await done(box, "discard", **asking, token=token))["done"] == 1
    [left] = (await listed(box, "destination=archive"))["entries"]
    assert left["sop_instance_uid"] == TWO.instance, "it came after the consent"


async def test_a_consent_ends(box: Box) -> None:
    await box.stow(made(ONE))
    asking = {"destination": "archive", "reason": "sent by mistake"}
    token = (await done(box, "discard", **asking))["token"]
    assert isinstance(box.clock, ManualClock)
    box.clock.advance(VALID_S - 1)
    assert (await done(box, "discard", **asking, token=token))["done"] == 1
    box.clock.advance(VALID_S - 1)
    assert (await done(box, "discard", **asking, token=token))["done"] == 0
    box.clock.advance(VALID_S + 1)
    assert (await asked(box, "discard", **asking, token=token))[0] == 400


async def test_a_conflict_is_listed_released_and_discarded(box: Box) -> None:
    await box.stow(made(ONE))
    await box.stow(made(ONE, patient=b"P2"))
    assert box.conditions.stands(CONFLICT)
    [conflict] = (await listed(box, "state=conflict"))["entries"]
    assert conflict["destination"] is None
    assert (await done(box, "release", uids=[conflict["conflict"]]))["done"] == 1
    [other] = (await listed(box, "state=conflict"))["entries"]
    assert other["conflict"] != conflict["conflict"]
    asking = {"uids": [other["conflict"]], "reason": "the older one"}
    token = (await done(box, "discard", **asking))["token"]
    assert (await done(box, "discard", **asking, token=token))["done"] == 1
    assert not box.conditions.stands(CONFLICT)
    await box.store.wait_swept()


async def test_a_bulk_discard_leaves_conflicts(box: Box) -> None:
    await box.stow(made(ONE))
    await box.stow(made(ONE, patient=b"P2"))
    asking = {"study": ONE.study, "reason": "test"}
    consent = await done(box, "discard", **asking)
    assert consent["total"]["entries"] == 2
    await done(box, "discard", **asking, token=consent["token"])
    assert [each["state"] for each in (await listed(box))["entries"]] == ["conflict"]


async def test_entries_of_a_removed_destination_are_moved_and_its_condition_ends(box: Box) -> None:
    old = await box.store.write(partial(destination_id, name="old"))
    for index in range(3):
        await put(box.store, b"x", f"1.{index}", destinations=(old,), required=(old,))
    name = "destination-removed:old"
    await done(box, "hold", uids=["1.0"])
    assert (await listed(box, "destination=old"))["entries"][0]["waits_for"].startswith("its destination, which is not")
    moved = await done(box, "move", destination="old", to="archive", uids=["1.0"])
    assert moved["done"] == 1
    assert box.conditions.stands(name)
    moved = await done(box, "move", destination="old", to="archive")
    assert moved["done"] == 2
    assert not box.conditions.stands(name)
    assert {each["state"] for each in (await listed(box, "uid=1.0"))["entries"]} == {"on-hold"}


async def test_every_change_is_audited_with_who_and_why(box: Box, tmp_path: Path) -> None:
    await box.stow(made(ONE))
    await done(box, "hold", destination="archive", reason="no consent yet")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.parts.audit.keep)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    lines = [json.loads(line) for line in (tmp_path / "box" / FILE).read_text().splitlines()]
    [line] = [each for each in lines if each.get("resource") == "adminQueueAction"]
    assert line["who"] == "anonymous"
    assert line["instances"] == [{"instance": ONE.instance, "outcome": "hold at archive: no consent yet"}]


async def test_it_is_for_the_role_admin_alone(tmp_path: Path) -> None:
    async with opened_box(tmp_path, f'[access]\nanonymous = ["store", "read", "monitor"]\n{ARCHIVE}') as box:
        assert (await box.ask("GET", "/admin/queue", JSON)).status == 401
        assert (await asked(box, "hold", destination="archive"))[0] == 401


class Sending:
    """A destination that is sending some instances, and remembers what it is told."""

    def __init__(self, *sending: int) -> None:
        self.sending = set(sending)
        self.disturbed = False
        self.renewed: list[tuple[int, bool]] = []
        self.hastened = 0

    async def __aenter__(self) -> set[int]:
        self.disturbed = True
        return self.sending

    async def __aexit__(self, *_: object) -> None:
        self.disturbed = False

    def undisturbed(self) -> "Sending":
        return self

    def renew(self, number: int, *, doubted: bool) -> None:
        assert self.disturbed
        self.renewed.append((number, doubted))

    def hasten(self) -> None:
        self.hastened += 1

    def plan(self, number: int, state: EntryState, delivery: Delivery | None) -> Plan:
        return Plan("its turn", float(number))


async def test_what_is_being_sent_is_left_alone(box: Box) -> None:
    await box.stow(made(ONE), made(TWO))
    busy = number_of(box, ONE.instance)
    box.parts.surroundings.hands[1] = Sending(busy)
    stepped = await done(box, "hold", destination="archive")
    assert stepped["done"] == 1
    assert [(each["number"], each["text"]) for each in stepped["skipped"]] == [
        (busy, "it is being sent at this moment: try again")
    ]
    delivery = box.store.read_now(partial(read_delivery, number=busy, destination=1))
    assert delivery is not None
    assert delivery.state is DeliveryState.HELD
    assert (await listed(box, f"uid={ONE.instance}&destination=archive"))["entries"][0]["next_try_s"] == busy


async def test_a_retry_forgets_what_was_held_against_it(box: Box) -> None:
    await box.stow(made(ONE), made(TWO))
    numbers = number_of(box, ONE.instance), number_of(box, TWO.instance)
    await bring(box.store, numbers[0], DeliveryState.PARKED)
    await bring(box.store, numbers[1], DeliveryState.STUCK)
    sending = box.parts.surroundings.hands[1] = Sending()
    assert (await done(box, "retry", destination="archive"))["done"] == 2
    assert sorted(sending.renewed) == [(numbers[0], False), (numbers[1], True)]


async def test_what_was_discarded_is_told_in_its_history(box: Box) -> None:
    await box.stow(made(ONE))
    asking = {"uids": [ONE.instance], "reason": "wrong patient"}
    token = (await done(box, "discard", **asking))["token"]
    assert (await done(box, "discard", **asking, token=token))["done"] == 2
    told = box.store.read_now(lambda txn: history_of(txn, ONE.instance))
    assert [entry.text for _, entry in told] == [
        f"pending at {name}, discarded by anonymous: wrong patient" for name in ("archive", "second")
    ]
    assert (await done(box, "retry", uids=[ONE.instance]))["unknown"] == [ONE.instance]
    await box.store.wait_swept()
