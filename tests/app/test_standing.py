"""What is wrong from the start is told from the start: rules that lead to no required destination."""

import shutil
import signal
from pathlib import Path

from tests.support.cli_kit import invoke, lines_until, spawn

CONFIG = """
[box]
data_dir = "{folder}/data"
control = "{folder}/control.sock"
[origin]
bind = ["http://127.0.0.1:0"]
[store]
capacity = "256MiB"
[[destination]]
name = "archive"
url = "http://127.0.0.1:9"
[[route]]
name = "phantoms"
to = []
when = {{modality = "OT"}}
"""


def test_a_rule_that_leads_to_no_required_destination_is_a_condition(tmp_path: Path) -> None:
    path = tmp_path / "edged.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    with spawn("run", "--config", path) as process:
        try:
            lines_until(process, "ready")
            told = invoke("status", "--config", path).stdout
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    shutil.rmtree(tmp_path / "data")
    assert "WARNING no-required-destination" in told
    assert "phantoms" in told
