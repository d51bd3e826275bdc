"""`edged send PATH... --to URL`: a STOW-RS user agent over files and folders (PS3.18 10.5).

Exit status: 0 all stored, 1 some not stored, 2 usage, 3 the archive was never reached.
"""

from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.console import Console

from edged.cli.interruption import run_interruptible
from edged.cli.send_report import BarReport, JSONReport, Report, Totals
from edged.cli.settings import fail
from edged.config import CredentialError, read_secret
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.file_walk import walk
from edged.upstream.send_files import FileSender
from edged.upstream.send_values import SendSettings, Stop
from edged.upstream.tls import TLSSettings, TLSSettingsError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class Options(TypedDict):
    """What was typed."""

    to: str
    parallel: int
    batch_files: int
    batch_mib: int
    retries: int
    http: str
    token_file: Path | None
    ca: Path | None
    as_json: bool


@click.command("send")
@click.argument("paths", metavar="PATH...", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option("--to", metavar="URL", required=True, help="Base URI of the archive's DICOMweb service.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests at a time.")
@click.option("--batch-files", type=click.IntRange(1, 1000), default=32, show_default=True, help="Files a request.")
@click.option("--batch-mib", type=click.IntRange(1, 4096), default=64, show_default=True, help="MiB a request.")
@click.option("--retries", type=click.IntRange(0, 100), default=4, show_default=True, help="After a passing fault.")
@click.option("--http", type=click.Choice([each.value for each in HttpChoice]), default="auto", show_default=True)
@click.option("--token-file", type=_FILE, help="File with a bearer token.")
@click.option("--ca", type=_FILE, help="PEM file with the roots to trust in place of the system's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line: each file, then the summary.")
def command(paths: tuple[Path, ...], **options: Unpack[Options]) -> None:
    """Store DICOM files and folders of them in an archive.

    In folders, files that are not DICOM are passed over. A file counts as stored only on the archive's word.
    """
    try:
        endpoint = Endpoint.parse(options["to"])
        settings = _send_settings(options)
        report = _report(_totals(paths), endpoint, as_json=options["as_json"])
        stop = _run(paths, endpoint, options, report=report, settings=settings)
    except (EndpointError, CredentialError, TLSSettingsError) as error:
        fail(2, str(error))
    if stop is not None and not stop.answered:
        raise SystemExit(3)
    raise SystemExit(0 if report.all_stored else 1)


def _run(
    paths: tuple[Path, ...], endpoint: Endpoint, options: Options, *, report: Report, settings: SendSettings
) -> Stop | None:
    tls = TLSSettings(options["ca"])
    client_settings = ClientSettings(HttpChoice(options["http"]), tls, max_connections=settings.parallel)
    stop: Stop | None = None

    async def work() -> None:
        nonlocal stop
        async with open_client(endpoint, client_settings) as client:
            stop = await FileSender(client, settings, report).send(walk(paths))

    with report.shown():
        interrupted = run_interruptible(work)
    report.finish(stop, interrupted=interrupted)
    return stop


def _send_settings(options: Options) -> SendSettings:
    token_file = options["token_file"]
    return SendSettings(
        parallel=options["parallel"],
        batch_files=options["batch_files"],
        batch_bytes=options["batch_mib"] << 20,
        retries=options["retries"],
        headers=(("authorization", f"Bearer {read_secret(token_file)}"),) if token_file is not None else (),
    )


def _totals(paths: tuple[Path, ...]) -> Totals:
    files = size = 0
    for found in walk(paths):
        files, size = files + 1, size + found.size
    return Totals(files, size)


def _report(totals: Totals, endpoint: Endpoint, *, as_json: bool) -> Report:
    if as_json:
        return JSONReport(totals, str(endpoint))
    console = Console(highlight=False)
    return BarReport(totals, str(endpoint), console) if console.is_terminal else Report(totals, str(endpoint))
