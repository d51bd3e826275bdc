"""What is announced is what is sent: the rows of `dicomweb.resources` have every status, and the test kit insists."""

from http import HTTPStatus
from pathlib import Path

import pytest

from edged.dicomweb.resources import ROUTES
from edged.origin.exchange import Reply, Request
from edged.origin.throttle import FAILURES
from tests.support.announced import statuses_of
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import Box, opened_box
from tests.support.stow_kit import made, named

ONE = named(1)
FILE = f"/admin/instances/{ONE.instance}/file"
ANYWHERE = ("192.0.2.9", 40000)


async def teapot(_: Request) -> Reply:
    return Reply(HTTPStatus.IM_A_TEAPOT)


async def test_a_status_that_is_not_announced_is_noticed(tmp_path: Path) -> None:
    async with opened_box(tmp_path, handlers={"health": teapot}) as box:
        with pytest.raises(AssertionError, match="418 is news"):
            await box.ask("GET", "/healthz")


@pytest.mark.parametrize(
    ("fields", "status", "head"),
    [
        ({}, 200, 200),
        ({"Range": "bytes=0-9"}, 206, 200),
        ({"Range": "bytes=999999999-"}, 416, 200),
        ({"If-None-Match": "*"}, 304, 304),
        ({"If-Match": '"other"'}, 412, 412),
    ],
)
async def test_stored_bytes_have_ranges_and_conditions(
    box: Box, fields: dict[str, str], status: int, head: int
) -> None:
    await box.stow(made(ONE))
    assert (await box.ask("GET", FILE, fields)).status == status
    assert (await box.ask("HEAD", FILE, fields)).status == head


@pytest.mark.parametrize("route", [route for route in ROUTES if route.roles], ids=lambda route: route.name)
async def test_whoever_guesses_is_429_wherever_a_role_is_needed(box: Box, route: object) -> None:
    [found] = [each for each in ROUTES if each is route]
    path = found.template.replace("{", "").replace("}", "")
    guess = Asked(found.method, path, {"Authorization": "Bearer guess"}, client=ANYWHERE)
    answers = [(await call(box.application, guess)).status for _ in range(FAILURES + 1)]
    assert answers == [401] * FAILURES + [429]


def test_nobody_is_kept_from_what_needs_no_role() -> None:
    kept_out = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
    for route in ROUTES:
        assert statuses_of(route) & kept_out == (kept_out if route.roles else set()), route.name
