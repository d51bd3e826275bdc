"""`edged run` as scripts see it, and the commands that look at a box's files."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.cli_kit import CONFIG, RunningBox, invoke, lines_until, spawn, start_box


def test_it_says_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    box = start_box(tmp_path)
    assert box.lines == (f"listening on {box.url}", "ready")
    assert urlsplit(box.url).port
    busy = invoke("check-store", "--config", box.config)
    assert box.stop() == 0
    assert busy.exit_code == 1
    assert busy.stderr.startswith("edged: ")
    checked = invoke("check-store", "--config", box.config, "--json")
    assert checked.exit_code == 0
    assert json.loads(checked.stdout) == {"instances": 0, "problems": []}


def test_a_second_signal_does_not_wait_for_a_sender(tmp_path: Path) -> None:
    box = start_box(tmp_path)
    address = urlsplit(box.url)
    with socket.create_connection((address.hostname, address.port)) as sender:
        head = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n"
        sender.sendall(f'{head}Content-Type: multipart/related; type="application/dicom"; boundary=x\r\n\r\n'.encode())
        assert sender.recv(100).startswith(b"HTTP/1.1 100")
        box.process.send_signal(signal.SIGTERM)
        assert box.process.stderr is not None
        for line in box.process.stderr:
            if "a second one skips the wait" in line:
                break
        box.process.send_signal(signal.SIGTERM)
        assert box.ended() == 0


@contextmanager
def box_on_descriptor(folder: Path, host: str) -> Iterator[subprocess.Popen[str]]:
    """An `edged run` whose one listener is an inherited socket, and that lets everybody do everything."""
    with socket.create_server((host, 0)) as inherited:
        text = CONFIG.format(name="box", folder=folder, evidence="local")
        text = text.replace("http://127.0.0.1:0", f"fd://{inherited.fileno()}")
        config = folder / "edged.toml"
        config.write_text(text + '[access]\nanonymous = ["store", "read", "admin"]\n')
        assert invoke("check-config", config).exit_code == 0
        with spawn("run", "--config", config, pass_fds=[inherited.fileno()]) as process:
            try:
                yield process
            finally:
                process.kill()


def test_a_descriptor_that_others_can_reach_is_refused_like_any_listener(tmp_path: Path) -> None:
    with box_on_descriptor(tmp_path, "0.0.0.0") as process:
        said, complained = process.communicate(timeout=30)
        assert (process.returncode, said) == (2, "")
    tls, administrators = complained.splitlines()
    assert "can be reached from other machines without TLS" in tls
    assert "would make everybody who can reach http://0.0.0.0:" in administrators
    assert not (tmp_path / "data").exists()


def test_a_descriptor_on_loopback_is_served(tmp_path: Path) -> None:
    with box_on_descriptor(tmp_path, "127.0.0.1") as process:
        assert lines_until(process, "ready")[0].startswith("listening on fd://")


def test_check_config(tmp_path: Path, archive: RunningBox) -> None:
    good = invoke("check-config", archive.config)
    assert good.exit_code == 0
    assert "good" in good.stdout
    bad = tmp_path / "bad.toml"
    bad.write_text('[origin]\nbind = ["http://0.0.0.0:80"]\n[store]\ncapasity = "1GiB"\n')
    result = invoke("check-config", bad)
    assert result.exit_code == 2
    assert "capasity" in result.stderr
    assert invoke("check-config", tmp_path / "none.toml").exit_code == 2


def test_check_store_without_one(tmp_path: Path) -> None:
    config = tmp_path / "edged.toml"
    config.write_text(f'[box]\ndata_dir = "{tmp_path}/data"\n')
    result = invoke("check-store", "--config", config)
    assert result.exit_code == 3
    assert "there is no store" in result.stderr


def test_the_list_of_commands() -> None:
    shown = invoke("--help").stdout
    for name in ("run", "demo", "send", "status", "check-config", "check-store"):
        assert f"\n  {name} " in shown


def test_no_library_that_decodes_pixels_is_loaded() -> None:
    """They come with pydicom otherwise: 30 MiB, and half of the time that a start takes."""
    code = (
        "import contextlib, sys; from edged.cli import program; sys.argv = ['edged', 'run', '--help']\n"
        "with contextlib.suppress(SystemExit): program()\n"
        "loaded = {name.partition('.')[0] for name, module in sys.modules.items() if module is not None}\n"
        "assert {'pydicom', 'trio'} <= loaded and not {'numpy', 'gdcm', 'openjpeg', 'PIL'} & loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
