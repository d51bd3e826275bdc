"""Storage commitment in tests: requests of both forms, deliveries moved by hand, answers read independently."""

import json
from collections.abc import Iterable
from functools import partial

from edged.store.instances import find_instance
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from tests.support.box_kit import Box
from tests.support.stow_kit import CT, Named

JSON = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
CLASS, INSTANCE, REASON = "00081150", "00081155", "00081197"
SOP, FAILED_SOP = "00081199", "00081198"
STUDY, FAILED_STUDY = "00081110", "0008119B"


def ui(tag: str, uid: str) -> dict[str, object]:
    return {tag: {"vr": "UI", "Value": [uid]}}


def sq(tag: str, *items: dict[str, object]) -> dict[str, object]:
    return {tag: {"vr": "SQ", "Value": list(items)}}


def sop_form(names: Iterable[Named], sop_class_uid: str = CT) -> bytes:
    """A request that lists instances (PS3.18 Table J.1-1)."""
    return json.dumps(sq(SOP, *(ui(CLASS, sop_class_uid) | ui(INSTANCE, each.instance) for each in names))).encode()


def study_form(names: Iterable[Named], sop_class_uid: str = CT) -> bytes:
    """A request that nests each instance in its study, series and class."""
    studies = [
        ui("0020000D", each.study)
        | sq(
            "00081115",
            ui("0020000E", each.series)
            | sq("00081112", ui(CLASS, sop_class_uid) | sq("0008114A", ui(INSTANCE, each.instance))),
        )
        for each in names
    ]
    return json.dumps(sq(STUDY, *studies)).encode()


def outcome(body: bytes) -> dict[str, int]:
    """What an answer of the SOP form says of each instance: 0 is committed."""
    answer = json.loads(body)
    assert set(answer) <= {SOP, FAILED_SOP}
    assert all(sequence["Value"] for sequence in answer.values()), "an empty list"
    kept = {item[INSTANCE]["Value"][0]: 0 for item in answer.get(SOP, {"Value": []})["Value"]}
    lost = {
        item[INSTANCE]["Value"][0]: item[REASON]["Value"][0] for item in answer.get(FAILED_SOP, {"Value": []})["Value"]
    }
    assert not kept.keys() & lost.keys()
    return kept | lost


async def moved(box: Box, name: Named, to: DeliveryState, *, proof: str = "", reason: int | None = None) -> None:
    """Bring an instance's delivery to the first destination to a state, as the upstream would."""
    found = await box.store.read(partial(find_instance, sop_instance_uid=name.instance))
    assert found is not None
    delivery = Delivery(state=to, since=box.clock.wall(), proof=proof, reason=reason)
    change = partial(move, number=found[0], destination=box.routes.all[0], expected=tuple(DeliveryState), to=delivery)
    assert await box.store.write(change)
    box.bells.logged.ring()
    box.bells.proven.ring()
