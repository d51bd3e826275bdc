"""Where two parts each have a list of their own, the lists agree."""

from edged.config.choices import ReasonVerdict
from edged.telemetry.live import Phase
from edged.upstream import message
from edged.upstream.verdict_values import OVERRIDES


def test_every_verdict_that_the_settings_allow_is_one_that_the_table_takes() -> None:
    assert {str(verdict) for verdict in ReasonVerdict} <= {str(kind) for kind in OVERRIDES}


def test_the_phases_are_the_same() -> None:
    assert {str(phase) for phase in Phase} == {str(phase) for phase in message.Phase}
