"""`edged watch [URL]`: what happens in a box, or in an archive that has notifications, as it happens (PS3.18 8.10).

Without a URL it is the box on this machine, asked over its control socket. A connection that breaks is opened again,
and goes on after the last event that was shown. What is not an event goes to standard error.
Exit status: 0 when it is ended by Ctrl-C or SIGTERM, 1 another connection has taken its name, 2 it cannot be asked like
this, 3 there are no notifications to be had there.
"""

from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypedDict, Unpack

import click
import msgspec
import trio

from edged.cli.control import UNREACHABLE, Control, find_control, unreachable
from edged.cli.figures import span_text
from edged.cli.interruption import run_interruptible
from edged.cli.settings import fail
from edged.cli.watch_text import lines_of, object_of
from edged.config import Auth
from edged.config.choices import AuthKind, ClockMode
from edged.dicomweb.close_reason import CloseCode
from edged.dicomweb.event_report import EventKind
from edged.telemetry.clock import Clock, SystemClock
from edged.telemetry.live import Phase
from edged.upstream.credentials import FromFiles
from edged.upstream.dial import Timeouts, dial
from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.following import follow
from edged.upstream.following_values import Followed, Source, Trouble, Wish, endpoint_of
from edged.upstream.message import NoAnswer
from edged.upstream.opening import HTTP_1_1, Opener
from edged.upstream.redaction import Redactor
from edged.upstream.tls import TLSSettings, TLSSettingsError
from edged.upstream.transport import Transport

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_KINDS = sorted(set(EventKind) - {EventKind.GAP})
_WRONGLY_ASKED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.CONFLICT})


class Options(TypedDict):
    """What was typed."""

    after: int | None
    name: str
    kinds: str
    each: bool
    as_json: bool
    token_file: Path | None
    ca: Path | None
    socket: Path | None
    config: Path | None


@click.command("watch")
@click.argument("url", default="")
@click.option("--after", type=click.IntRange(0), help="Begin after this event; 0: with all that are kept.")
@click.option("--name", default="", help="Follow under this name: it is known there how far you have come.")
@click.option("--kinds", default="", metavar="KIND,...", help=f"Only these: {', '.join(_KINDS)}.")
@click.option("--each", is_flag=True, help="Each event by itself, not those of a study together.")
@click.option("--token-file", type=_FILE, help="File with a bearer token, for URL.")
@click.option("--ca", type=_FILE, help="PEM file with the roots to trust in place of the system's, for URL.")
@click.option("--socket", type=click.Path(path_type=Path), help="The daemon's control socket.")
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the daemon was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(url: str, **options: Unpack[Options]) -> None:
    """Show what happens, from now on, in the box on this machine or in the one at URL."""
    wish = _wish(options)
    try:
        source = _from_url(url, options) if url else _from_control(find_control(options["socket"], options["config"]))
    except (EndpointError, TLSSettingsError) as error:
        fail(2, str(error))
    clock = SystemClock(ClockMode.AUTO)
    shown = _Shown(clock, as_json=options["as_json"])
    try:
        run_interruptible(partial(follow, source, wish, shown.take, watcher=shown, clock=clock))
    except _EndedError as ended:
        fail(ended.status, *str(ended).splitlines(), *(() if url else _advice(ended.trouble)))


class _EndedError(Exception):
    """There is no way to go on; ends the program with a status."""

    def __init__(self, status: int, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.status = status
        self.trouble = trouble


class _Shown:
    """Writes reports on standard output and what becomes of the connection on standard error."""

    def __init__(self, clock: Clock, *, as_json: bool) -> None:
        self._clock = clock
        self._as_json = as_json
        self._connected = False
        self._lost = False

    async def take(self, followed: Followed) -> None:
        """Write a report."""
        wall = self._clock.wall()
        if self._as_json:
            click.echo(msgspec.json.encode(object_of(followed, wall)))
        else:
            click.echo("\n".join(lines_of(followed, wall)))
        await trio.lowlevel.checkpoint()

    def connected(self, *, resumed: bool) -> None:
        """Say that it goes on."""
        if self._lost:
            said = "connected again" if resumed else "connected again; what happened meanwhile is not shown"
            click.echo(f"edged: {said}", err=True)
        self._connected, self._lost = True, False

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        """Say why it does not, and end if it never did."""
        if not self._connected:
            raise _EndedError(2 if trouble.status in _WRONGLY_ASKED else UNREACHABLE, trouble)
        if trouble.code == CloseCode.REPLACED:
            raise _EndedError(1, trouble)
        anew = "; its log is a new one, from the beginning" if trouble.status == HTTPStatus.CONFLICT else ""
        click.echo(f"edged: {trouble.text}{anew}; trying again in {span_text(again_in_s)}", err=True)
        self._lost = True

    def unreadable(self, text: str) -> None:
        """Say that there was something that cannot be shown."""
        click.echo(f"edged: a message that is no event report was refused: {text}", err=True)


def _advice(trouble: Trouble) -> tuple[str, ...]:
    """Say what to do where the control socket was connected to."""
    if trouble.status == HTTPStatus.NOT_FOUND:
        return ("give --config FILE as the daemon was started with, so that its base_path is known",)
    return ()


def _wish(options: Options) -> Wish:
    kinds = tuple(each.strip() for each in options["kinds"].split(",") if each.strip())
    if unknown := [each for each in kinds if each not in _KINDS]:
        fail(2, f"there is no kind {', '.join(unknown)}; there are {', '.join(_KINDS)}")
    return Wish(after=options["after"], name=options["name"], kinds=kinds, each=options["each"])


def _from_url(url: str, options: Options) -> Source:
    endpoint, token = endpoint_of(url), options["token_file"]
    opener = Opener(endpoint, TLSSettings(options["ca"]), Timeouts(), connector=dial)
    auth = Auth() if token is None else Auth(kind=AuthKind.BEARER, token_file=token)
    return Source(endpoint, partial(opener.open, HTTP_1_1), FromFiles(auth), Redactor())


def _from_control(control: Control) -> Source:
    async def connect() -> Transport:
        try:
            return Transport(await trio.open_unix_socket(control.path))
        except (OSError, ValueError) as error:
            raise NoAnswer(Phase.TCP, "\n".join(unreachable(control, error)), not_processed=True) from None

    endpoint = Endpoint("http", "localhost", 80, control.base_path)
    return Source(endpoint, connect, FromFiles(Auth()), Redactor())
