"""Probing a destination: a good one, and one that fails at each step; real sockets."""

import datetime
import json
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
import trio
from pydicom import dcmread

from edged.config import parse
from edged.config.choices import ClockMode
from edged.services.probing import Outcome, StepName
from edged.telemetry.clock import SystemClock
from edged.telemetry.live import Phase
from edged.upstream.probe import Probes
from edged.upstream.probe_instance import SIDE, probe_instance
from tests.support.forwarding_kit import destination
from tests.support.probe_kit import WADL, answering, failed, outcomes, peer_url, probed
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.upstream_peer import Script, Wire, listen

SECRET = "s3cret-token-that-nobody-sees"


async def test_a_destination_that_is_well() -> None:
    async with scripted_archive() as (archive, _):
        archive.on_options = lambda _: Reply(200, WADL)
        found = await probed(archive.url, commitment='["dicomweb", "search"]')
    assert outcomes(found) == {
        "dns": "ok",
        "tcp": "ok",
        "auth": "ok",
        "http": "ok",
        "capabilities": "ok",
        "search": "ok",
        "commitment": "ok",
    }
    assert found.good
    assert (found.destination, found.url) == ("archive", archive.url)
    texts = {each.name: each.text for each in found.steps}
    assert "127.0.0.1" in texts[StepName.DNS]
    assert "HTTP/1.1" in texts[StepName.HTTP]
    assert "storage commitment" in texts[StepName.CAPABILITIES]
    assert archive.stows == []


async def test_a_test_instance_is_stored_and_found() -> None:
    async with scripted_archive() as (archive, _):
        found = await probed(archive.url, instance=True, commitment='["search"]')
        [stow] = archive.stows
    assert outcomes(found)["instance"] == "ok"
    [data_set] = stow.data_sets
    assert "may be deleted" in data_set.StudyDescription
    step = found.steps[-1]
    assert step.text == "stored, and found there"
    assert f"Study Instance UID {data_set.StudyInstanceUID}" in step.details


def test_the_test_instance_is_a_valid_file() -> None:
    uuids = (UUID(int=1), UUID(int=2), UUID(int=3))
    made = probe_instance(uuids, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
    read = dcmread(BytesIO(made.file))
    assert (read.StudyInstanceUID, read.SeriesInstanceUID, read.SOPInstanceUID) == ("2.25.1", "2.25.2", "2.25.3")
    assert read.file_meta.MediaStorageSOPInstanceUID == made.instance
    assert (read.StudyDate, read.StudyTime, read.Modality) == ("20260102", "030405", "OT")
    assert len(read.PixelData) == read.Rows * read.Columns == SIDE * SIDE
    assert [each.tag for each in read] == sorted(each.tag for each in read)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(200, json.dumps({"00081198": {"vr": "SQ", "Value": []}, "00081190": {"vr": "UR"}}).encode()), ""),
        (Reply(400, b"bad"), "400: the test instance is not stored"),
        (Reply(403), "403: it knows who asks"),
        (Reply(503), "503: it cannot serve now"),
    ],
)
async def test_a_test_instance_that_is_not_stored(reply: Reply, text: str) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: reply
        found = await probed(archive.url, instance=True, commitment='["search"]')
    if text:
        assert failed(found)[2].startswith(text)
    else:  # it says neither that it stored it nor that it did not, and does not show it
        assert (found.good, found.steps[-1].outcome) == (True, Outcome.NOTED)


async def test_a_name_that_has_no_address() -> None:
    name, phase, text, remedy = failed(await probed("http://nothing.invalid/dicom-web"))
    assert (name, phase) == (StepName.DNS, Phase.DNS)
    assert "nothing.invalid" in text
    assert "name server" in remedy


async def test_a_closed_port(free_port: Callable[[], int]) -> None:
    name, phase, text, _ = failed(await probed(f"http://127.0.0.1:{free_port()}"))
    assert (name, phase) == (StepName.TCP, Phase.TCP)
    assert "connection refused" in text


async def test_a_proxy_that_is_not_there_and_one_that_wants_a_password(free_port: Callable[[], int]) -> None:
    gone = f'[destination.proxy]\nurl = "http://127.0.0.1:{free_port()}"\n'
    assert failed(await probed("http://archive.example/", extra=gone))[0] is StepName.TCP

    async def wanting(wire: Wire) -> None:
        await wire.head()
        await wire.answer(407)

    async with listen(wanting) as proxy:
        there = f'[destination.proxy]\nurl = "http://127.0.0.1:{proxy.port}"\n'
        name, phase, _, remedy = failed(await probed("http://archive.example/", extra=there))
    assert (name, phase, remedy) == (StepName.PROXY, Phase.AUTH, "check `[destination.proxy]`")


async def test_a_token_that_is_not_there(tmp_path: Path) -> None:
    auth = f'[destination.auth]\nkind = "bearer"\ntoken_file = "{tmp_path}/token"\n'
    async with peer_url(answering()) as url:
        name, phase, text, _ = failed(await probed(url, extra=auth))
    assert (name, phase) == (StepName.AUTH, Phase.AUTH)
    assert f"{tmp_path}/token" in text


def saying(status: int, head: bytes = b"", body: bytes = b"") -> Script:
    """A peer that answers everything in one way."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(status, body, extra=head)

    return script


PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.mark.parametrize(
    ("script", "step", "phase", "text", "remedy"),
    [
        (saying(401), "capabilities", "auth", "401", "`[destination.auth]`"),
        (saying(403), "capabilities", "auth", "403", "rights"),
        (saying(407), "capabilities", "auth", "407", "`[destination.proxy]`"),
        (saying(302, b"Location: https://elsewhere.example/login?token=x\r\n"), "capabilities", "http", "302", "`url`"),
        (saying(503), "capabilities", "http", "503", "later"),
        (saying(200, b"Content-Type: text/html\r\n", PAGE), "capabilities", "http", "web page", "Base URI"),
        (saying(404), "search", "http", "404", "Base URI"),
        (answering(status=404), "search", "http", "404", "Base URI"),
        (answering(status=200, body=b"PK\3\4"), "search", "body", "no DICOM JSON", "Base URI"),
        (
            answering(status=200, body=b'[{"0020000D":{"vr":"UI","Value":["1.2"]}}]'),
            "search",
            "verdict",
            "ign",
            "take it out",
        ),
    ],
)
async def test_an_answer_that_is_none_of_a_dicomweb_service(
    script: Script, step: str, phase: str, text: str, remedy: str
) -> None:
    async with peer_url(script) as url:
        at, found_phase, found_text, found_remedy = failed(await probed(url))
    assert (at, found_phase) == (step, phase)
    assert text in found_text
    assert "token=" not in found_text
    assert remedy in found_remedy


async def test_what_is_no_http() -> None:
    async def script(wire: Wire) -> None:
        await wire.send(b"SSH-2.0-OpenSSH\r\n\r\n")
        await wire.closed()

    async with peer_url(script) as url:
        name, phase, _, _ = failed(await probed(url))
    assert (name, phase) == (StepName.HTTP, Phase.HTTP)


@pytest.mark.parametrize(
    ("kinds", "good", "outcome"),
    [('["dicomweb"]', False, "failed"), ('["dicomweb", "search"]', True, "noted"), ('["search"]', True, "ok")],
)
async def test_storage_commitment_that_is_not_offered(kinds: str, good: bool, outcome: str) -> None:
    plain = answering(described=b"<application><resource path='studies'/></application>")
    async with peer_url(plain) as url:
        found = await probed(url, commitment=kinds)
    assert (found.good, outcomes(found)["commitment"]) == (good, outcome)


async def test_no_secret_is_shown_of_what_a_peer_repeats(tmp_path: Path) -> None:
    async def echoing(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            await wire.answer(401, head, extra=b"Location: http://x/?" + SECRET.encode() + b"\r\n")

    password = tmp_path / "password"
    password.write_text(SECRET)
    auth = f'[destination.auth]\nkind = "basic"\nusername = "box"\npassword_file = "{password}"\n'
    async with peer_url(echoing) as url:
        found = await probed(url, extra=auth)
    assert failed(found)[1] is Phase.AUTH
    assert "it said: " in str(found)
    told = str(found)
    assert SECRET not in told
    assert b64encode(f"box:{SECRET}".encode()).decode() not in told


async def test_all_destinations_at_the_same_time_each_for_itself(free_port: Callable[[], int]) -> None:
    async with peer_url(answering()) as url:
        two = destination(url) + destination(f"http://127.0.0.1:{free_port()}", "dead")
        probes = Probes(parse(two, {}).destinations, SystemClock(ClockMode.TRUST))
        report = await probes.probe(probes.names, instance=False)
    assert [(each.destination, each.good) for each in report.probes] == [("archive", True), ("dead", False)]


async def test_who_is_found_good_is_told(free_port: Callable[[], int]) -> None:
    told: list[str] = []
    async with peer_url(answering()) as url:
        two = destination(url) + destination(f"http://127.0.0.1:{free_port()}", "dead")
        probes = Probes(parse(two, {}).destinations, SystemClock(ClockMode.TRUST), passed=told.append)
        await probes.probe(probes.names, instance=False)
    assert told == ["archive"]


async def test_a_peer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edged.upstream.probe.STEP_WITHIN_S", 0.1)

    async def silent(wire: Wire) -> None:
        await trio.sleep_forever()

    async with peer_url(silent) as url:
        name, _, text, _ = failed(await probed(url))
    assert name is StepName.HTTP
    assert "0.1 s" in text


@pytest.mark.parametrize(("status", "good"), [(200, True), (401, False), (500, False)])
async def test_a_token_is_got_before_anything_is_asked(status: int, good: bool, tmp_path: Path) -> None:
    async def issuing(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(status, json.dumps({"access_token": SECRET, "token_type": "Bearer"}).encode())

    asked: list[bytes] = []

    async def wanting(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            asked.append(head)
            described = head.startswith(b"OPTIONS")
            await wire.answer(200 if described else 404 if b"/commitment-requests/" in head else 204, WADL * described)

    secret = tmp_path / "secret"
    secret.write_text("open sesame")
    async with listen(issuing) as server, peer_url(wanting) as url:
        auth = (
            f'[destination.auth]\nkind = "oauth2"\ntoken_url = "http://localhost:{server.port}/token"\n'
            f'client_id = "box"\nclient_secret_file = "{secret}"\n'
        )
        found = await probed(url, extra=auth)
    assert found.good is good
    assert SECRET not in str(found)
    if good:
        [step] = [each for each in found.steps if each.name is StepName.AUTH]
        assert step.text == f"a token was given by localhost:{server.port}"
        assert all(b"Bearer " + SECRET.encode() in head for head in asked)
    else:
        name, phase, text, _ = failed(found)
        assert (name, phase) == (StepName.AUTH, Phase.AUTH)
        assert str(status) in text
        assert asked == []
