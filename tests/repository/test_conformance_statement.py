"""docs/conformance.md tells what the program does: its tables, its statuses, its codes, its defaults."""

import re
from pathlib import Path

import pytest

from edged.config import parse
from edged.dicom.reasons import FailureReason
from edged.dicomweb.event_report import COMMITMENT_SOP_CLASS_UID, EVENT_SOP_CLASS_UID
from edged.dicomweb.resources import ROUTES
from edged.services.commitment import LATEST_S, SHARE_OF_AGE, SOONEST_S
from tests.support.conformance_tables import page
from tests.support.user_agent_tables import TABLES as USER_AGENT_TABLES
from tests.support.user_agent_tables import TEMPLATE

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


@pytest.mark.parametrize("heading", [each for each in USER_AGENT_TABLES if "Failure Reasons" not in each])
def test_every_status_of_the_template_has_its_behaviour_as_user_agent(heading: str) -> None:
    [rows] = re.findall(rf"(?m)^#+ N[.0-9]+ {re.escape(heading)}\n(?:(?!#).*\n)*?\|---.*\n((?:\|.*\n)+)", TEXT)
    named = [re.findall(r"\b\d(?:\d\d|xx)\b", head) for head in re.findall(r"(?m)^\| ([^|]+) \|", rows)]
    told = [status for statuses in named for status in statuses]
    assert [status for status in TEMPLATE if str(status) not in told and f"{status // 100}xx" not in told] == []
    assert len(set(told)) == len(told)


def test_reasons_are_written_right_and_all_told() -> None:
    told = re.findall(r"\b([0-9A-F]{4})H \((\d+)\)", TEXT)
    assert [(code, number) for code, number in told if int(code, 16) != int(number)] == []
    assert [reason.name for reason in FailureReason if f"{reason:04X}H" not in TEXT] == []


def test_own_reasons_are_told_to_be_own() -> None:
    own = {reason for reason in FailureReason if 0xC000 < reason < 0xC100}
    marked = re.findall(r"(?m)^\| ([0-9A-F]{4})H \(\d+\) \| implementation-specific: ", TEXT)
    assert {int(code, 16) for code in marked} == own


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("commitment.keep_results_s", 90 * DAY_S, "| 90 days | `[commitment] keep_results` |"),
        ("commitment.grace_s", 10 * MINUTE_S, "| 10 minutes | `[commitment] grace` |"),
        ("store.keep_committed_s", 7 * DAY_S, "| 7 days | `[store] keep_committed` |"),
        ("origin.max_requests", 100, "| 100 | `[origin] max_requests` |"),
        ("origin.max_requests", 100, "100 requests, those\nof monitors not counted, are worked on at once"),
        ("origin.max_instance_bytes", 8 << 30, "| 8 GiB | `[origin] max_instance` |"),
    ],
)
def test_defaults(field: str, value: float, shown: str) -> None:
    group, name = field.split(".")
    assert getattr(getattr(parse("", {}), group), name) == value
    assert shown in TEXT


def test_defaults_of_a_destination() -> None:
    [each] = parse('[[destination]]\nname = "archive"\nurl = "http://192.0.2.1/"\n', {}).destinations
    assert (each.visible_within_s, each.parallel) == (15 * MINUTE_S, 4)
    assert (each.max_instance_bytes, each.max_request_bytes) == (None, None)
    assert "| 15 minutes | `[[destination]] visible_within` |" in TEXT
    assert "| 4 | `[[destination]] parallel` |" in TEXT
    assert "| no limit | `[[destination]] max_instance`, `max_request` |" in TEXT


def test_constants() -> None:
    assert EVENT_SOP_CLASS_UID in TEXT
    assert COMMITMENT_SOP_CLASS_UID in TEXT
    assert SHARE_OF_AGE == 1 / 20
    said = f"Retry-After: a twentieth of the age of the request, from {SOONEST_S} s to {LATEST_S // MINUTE_S} min"
    assert said in " ".join(TEXT.split())
