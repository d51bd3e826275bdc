"""The tables of docs/conformance.md that the program decides, written from its own rows.

`tools/conformance-tables` writes them, a test compares them. Each table stands below a heading of its own, after a
paragraph or none; everything else on the page is a person's.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

from edged.config.choices import Role
from edged.dicomweb.event_report import EVENT_TYPE_IDS
from edged.dicomweb.parameters import Parameter, Style
from edged.dicomweb.resources import RETRIEVE_CAPABILITIES, ROUTES, Route
from edged.dicomweb.transfer_syntaxes import RETRIEVED, STORED
from tests.support import user_agent_tables

_STYLES = {Style.QUERY: "query", Style.HEADER: "header"}
_TABLE = r"(?m)(^#+ {heading}\n\n(?:[^|#\n].*\n)*\n?)(?:\|.*\n)+"


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("| --- ", "|---").replace("--- |", "---|") for line in lines)


def _code(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values) or "-"


def _methods(route: Route) -> str:
    return f"{route.method}, HEAD" if route.method == "GET" and not route.websocket else route.method


def _roles(route: Route) -> str:
    return "any" if route.roles == frozenset(Role) else ", ".join(sorted(route.roles)) or "none needed"


def _statuses(statuses: Iterable[HTTPStatus]) -> str:
    return " ".join(str(int(status)) for status in sorted(statuses))


def resources() -> str:
    """What is served: every method of every resource, with who may use it and the media types of its payloads."""
    rows = (
        (
            _methods(route),
            f"`{route.template}`" + (" and every other" if route is RETRIEVE_CAPABILITIES else ""),
            route.description,
            _roles(route),
            _code(route.takes),
            _code(route.offers),
        )
        for route in ROUTES
    )
    return _rows(("Method", "Resource", "Transaction", "Role", "Takes", "Gives, the default first"), rows)


def statuses() -> str:
    """Every status of every method."""
    rows = (
        (route.method, f"`{route.template}`", _statuses((*route.success, *route.bare)), _statuses(route.failure))
        for route in ROUTES
    )
    return _rows(("Method", "Resource", "Success", "Failure"), rows)


def parameters() -> str:
    """Every query parameter and header field that a request may carry beside Accept and Content-Type."""
    users: dict[Parameter, list[Route]] = {}
    for route in ROUTES:
        for parameter in route.parameters:
            users.setdefault(parameter, []).append(route)
    rows = (
        (f"`{each.name}`", _STYLES[each.style], _code(each.options or [each.fixed] * bool(each.fixed)), _names(routes))
        for each, routes in sorted(users.items(), key=lambda item: (item[0].style != Style.QUERY, item[0].name))
    )
    return _rows(("Name", "Where", "Values, if not any", "Transactions"), rows)


def _names(routes: Iterable[Route]) -> str:
    return ", ".join(route.name for route in routes)


def transfer_syntaxes() -> str:
    """What is stored, and as what it leaves."""
    rows = (
        (name, f"`{uid}`", "as it is" if uid in RETRIEVED else "`1.2.840.10008.1.2.1`") for uid, name in STORED.items()
    )
    return _rows(("Transfer Syntax", "UID", "Leaves"), rows)


def events() -> str:
    """The Event Type IDs of the private SOP Class."""
    return _rows(
        ("Event Type ID", "Kind (0099,1003)"), ((str(number), f"`{kind}`") for kind, number in EVENT_TYPE_IDS.items())
    )


TABLES: dict[str, Callable[[], str]] = {
    "Resources, methods and media types": resources,
    "Query parameters and header fields": parameters,
    "Transfer syntaxes": transfer_syntaxes,
    "Private event types": events,
    "Status codes of each transaction": statuses,
    **user_agent_tables.TABLES,
}
"""Heading, without its number, and table."""


def page(text: str) -> str:
    """Return the page with every table as the program has it; raises ValueError where a heading has no table."""
    for heading, table in TABLES.items():
        pattern = _TABLE.format(heading=r"(?:[A-Z0-9.]+ )?" + re.escape(heading))
        text, found = re.subn(pattern, lambda place, table=table: place[1] + table(), text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} tables below the heading {heading!r}")
    return text
