"""Where two parts each have a list of their own, the lists agree."""

from edged.config.choices import ReasonVerdict
from edged.upstream.verdict_values import OVERRIDES


def test_every_verdict_that_the_settings_allow_is_one_that_the_table_takes() -> None:
    assert {str(verdict) for verdict in ReasonVerdict} <= {str(kind) for kind in OVERRIDES}
