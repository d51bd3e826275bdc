"""What an answer to a request of a probe tells: all is well, or what is wrong, in which phase, with the remedy.

Pure: a response in, a sentence or a `Fault` out. The requests are harmless ones, so that an answer speaks of the way,
the credential and the service, never of an instance.
"""

from dataclasses import dataclass
from http import HTTPStatus

from edged.dicomweb.data_set import DataSet, DataSetError
from edged.dicomweb.representation import read_data_sets
from edged.telemetry.live import Phase
from edged.upstream.message import NoAnswer, Response
from edged.upstream.redaction import Redactor, shown_url
from edged.upstream.verdict_values import one_line

NOT_OFFERED = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_SAID_BYTES = 400
_MOVED = range(300, 400)
_TROUBLE = range(500, 600)

_BASE = "`url` must be the Base URI of its DICOMweb service, to which /studies is appended"
_TIME = "this passes by itself as a rule: try again later, or ask whoever runs the destination"

_REMEDIES = {
    Phase.DNS: "check the host in `url` and the name server of this machine",
    Phase.TCP: "check host and port in `url`, the firewall and the routing, and that the service runs",
    Phase.TLS: "check `[destination.tls]` (`ca`, `certificate`), the host in `url`, and the clock of this machine",
    Phase.AUTH: "check `[destination.auth]`, the files that it names, and the clock of this machine",
    Phase.HTTP: "check that `url` leads to an HTTP server, and `http`",
    Phase.BODY: "something on the way cuts the transfer: look at proxies and firewalls",
    Phase.VERDICT: "its log says why",
}

_CAPABILITIES = (
    (b"storeinstances", "store"),
    (b"searchfor", "search"),
    (b"retrieve", "retrieve"),
    (b"commitment-requests", "storage commitment"),
    (b"subscribers", "notifications"),
)
"""What in a description of resources tells of a service. Source: PS3.18 8.9, Annex H."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found, when nothing is wrong; `noted`: but worth knowing."""

    text: str
    details: tuple[str, ...] = ()
    noted: bool = False


class Fault(Exception):
    """Why a step failed; `said` is what the peer said of it, redacted, if anything."""

    def __init__(
        self, phase: Phase, text: str, remedy: str = "", *, said: str = "", details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.phase = phase
        self.text = text
        self.remedy = remedy or _REMEDIES[phase]
        self.details = (*details, f"it said: {said}") if said else details


def fault_of(error: NoAnswer, remedy: str = "") -> Fault:
    """Say why there was no answer; `remedy` where there is a better one than the phase's."""
    if "through the proxy" in error.text:
        remedy = "check `[destination.proxy]`"
    return Fault(error.phase, error.text, remedy)


def require_allowed(response: Response, redactor: Redactor) -> None:
    """Raise Fault for an answer that no service is behind: a refused credential, a move, trouble, a web page."""
    status, said = response.status, said_of(response, redactor)
    if status == HTTPStatus.UNAUTHORIZED:
        raise Fault(Phase.AUTH, "401: it does not accept who the box says that it is", said=said)
    if status == HTTPStatus.FORBIDDEN:
        remedy = "have the rights of this credential extended, or look for a firewall that refuses"
        raise Fault(Phase.AUTH, "403: it knows who asks, and does not allow it", remedy, said=said)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise Fault(Phase.AUTH, "407: a proxy wants a credential", "check `[destination.proxy]`", said=said)
    if status in _MOVED:
        to = one_line(redactor.text(shown_url(dict(response.headers).get("location", "")))) or "nowhere"
        raise Fault(Phase.HTTP, f"{status}: it is not there, but at {to}", "set `url` to where the service is now")
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT} or (
        status in _TROUBLE and status not in NOT_OFFERED
    ):
        raise Fault(Phase.HTTP, f"{status}: it cannot serve now", _TIME, said=said)
    if _is_page(response) and status == HTTPStatus.OK:
        raise Fault(Phase.HTTP, "a web page answers, not a DICOMweb service", _BASE)


def capabilities_of(response: Response) -> Found:
    """Say what the answer to OPTIONS on the Base URI offers; many archives do not describe themselves."""
    if response.status != HTTPStatus.OK:
        return Found(f"it does not describe itself ({response.status})", noted=True)
    body = response.body.lower()
    offered = [name for sign, name in _CAPABILITIES if sign in body]
    if not offered:
        return Found("its description names no DICOMweb service", noted=True)
    return Found(f"it offers {', '.join(offered)}")


def search_of(response: Response, redactor: Redactor) -> Found:
    """Say what a search that finds nothing was answered. Raises Fault. Source: PS3.18 10.6.3."""
    status = response.status
    if status == HTTPStatus.NO_CONTENT:
        return Found("an empty search is answered (204)")
    if status != HTTPStatus.OK:
        raise Fault(Phase.HTTP, f"{status}: a search is not answered", _BASE, said=said_of(response, redactor))
    found = _data_sets(response)
    if found is None:
        raise Fault(Phase.BODY, "its answer to a search is no DICOM JSON or XML", _BASE)
    if found:
        remedy = "`search` proves nothing there: take it out of `commitment`, or ask whoever runs the destination"
        raise Fault(
            Phase.VERDICT, "it finds studies for a UID that nobody has: it ignores what is searched for", remedy
        )
    return Found("an empty search is answered (200)")


def said_of(response: Response, redactor: Redactor) -> str:
    """Return the beginning of what a peer said in words, without secrets; nothing of a web page."""
    if _is_page(response):
        return ""
    return one_line(redactor.text(response.body[:_SAID_BYTES].decode("utf-8", "replace")))


def _is_page(response: Response) -> bool:
    kind = dict(response.headers).get("content-type", "").lower()
    return kind.startswith("text/html") or response.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _data_sets(response: Response) -> list[DataSet] | None:
    if response.truncated:
        return None
    if not response.body.strip():
        return []
    try:
        return read_data_sets(response.body, dict(response.headers).get("content-type"))
    except DataSetError:
        return None
