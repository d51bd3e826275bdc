"""The id of a request: always a new one, inherited by what the request starts, and on every line of its log."""

import io
import logging
import re
from collections.abc import Iterator

import pytest
import trio

from edged.telemetry.log import Level, configure
from edged.telemetry.request import current_request_id, new_request_id, serving_request
from tests.conftest import ExpectedLogs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure(Level.INFO, journal=False, stream=stream)
    yield stream
    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


def test_ids_are_new_and_short() -> None:
    made = [new_request_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[a-z2-7]{8}-[0-9a-f]{1,8}", each) for each in made)


def test_the_current_one_ends_with_its_block() -> None:
    assert current_request_id() == ""
    with serving_request("a"):
        with serving_request("b"):
            assert current_request_id() == "b"
        assert current_request_id() == "a"
    assert current_request_id() == ""


async def test_tasks_and_threads_inherit_it_and_no_other_sees_it() -> None:
    seen: list[str] = []

    async def note() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(current_request_id())

    async with trio.open_nursery() as outside:
        with serving_request("a"):
            async with trio.open_nursery() as inside:
                inside.start_soon(note)
            seen.append(await trio.to_thread.run_sync(current_request_id))
        outside.start_soon(note)
    assert seen == ["a", "a", ""]


def test_every_line_of_a_request_carries_it(stream: io.StringIO, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("foreign WARNING two")
    with serving_request("abc-d"):
        logging.getLogger("edged.x").info("one", extra={"uid": "1.2"})
        logging.getLogger("foreign").warning("two")
    logging.getLogger("edged.x").info("three")
    one, two, three = stream.getvalue().splitlines()
    assert one.endswith(" edged.x one uid=1.2 request=abc-d")
    assert two.endswith(" request=abc-d")
    assert "request=" not in three
