"""The services of a destination, as a probe asks for them: harmless requests, and at most one instance that is a test.

Invariant: nothing is stored and nothing requested but by `instance`, which only a person asks for.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

from edged.config.choices import Proof
from edged.dicom.reasons import reason_text
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.store_report import Refused, read_store_report
from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.services.probing import StepName
from edged.telemetry.live import Phase, Service
from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.message import BytesBody, NoAnswer, Request, Response
from edged.upstream.probe_instance import LABEL, ProbeInstance, probe_instance
from edged.upstream.probe_judging import (
    NOT_OFFERED,
    Fault,
    Found,
    capabilities_of,
    fault_of,
    require_allowed,
    said_of,
    search_of,
)
from edged.upstream.service_probe import described

_JSON = (("accept", "application/dicom+json"),)
_WHOLE = (("accept", 'multipart/related; type="application/dicom"'),)
_DESCRIPTION = (("accept", "application/vnd.sun.wadl+xml, application/json;q=0.9"),)
_WANTS = "it may want a certificate of the box, `[destination.tls] certificate`; or check `http`"
_UNKNOWN_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Services:
    """Asks one destination."""

    def __init__(self, destination: Destination, asking: Asking) -> None:
        self._destination = destination
        self._settings = destination.settings
        self._clock = destination.box.clock
        self._asking = asking
        self._description: Response | None = None
        self.steps: dict[StepName, Callable[[], Awaitable[Found]]] = {
            StepName.HTTP: self.http,
            StepName.CAPABILITIES: self.capabilities,
            StepName.SEARCH: self.search,
            StepName.COMMITMENT: self.commitment,
            StepName.INSTANCE: self.instance,
        }

    async def http(self) -> Found:
        """Make the first request: OPTIONS on the Base URI (PS3.18 8.9); that it is answered is enough."""
        try:
            response = await self._ask(Request("OPTIONS", self._asking.target("/"), _DESCRIPTION))
        except NoAnswer as error:
            raise fault_of(error, _WANTS if self._shows_nothing else "") from None
        self._description = response
        reason = self._destination.box.live.destinations[self._destination.name].http_reason
        return Found(f"HTTP/{response.http_version} is spoken" + (f": {reason}" if reason else ""))

    async def capabilities(self) -> Found:
        """Read what it says of itself."""
        assert self._description is not None
        require_allowed(self._description, self._asking.redactor)
        return capabilities_of(self._description)

    async def search(self) -> Found:
        """Search for a study that nobody has."""
        target = self._asking.target(f"/studies?StudyInstanceUID={uid_from_uuid(uuid4())}&limit=1")
        response = await self._ask(Request("GET", target, _JSON))
        if response.status in NOT_OFFERED and Proof.SEARCH not in self._settings.commitment:
            return Found(f"it offers no search ({response.status}); `commitment` does not need it", noted=True)
        require_allowed(response, self._asking.redactor)
        return search_of(response, self._asking.redactor)

    async def commitment(self) -> Found:
        """Ask for the result of a storage commitment request that nobody has made (PS3.18 13.5)."""
        assert self._description is not None
        response = await self._ask(Request("GET", self._commitment_target(), _JSON))
        require_allowed(response, self._asking.redactor)
        said, status = described(self._description), response.status
        if Proof.DICOMWEB not in self._settings.commitment:
            return Found(f"not used: `commitment` is {' or '.join(self._settings.commitment)}")
        if status in _UNKNOWN_THERE and said is Service.OFFERED:
            return Found("storage commitment is offered")
        if status in _UNKNOWN_THERE and said is Service.UNKNOWN:
            return Found(f"whether storage commitment is offered shows only a request ({status})", noted=True)
        if status in _UNKNOWN_THERE | NOT_OFFERED:
            return self._not_offered()
        return Found(f"it answers {status} of a request that nobody made", noted=True)

    async def instance(self) -> Found:
        """Store a test instance and look for it."""
        test = probe_instance((uuid4(), uuid4(), uuid4()), datetime.fromtimestamp(self._clock.wall(), UTC))
        details = (f'"{LABEL}"', f"Study Instance UID {test.study}", "it stays there until somebody deletes it")
        response = await self._ask(self._storing(test))
        read = read_store_report(response.body, dict(response.headers).get("content-type"))
        outcome = read.outcomes.get(test.instance) if read is not None else None
        if isinstance(outcome, Refused):
            why = "without a reason" if outcome.reason is None else reason_text(outcome.reason)
            raise Fault(Phase.VERDICT, f"it refuses the test instance: {why}", said=self._said(response, read is None))
        if outcome is None:
            require_allowed(response, self._asking.redactor)
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                text = f"{response.status}: the test instance is not stored"
                raise Fault(Phase.VERDICT, text, said=self._said(response, read is None))
        if not await self._is_seen(test):
            return Found("stored, and not to be seen yet", details, noted=True)
        return Found("stored, and found there", details)

    async def _is_seen(self, test: ProbeInstance) -> bool:
        """Whether it shows the metadata of the test instance, or gives it back."""
        looks = ((f"{test.path}/metadata", _JSON), (test.path, _WHOLE))
        for path, headers in looks:
            response = await self._ask(Request("GET", self._asking.target(path), headers))
            if response.status == HTTPStatus.OK:
                return True
        return False

    @property
    def _shows_nothing(self) -> bool:
        """Whether TLS is spoken without a certificate of the box: one may be wanted, which shows only now."""
        return self._asking.endpoint.secure and self._settings.tls.certificate is None

    async def _ask(self, request: Request) -> Response:
        return await self._asking.request(request)

    def _commitment_target(self) -> str:
        return self._asking.target(f"/commitment-requests/{uid_from_uuid(uuid4())}")

    def _not_offered(self) -> Found:
        others = [each for each in self._settings.commitment if each is not Proof.DICOMWEB]
        if others:
            return Found(f"storage commitment is not offered: {' or '.join(others)} serves", noted=True)
        remedy = 'add "search" to `commitment` if a search is proof enough; until then nothing is let go'
        raise Fault(Phase.VERDICT, "it does not offer storage commitment, and no other proof is accepted", remedy)

    def _said(self, response: Response, in_words: bool) -> str:
        return said_of(response, self._asking.redactor) if in_words else ""

    def _storing(self, test: ProbeInstance) -> Request:
        """Return the store request. Source: PS3.18 10.5.1."""
        writer = MultipartWriter(uuid4().hex)
        body = b"".join((writer.head((("Content-Type", "application/dicom"),)), test.file, PART_TAIL, writer.closing))
        content_type = f'multipart/related; type="application/dicom"; boundary={writer.boundary}'
        headers = (("content-type", content_type), *_JSON)
        return Request("POST", self._asking.target("/studies"), headers, BytesBody(body))
