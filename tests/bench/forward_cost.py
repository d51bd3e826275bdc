"""The section on what forwarding costs: from the store to a sink, in either HTTP, plain and over TLS, beside curl.

The box has everything before the sink listens, so that its CPU seconds are those of forwarding alone; they end when
all is sent. curl sends as many bytes from a file in one request: it reads nothing but a file and keeps no book, so it
is the least that anybody could need. (Debian's curl 7.88 does not survive a second HTTP/2 request on a connection.)
"""

import os
import time
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory

from tests.bench.forward import LOOK_EVERY_S, TO_SINK, WITHIN_S, sink
from tests.bench.generator import Load, ready
from tests.bench.intake import CONNECTIONS
from tests.bench.measure import cpu_s, peak_anonymous
from tests.bench.plan import GB, MB, Plan
from tests.bench.sender import BOUNDARY, Job, Maker
from tests.bench.sides import LEAST_CAPACITY_MIB, MIB, BenchError, Edged, Server, Side, edged, free_port, fresh_folder
from tests.bench.table import Figure, Row
from tests.bench.template import PLACEHOLDERS, Kind, Template, make_template
from tests.bench.wire import Protocol
from tests.support.certificates import Certificates, make_certificates

_VERSIONS = {
    Protocol.HTTP1: ("1.1", "--http1.1"),
    Protocol.HTTP1_TLS: ("1.1", "--http1.1"),
    Protocol.HTTP2: ("2", "--http2-prior-knowledge"),
    Protocol.HTTP2_TLS: ("2", "--http2"),
}
"""What each protocol is called in the settings and by curl."""
_ENCRYPTED = {Protocol.HTTP1_TLS, Protocol.HTTP2_TLS}


def cost(plan: Plan) -> list[Row]:
    """CT slices over each protocol, by the box and by curl."""
    if Side.EDGED not in plan.sides:
        return []
    rows: list[Row] = []
    template = make_template(Kind.CT)
    with TemporaryDirectory(prefix="edged-bench-", dir=plan.work) as folder:
        certificates = make_certificates(Path(folder))
        file = Path(folder, "request")
        _write_request(file, template, plan.scale.ct)
        for protocol in Protocol:
            way = _Way(protocol, certificates)
            ours = [way.forwarded(plan, template) for _ in range(plan.repetitions)]
            curls = [way.sent_by_curl(plan, file) for _ in range(plan.repetitions)]
            rows += [
                Row(f"{protocol}, edged", "MB/s", {Side.EDGED: ours}),
                Row(f"{protocol}, curl", "MB/s", {Side.EDGED: curls}),
            ]
    return rows


def _write_request(file: Path, template: Template, count: int) -> None:
    """Write the body of one Store request."""
    job = Job(
        port=0,
        path="",
        protocol=Protocol.HTTP1,
        chunked=False,
        connections=1,
        requests=1,
        per_request=count,
        head=template.head.hex(),
        placeholders=(PLACEHOLDERS.instance, PLACEHOLDERS.series, PLACEHOLDERS.study),
        block_bytes=template.block_bytes,
        blocks=template.blocks,
        run=1_000_000_000,
        first=0,
    )
    (body,) = Maker(job).bodies(0)
    with file.open("wb") as out:
        out.writelines(body.pieces)


class _Way:
    """One protocol, and a port on which the sink will listen."""

    def __init__(self, protocol: Protocol, certificates: Certificates) -> None:
        self._protocol = protocol
        self._authority = certificates.authority
        self._port = free_port()
        pair, secure = certificates.server, protocol in _ENCRYPTED
        tls = ("--tls", str(pair.certificate), str(pair.private_key)) if secure else ()
        self._sink = ("--port", str(self._port), *tls)
        self._url = f"http{'s' * secure}://localhost:{self._port}/dicom-web"

    def forwarded(self, plan: Plan, template: Template) -> Figure:
        """Let a box send what it has."""
        load = Load(template, plan.scale.ct, CONNECTIONS, 1)
        capacity = LEAST_CAPACITY_MIB + load.size * 5 // 4 // MIB
        more = f'http = "{_VERSIONS[self._protocol][0]}"\n'
        if self._protocol in _ENCRYPTED:
            more += f'tls = {{ca = "{self._authority}"}}\n'
        settings = Edged(capacity, more=TO_SINK.format(url=self._url, more=more))
        with fresh_folder(plan.work) as folder, edged(folder, settings) as server:
            with ready(server, load) as generator:
                generator.send()
            used = cpu_s(server.pid)
            with sink(*self._sink), peak_anonymous(server.pid) as peak:
                seconds = _seconds_of_sending(server, load.instances)
                used = cpu_s(server.pid) - used
        return self._figure(plan, "edged", load.size, seconds=seconds, used=used, peak_mib=peak.mib)

    def sent_by_curl(self, plan: Plan, file: Path) -> Figure:
        """Let curl send as much."""
        form = f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'
        command = ["curl", "--silent", "--show-error", "--fail", _VERSIONS[self._protocol][1], "--request", "POST"]
        command += ["--cacert", str(self._authority), "--header", form, "--header", "Expect:"]
        command += ["--upload-file", str(file), "--output", "/dev/null", f"{self._url}/studies"]
        with sink(*self._sink):
            began = time.monotonic()
            process = Popen(command, stdin=DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"curl ended with {process.returncode}")
        used = usage.ru_utime + usage.ru_stime
        return self._figure(plan, "curl", file.stat().st_size, seconds=seconds, used=used)

    def _figure(
        self, plan: Plan, who: str, size: int, *, seconds: float, used: float, peak_mib: float | None = None
    ) -> Figure:
        figure = Figure(size / MB / seconds, used / (size / GB), peak_mib)
        plan.tell(f"{self._protocol}, {who}: {figure.value:.1f} MB/s, {figure.cpu_s_per_gb:.2f} CPU s/GB")
        return figure


def _seconds_of_sending(server: Server, count: int) -> float:
    """Wait until all is sent; return the seconds since the first was."""
    began, deadline = 0.0, time.monotonic() + WITHIN_S
    while True:
        destination = server.state()["destinations"][0]
        sent, now = destination["sent"] + destination["committed"], time.monotonic()
        began = began or (now - LOOK_EVERY_S if sent else 0.0)
        if sent == count:
            return now - began
        if now > deadline:
            raise BenchError(f"not all {count} instances were sent: {destination}")
        time.sleep(LOOK_EVERY_S)
