"""What `edged watch` writes of a report: above all when it happened."""

import pytest

from edged.cli.figures import clock_text
from edged.cli.watch_text import lines_of, object_of
from edged.dicomweb.event_reading import read_event_report
from edged.dicomweb.event_report import EventHead, EventKind, subject_event
from edged.dicomweb.json_model import to_json
from edged.upstream.following_values import Followed

CAME, HAPPENED = 1_800_000_000.0, 1_700_000_000.5


@pytest.mark.parametrize(("said", "shown"), [(HAPPENED, HAPPENED), (None, CAME)])
def test_the_time_is_that_of_the_event_where_it_is_told(said: float | None, shown: float) -> None:
    head = EventHead(EventKind.DESTINATION_DOWN, 3, 3, 3, time=said)
    message = to_json(subject_event(head, "archive", text="refused"))
    followed = Followed(read_event_report(message), message)
    [line] = lines_of(followed, CAME)
    assert line.split() == [clock_text(shown), "destination-down", "archive:", "refused"]
    assert object_of(followed, CAME).time == shown
