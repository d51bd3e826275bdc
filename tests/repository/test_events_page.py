"""docs/events.md tells what the program does: its examples, its kinds, its numbers, its codes."""

import re
from pathlib import Path

import pytest

from edged.dicomweb.close_reason import CloseCode, ReasonCode
from edged.dicomweb.event_reading import read_event_report
from edged.dicomweb.event_report import EVENT_SOP_CLASS_UID, EVENT_TYPE_IDS, EventKind
from edged.dicomweb.parameters import MATCHED_OF_EVENTS
from edged.origin import notification_session as session
from edged.services.event_windows import MOST_DELAY_S, MOST_EVENTS, QUIET_S
from edged.services.subscribers import AWAY_S, PATIENCE_S
from edged.store.schema import MAX_EVENTS, MAX_SUBSCRIBERS
from tests.support.event_examples import SHOWN, page

TEXT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
FLOWING = " ".join(TEXT.split())


def test_the_examples_are_the_programs() -> None:
    assert page(TEXT) == TEXT, "run tools/event-examples"


def test_every_kind_has_its_number_and_its_example() -> None:
    told = dict(re.findall(r"(?m)^\| (\d+) \| `([a-z-]+)` \|", TEXT))
    assert told == {str(number): kind.value for kind, number in EVENT_TYPE_IDS.items()}
    examples = re.findall(r"(?s)```json\n(.*?)```", TEXT)
    assert {read_event_report(each.encode()).kind for each in examples} == SHOWN
    assert set(EventKind) - SHOWN == {EventKind.STUDY_SETTLED}


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_is_told(code: CloseCode) -> None:
    assert re.search(rf"(?m)^\| {code:d} \|", TEXT)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_of_the_standard_is_told(code: ReasonCode) -> None:
    assert re.search(rf"(?m)^\| `{code:04X}` \|", TEXT)


@pytest.mark.parametrize(
    "said",
    [
        EVENT_SOP_CLASS_UID,
        f"at most {session.IN_FLIGHT} reports",
        f"within {PATIENCE_S:.0f} s",
        f"for {session.STALLED_S / 60:.0f} minutes",
        f"{session.MOST_NOISE} messages",
        f"{MAX_SUBSCRIBERS:,} requesters",
        f"{AWAY_S / 86400:.0f} days",
        f"{MAX_EVENTS:,} events",
        f"{QUIET_S:.0f} s without",
        f"after {MOST_DELAY_S:.0f} s",
        f"{MOST_EVENTS} events",
        *(f"`{each.keyword}`" for each in MATCHED_OF_EVENTS),
    ],
)
def test_the_numbers_are_the_programs(said: str) -> None:
    assert said in FLOWING
