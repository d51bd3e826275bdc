"""The one table of limits: every limit of the server has its row, and docs/limits.md says what the box says."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from edged.app.limits import limits_of, server_limits
from edged.config import parse
from edged.dicomweb.capabilities import wadl
from edged.dicomweb.limits import Limit, Unit
from edged.dicomweb.wadl import wadl_json
from edged.server.head_gate import MAX_LENGTH_DIGITS
from edged.server.limits import DEFAULT, Limits

DOCUMENT = Path(__file__).parents[2] / "docs" / "limits.md"
TABLE = limits_of(parse("", {}))


def test_the_documentation_has_the_same_table() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{each.name}` | {each.shown} | {each.beyond} |" for each in TABLE]


def test_the_capabilities_have_the_same_table() -> None:
    told = {each["@title"]: each["value"] for each in wadl_json(wadl("http://box/", limits=TABLE))["doc"]}
    limits = {title.removeprefix("Limit: "): text for title, text in told.items() if title.startswith("Limit: ")}
    assert limits == {each.name: f"{each.shown}. {each.beyond}" for each in TABLE}


def test_every_limit_of_the_server_has_a_row() -> None:
    names = [each.name for each in TABLE]
    assert len(set(names)) == len(names)
    assert {each.name for each in fields(Limits)} <= set(names)
    assert {each.value for each in TABLE if each.name == "length_digits"} == {MAX_LENGTH_DIGITS}


def test_rows_have_the_numbers_that_hold() -> None:
    settings = parse('[origin]\nmax_requests = 7\nmax_instance = "3MiB"\n', {})
    shown = {each.name: each.shown for each in limits_of(settings, replace(DEFAULT, idle_s=2.5, streams=3))}
    assert (shown["max_requests"], shown["max_instance"], shown["idle_s"], shown["streams"]) == (
        "7",
        "3 MiB",
        "2.5 s",
        "3",
    )


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (100_000, Unit.COUNT, "100,000"),
        (8 << 30, Unit.BYTES, "8 GiB"),
        (1536, Unit.BYTES, "1,536 bytes"),
        (1 << 20, Unit.BYTES, "1 MiB"),
        (3 << 10, Unit.BYTES, "3 KiB"),
        (256, Unit.BYTES_PER_SECOND, "256 bytes/s"),
        (0.5, Unit.SECONDS, "0.5 s"),
    ],
)
def test_a_limit_is_shown_with_its_unit(value: float, unit: Unit, shown: str) -> None:
    assert Limit("any", value, unit, "").shown == shown


def test_a_trusted_proxy_may_take_all_connections() -> None:
    proxied = parse('[origin]\ntrusted_proxies = ["192.0.2.5"]\n', {})
    assert server_limits(proxied).connections_per_address == DEFAULT.connections
    assert server_limits(proxied).websockets_per_address == DEFAULT.websockets
    assert server_limits(parse("", {})) == DEFAULT
