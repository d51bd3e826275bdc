"""The examples of docs/events.md, made by the program: one report of each kind.

`tools/event-examples` writes them, a test compares them. Each is the first block of JSON below the heading of its kind.
"""

import json
import re
from typing import Final

from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet
from edged.dicomweb.event_report import (
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    gone_result_event,
    instances_event,
    subject_event,
)
from edged.dicomweb.json_model import to_json

_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
_TIME: Final = 1_767_225_600.25
_URL: Final = "http://box.example/studies/2.25.1/series/2.25.2/instances/2.25."
_BLOCK: Final = r"(?s)(\n### `{kind}`\n(?:(?!\n### ).)*?```json\n).*?(```\n)"

_TEXTS: Final = {
    EventKind.RECEIVED: ("", "stow"),
    EventKind.SENT: ("archive", "stored"),
    EventKind.COMMITTED: ("archive", "dicomweb"),
    EventKind.PARKED: ("archive", "0122H: the SOP class is not supported"),
    EventKind.CONFLICT: ("", "held beside number 17"),
    EventKind.EVICTED: ("", ""),
    EventKind.CONDITION_RAISED: ("filling", "The store is 90 % full."),
    EventKind.CONDITION_CLEARED: ("filling", "The store is 90 % full."),
    EventKind.DESTINATION_UP: ("archive", ""),
    EventKind.DESTINATION_DOWN: ("archive", "tcp: connection refused"),
    EventKind.GAP: ("", "999 events are not kept any more."),
}
_INSTANCES: Final = frozenset(list(_TEXTS)[:6])
SHOWN: Final = frozenset(EventKind) - {EventKind.STUDY_SETTLED}


def example(kind: EventKind) -> DataSet:
    """A report: of two instances where it can tell of several."""
    head = EventHead(kind, last=1002, first=1001, resume=1002, time=_TIME)
    if kind is EventKind.COMMITMENT_RESULT:
        failed = {(_CT, "2.25.4"): FailureReason.NO_SUCH_OBJECT_INSTANCE}
        return commitment_event(_single(kind), "2.25.9", committed=[(_CT, "2.25.3")], failed=failed)
    if kind is EventKind.COMMITMENT_RESULT_GONE:
        return gone_result_event(_single(kind), "2.25.9", text="1 committed, 1 failed; it is not kept any more")
    subject, text = _TEXTS[kind]
    if kind in _INSTANCES:
        several = kind is not EventKind.CONFLICT
        instances = [
            EventInstance("2.25.1", "2.25.2", _CT, f"2.25.{each}", "EDGED", f"{_URL}{each}")
            for each in ((3, 4) if several else (3,))
        ]
        return instances_event(head if several else _single(kind), instances, subject=subject, text=text)
    gap = EventHead(kind, last=999, first=1, resume=999)
    return subject_event(gap if kind is EventKind.GAP else _single(kind), subject, text=text)


def _single(kind: EventKind) -> EventHead:
    return EventHead(kind, last=1001, first=1001, resume=1001, time=_TIME)


def written(report: DataSet) -> str:
    """A report with a line for each attribute, sequences over several."""
    content = json.loads(to_json(report))
    lines = [f'  "{tag}": {_attribute(attribute)}' for tag, attribute in content.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _attribute(attribute: dict[str, object]) -> str:
    flat = json.dumps(attribute, ensure_ascii=False)
    return flat if len(flat) < 100 else json.dumps(attribute, indent=2, ensure_ascii=False).replace("\n", "\n  ")


def page(text: str) -> str:
    """docs/events.md with the examples as they are now."""
    for kind in SHOWN:
        block = re.compile(_BLOCK.format(kind=kind))
        if len(block.findall(text)) != 1:
            raise LookupError(f"one example of {kind}")
        text = block.sub(lambda found, kind=kind: found[1] + written(example(kind)) + found[2], text)  # type: ignore[misc]
    return text
