"""Following an event stream in virtual time: what is acknowledged, how it is resumed, and what ends a connection."""

from http import HTTPStatus
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from edged.config import Auth
from edged.config.choices import AuthKind
from edged.dicomweb.close_reason import CloseCode
from edged.telemetry.live import Phase
from edged.upstream import following_socket
from edged.upstream.credentials import FromFiles
from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.following import PACE, follow
from edged.upstream.following_socket import HANDSHAKE_S, PING_S, PONG_S
from edged.upstream.following_values import Followed, Source, Wish, endpoint_of
from edged.upstream.message import NoAnswer
from edged.upstream.redaction import Redactor
from edged.upstream.transport import Transport
from tests.support.following_kit import (
    ENDPOINT,
    Seen,
    Talk,
    in_memory,
    octets,
    refusing,
    report,
    source_of,
    status_report,
)
from tests.support.memory_wire import Half
from tests.support.trio_clock import TrioClock

ACCEPTED = (
    b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.mark.parametrize(
    ("wish", "resource"),
    [
        (Wish(), "/dicom-web/"),
        (Wish(after=0), "/dicom-web/?after=0"),
        (Wish(name="NIGHT WATCH"), "/dicom-web/subscribers/NIGHT%20WATCH?acknowledge=yes"),
        (
            Wish(after=7, kinds=("sent", "parked"), each=True),
            "/dicom-web/?after=7&kinds=sent,parked&granularity=instance",
        ),
    ],
)
async def test_what_is_asked_for(wish: Wish, resource: str, autojump_clock: MockClock) -> None:
    talk, seen = Talk([], code=1000), Seen(troubles=1)
    async with in_memory(talk) as source:
        await seen.see(source, wish)
    [request] = talk.asked
    assert request.path == resource
    headers = dict(request.headers)
    assert headers[b"accept"] == headers[b"content-type"] == b"application/dicom+json"
    assert headers[b"origin"] == b"http://archive.example"


async def test_a_report_is_acknowledged_when_it_was_taken(autojump_clock: MockClock) -> None:
    talk = Talk([report(1), report(2)])
    taken: list[int] = []

    async def take(followed: Followed) -> None:
        assert talk.told == [b"success application/dicom+json\r\n"] * len(taken)
        await trio.sleep(5)
        if taken:
            raise KeyError("full")
        taken.append(followed.report.last or 0)

    async with in_memory(talk) as source:
        with pytest.raises(KeyError, match="full"):
            await follow(source, Wish(), take, watcher=Seen(), clock=TrioClock())
    assert taken == [1]
    assert len(talk.told) == 1


async def test_a_server_that_knows_no_acknowledgement_gets_none(autojump_clock: MockClock) -> None:
    talk, seen = Talk([report(1), report(2), report(3)], content_type=False), Seen(reports=2)
    async with in_memory(talk) as source:
        await seen.see(source)
    assert talk.told == []
    assert seen.numbers == [(1, 1), (2, 2)]


async def test_what_is_no_report_is_refused_and_the_next_one_taken(autojump_clock: MockClock) -> None:
    talk, seen = Talk(["hello", "[]", report(1), report(2)]), Seen(reports=1)
    async with in_memory(talk) as source:
        await seen.see(source)
    assert len(seen.refused) == 2
    assert status_report(talk.told[0])["detail"] == seen.refused[0]
    assert talk.told[2] == b"success application/dicom+json\r\n"


async def test_it_resumes_after_the_last_window_that_is_whole(autojump_clock: MockClock) -> None:
    window = [report(3, 6, resume=2), report(4, 7, resume=2), report(5, 8)]
    first = Talk([report(1, 2), *window[:2]], code=1001)
    second = Talk([*window, report(9), report(10)])
    seen = Seen(reports=5)
    async with in_memory(first, second) as source:
        await seen.see(source, Wish(after=0))
    assert second.resources == ["/dicom-web/?after=2"]
    assert seen.numbers == [(1, 2), (3, 6), (4, 7), (5, 8), (9, 9)]
    assert all(each.missing is None for each in seen.followed)
    assert seen.connections == [True, True]
    assert seen.lost_[0][0].code == CloseCode.GOING_AWAY
    assert "closed the connection (1001): that was all" in seen.lost_[0][0].text


async def test_a_name_is_resumed_by_the_server(autojump_clock: MockClock) -> None:
    first, second = Talk([report(8)], code=1000), Talk([report(9), report(10)])
    seen = Seen(reports=2)
    async with in_memory(first, second) as source:
        await seen.see(source, Wish(after=7, name="NIGHT"))
    assert first.resources == ["/dicom-web/subscribers/NIGHT?after=7&acknowledge=yes"]
    assert second.resources == ["/dicom-web/subscribers/NIGHT?acknowledge=yes"]


async def test_cut_before_the_first_report_nothing_is_missed(autojump_clock: MockClock) -> None:
    first, second = Talk([], code=1000, newest=7), Talk([report(9), report(10)])
    seen = Seen(reports=1)
    async with in_memory(first, second) as source:
        await seen.see(source)
    assert second.resources == ["/dicom-web/?after=7"]
    assert [each.missing for each in seen.followed] == [(8, 8)]


async def test_without_numbers_nothing_is_resumed(autojump_clock: MockClock) -> None:
    plain = '{"00001000": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.34.6.4"]}}'
    talk, seen = Talk([plain], content_type=False, code=1000), Seen(reports=2)
    async with in_memory(talk) as source:
        await seen.see(source)
    assert seen.connections == [False, False, False]
    assert seen.numbers == [(None, None), (None, None)]


async def test_numbers_that_do_not_follow_are_told(autojump_clock: MockClock) -> None:
    talk, seen = Talk([report(5), report(8, 9), report(10), report(11)]), Seen(reports=3)
    async with in_memory(talk) as source:
        await seen.see(source, Wish(after=2))
    assert [each.missing for each in seen.followed] == [(3, 4), (6, 7), None]


async def test_of_chosen_kinds_numbers_need_not_follow(autojump_clock: MockClock) -> None:
    talk, seen = Talk([report(5), report(8)]), Seen(reports=1)
    async with in_memory(talk) as source:
        await seen.see(source, Wish(after=2, kinds=("received",)))
    assert seen.followed[0].missing is None


async def test_a_log_made_anew_is_followed_from_its_beginning(autojump_clock: MockClock) -> None:
    seen, anew = Seen(reports=2), Talk([report(1), report(2)])
    async with in_memory(Talk([report(100)], code=1000), refusing(409), anew) as source:
        await seen.see(source, Wish(after=99))
    assert anew.resources == ["/dicom-web/?after=0"]
    assert seen.lost_[1][0].status == HTTPStatus.CONFLICT


@pytest.mark.parametrize(
    ("status", "phase", "not_offered"),
    [
        (200, Phase.VERDICT, True),
        (301, Phase.VERDICT, False),
        (400, Phase.VERDICT, False),
        (401, Phase.AUTH, False),
        (403, Phase.AUTH, False),
        (404, Phase.VERDICT, True),
        (406, Phase.VERDICT, False),
        (409, Phase.VERDICT, False),
        (426, Phase.VERDICT, True),
        (501, Phase.VERDICT, True),
    ],
)
@pytest.mark.parametrize("body", ["", "sorry", 70_000 * "x"], ids=["no-body", "body", "long-body"])
async def test_refusals_are_named(
    status: int, phase: Phase, not_offered: bool, body: str, autojump_clock: MockClock
) -> None:
    seen = Seen(troubles=1)
    async with in_memory(refusing(status, body=body)) as source:
        await seen.see(source)
    [(trouble, _)] = seen.lost_
    assert (trouble.status, trouble.phase, trouble.not_offered) == (status, phase, not_offered)
    assert trouble.text == f"archive.example:80 opened no notification connection ({status})"


async def test_a_wish_for_quiet_is_kept(autojump_clock: MockClock) -> None:
    seen = Seen(troubles=1)
    async with in_memory(refusing(503, "Retry-After: 120\r\n")) as source:
        await seen.see(source)
    [(trouble, again_in_s)] = seen.lost_
    assert trouble.not_before_s == 120
    assert 120 <= again_in_s <= 121


async def test_it_is_tried_for_ever_ever_more_rarely(autojump_clock: MockClock) -> None:
    seen = Seen(troubles=40)
    async with in_memory(refusing(404)) as source:
        await seen.see(source)
    waits = [again_in_s for _, again_in_s in seen.lost_]
    assert all(wait <= PACE.ceiling_s(failures) for failures, wait in enumerate(waits, 1))
    assert sum(waits[20:]) > 10 * sum(waits[:6])


async def test_a_connection_that_brought_something_is_a_good_one(autojump_clock: MockClock) -> None:
    seen = Seen(troubles=30)
    async with in_memory(Talk([report(1)], code=1000)) as source:
        await seen.see(source)
    assert max(again_in_s for _, again_in_s in seen.lost_) <= PACE.base_s


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed before the handshake was answered"),
        (b"HTTP/1.1 101 Go\r\n", "closed before the handshake was answered"),
        (b"SSH-2.0-OpenSSH_9\r\n", "archive.example:80"),
        (
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "protocol",
        ),
        (ACCEPTED, "protocol"),  # the answer to another key
        (b"HTTP/1.1 200 OK\r\nX: " + 70_000 * b"x", "archive.example:80"),
        (b"\x00" * 100, "archive.example:80"),
    ],
)
async def test_what_answers_is_no_such_server(answer: bytes, said: str, autojump_clock: MockClock) -> None:
    seen = Seen(troubles=2)
    async with in_memory(octets(answer)) as source:
        await seen.see(source)
    assert said in seen.lost_[1][0].text
    assert seen.lost_[1][0].phase is Phase.HTTP


async def test_a_handshake_without_an_answer(autojump_clock: MockClock) -> None:
    seen = Seen(troubles=1)
    async with in_memory(octets(b"", then_wait=True)) as source:
        await seen.see(source)
    assert trio.current_time() >= HANDSHAKE_S
    assert "did not answer the handshake" in seen.lost_[0][0].text


async def test_a_half_open_connection_is_found(autojump_clock: MockClock) -> None:
    """Its peer is gone without a word: what is sent to it is lost, and nothing comes."""
    began = trio.current_time()

    async def deaf(half: Half) -> None:
        async with trio.open_nursery() as nursery:
            talk = Talk([report(1)], content_type=False)
            nursery.start_soon(talk, half)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        while await half.receive_some():
            pass

    seen = Seen(troubles=1)
    async with in_memory(deaf) as source:
        await seen.see(source)
    assert "broke" in seen.lost_[0][0].text
    assert trio.current_time() - began <= 1 + PING_S + PONG_S


async def test_a_quiet_peer_that_is_there_is_kept(autojump_clock: MockClock) -> None:
    talk, seen = Talk([]), Seen()
    async with in_memory(talk) as source:
        with trio.move_on_after(24 * 3600):
            await seen.see(source)
    assert seen.connections == [False]
    assert seen.lost_ == []


async def test_a_follower_that_takes_its_time_is_not_cut_off(autojump_clock: MockClock) -> None:
    talk = Talk([report(1), report(2), report(3)], content_type=False)
    taken: list[int | None] = []

    async def take(followed: Followed) -> None:
        await trio.sleep(5 * (PING_S + PONG_S))
        taken.append(followed.report.last)

    async with in_memory(talk) as source:
        with trio.move_on_after(3600):
            await follow(source, Wish(), take, watcher=Seen(troubles=1), clock=TrioClock())
    assert taken == [1, 2, 3]


async def test_a_message_is_bounded(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    monkeypatch.setattr(following_socket, "MESSAGE_BYTES", 4096)
    seen = Seen(troubles=1)
    async with in_memory(Talk(["x" * 5000], content_type=False)) as source:
        await seen.see(source)
    assert seen.lost_[0][0].code == CloseCode.MESSAGE_TOO_BIG
    assert seen.refused == []


async def test_a_refused_token_is_read_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    credentials = FromFiles(Auth(kind=AuthKind.BEARER, token_file=token))
    talk, seen = Talk([report(1), report(2)]), Seen(reports=1)

    async def expired(half: Half) -> None:
        await refusing(401)(half)

    async with in_memory(expired, talk) as plain:

        async def dial() -> Transport:
            transport = await plain.dial()
            dialled.append(token.read_text())
            token.write_text("new\n")
            return transport

        dialled: list[str] = []
        await seen.see(Source(ENDPOINT, dial, credentials, Redactor()))
    assert seen.lost_ == []
    assert dict(talk.asked[0].headers)[b"authorization"] == b"Bearer new"


async def test_no_way_there_and_no_credential(autojump_clock: MockClock) -> None:
    async def no_way(*_: object) -> Transport:
        raise NoAnswer(Phase.DNS, "no address for archive.example:80", not_processed=True)

    seen = Seen(troubles=1)
    await seen.see(source_of(no_way))
    assert (seen.lost_[0][0].phase, seen.lost_[0][0].status) == (Phase.DNS, None)
    absent = FromFiles(Auth(kind=AuthKind.BEARER, token_file=Path("/nowhere/token")))
    seen = Seen(troubles=1)
    await seen.see(source_of(no_way, credentials=absent))
    assert seen.lost_[0][0].phase is Phase.AUTH


async def test_cancelled_it_leaves_nothing_open(autojump_clock: MockClock) -> None:
    closed = trio.Event()

    async def until_closed(half: Half) -> None:
        await Talk([report(1)], content_type=False)(half)
        closed.set()

    async with in_memory(until_closed) as source:
        with trio.move_on_after(10):
            await Seen().see(source)
        await closed.wait()


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ws://box/", Endpoint("http", "box", 80)),
        ("wss://box:8443/dicom-web/", Endpoint("https", "box", 8443, "/dicom-web")),
        ("https://box", Endpoint("https", "box", 443)),
    ],
)
def test_where_a_url_leads(url: str, endpoint: Endpoint) -> None:
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize("url", ["box", "ftp://box/", "ws://", "wss://a:b@box/"])
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(EndpointError):
        endpoint_of(url)
