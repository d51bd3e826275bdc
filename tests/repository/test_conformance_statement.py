"""docs/conformance.md tells what the program does: its tables, its statuses, its codes, its defaults."""

import re
from pathlib import Path

import pytest

from edged.config import parse
from edged.dicom.reasons import FailureReason
from edged.dicomweb.event_report import COMMITMENT_SOP_CLASS_UID, EVENT_SOP_CLASS_UID
from edged.dicomweb.resources import ROUTES
from edged.origin.commitment import LOOK_AGAIN_S
from edged.upstream.verdicts import rows
from tests.support.conformance_tables import page

TEXT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
DAY_S, MINUTE_S = 86_400, 60


def section(heading: str) -> str:
    """The text below a heading, to the next one."""
    found = re.search(rf"(?m)^#+ {re.escape(heading)}.*\n((?:(?!#).*\n)*)", TEXT)
    assert found is not None, heading
    return found[1]


def test_the_tables_are_the_programs() -> None:
    assert page(TEXT) == TEXT, "run tools/conformance-tables"


def test_every_status_that_is_sent_has_its_condition_and_no_other_one() -> None:
    table = dict(re.findall(r"(?m)^\| (\d{3}) \| (.+) \|$", section("N.7.3.3.1 Common transactions, origin server")))
    never = {int(status) for status, condition in table.items() if condition.startswith("Never sent")}
    sent = {int(status) for route in ROUTES for status in (*route.success, *route.bare, *route.failure)}
    assert sent <= {int(status) for status in table} - never
    assert never == {201, 203, 205, 301, 303, 411}


def test_every_status_of_the_verdict_table_has_its_behaviour() -> None:
    heads = " ".join(re.findall(r"(?m)^\| ([^|]+) \|", section("N.7.3.3.1.2 Common transactions, user agent")))
    decided = {status for row in rows() for status in re.findall(r"\b[1-5]\d\d\b", row.condition)}
    assert {each for each in decided if each not in heads and f"{each[0]}xx" not in heads} == set()


def test_reasons_are_written_right_and_all_told() -> None:
    told = re.findall(r"\b([0-9A-F]{4})H \((\d+)\)", TEXT)
    assert [(code, number) for code, number in told if int(code, 16) != int(number)] == []
    assert [reason.name for reason in FailureReason if f"{reason:04X}H" not in TEXT] == []


def test_own_reasons_are_told_to_be_own() -> None:
    own = {reason for reason in FailureReason if 0xC000 < reason < 0xC100}
    marked = re.findall(r"(?m)^\| ([0-9A-F]{4})H \(\d+\) \| implementation-specific: ", TEXT)
    assert {int(code, 16) for code in marked} == own


@pytest.mark.parametrize(
    ("field", "value_s", "shown"),
    [
        ("commitment.keep_results_s", 90 * DAY_S, "| 90 days | `[commitment] keep_results` |"),
        ("commitment.grace_s", 10 * MINUTE_S, "| 10 minutes | `[commitment] grace` |"),
        ("store.keep_committed_s", 7 * DAY_S, "| 7 days | `[store] keep_committed` |"),
    ],
)
def test_defaults(field: str, value_s: float, shown: str) -> None:
    group, name = field.split(".")
    assert getattr(getattr(parse("", {}), group), name) == value_s
    assert shown in TEXT


def test_constants() -> None:
    assert EVENT_SOP_CLASS_UID in TEXT
    assert COMMITMENT_SOP_CLASS_UID in TEXT
    assert f"Retry-After: {LOOK_AGAIN_S}" in TEXT
