"""Access tokens: one request for all who need one, early renewal, refusals, and an endpoint that fails in every way."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.config import Auth, AuthKind, CredentialError
from edged.telemetry.clock import ManualClock
from edged.telemetry.live import DestinationState
from edged.upstream.connection import ClientSettings
from edged.upstream.oauth2 import ClientCredentials
from edged.upstream.redaction import Redactor
from edged.upstream.tokens import ANSWER_WITHIN_S, LEAST_LIFE_S, Tokens, read_token
from tests.support.forwarding_kit import destination, forwarding
from tests.support.memory_wire import connector
from tests.support.scripted_archive import Reply, Stow, scripted_archive
from tests.support.stow_kit import named
from tests.support.token_endpoint import Endpoint, failed, granted

SECRET = "s3cret value&more"
PAIR = b64encode(b"edge:s3cret+value%26more").decode()


@asynccontextmanager
async def tokens(
    folder: Path, endpoint: Endpoint, clock: ManualClock | None = None, **more: Any
) -> AsyncIterator[Tokens]:
    secret = folder / "secret"
    secret.write_text(SECRET)
    url = "http://login.example/oauth2/token"
    auth = Auth(kind=AuthKind.OAUTH2, token_url=url, client_id="edge", client_secret_file=secret, **more)
    async with trio.open_nursery() as nursery:
        settings = ClientSettings(connector=connector(nursery, endpoint.serve))
        yield Tokens(ClientCredentials(auth), settings, (clock or ManualClock()).monotonic, redactor=Redactor())
        nursery.cancel_scope.cancel()


async def test_what_is_asked_for(tmp_path: Path) -> None:
    endpoint = Endpoint()
    async with tokens(tmp_path, endpoint, scope="a b", audience="https://x", resource="urn:y") as asked:
        assert await asked.current() == "t1"
    [(head, form)] = endpoint.asked
    assert head.startswith("POST /oauth2/token HTTP/1.1\r\n")
    assert f"authorization: Basic {PAIR}" in head
    assert form == {"grant_type": "client_credentials", "scope": "a b", "audience": "https://x", "resource": "urn:y"}


async def test_many_who_need_one_ask_once(tmp_path: Path) -> None:
    endpoint = Endpoint()
    async with tokens(tmp_path, endpoint) as asked, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(asked.current)
    assert len(endpoint.asked) == 1


async def test_many_whose_token_is_refused_renew_it_once(tmp_path: Path) -> None:
    endpoint, clock, renewed = Endpoint(), ManualClock(), []

    async def refused(asked: Tokens) -> None:
        renewed.append(await asked.refused("t1"))

    async with tokens(tmp_path, endpoint, clock) as asked:
        await asked.current()
        assert not await asked.refused("t1"), "as soon as it came: another one would be no better"
        clock.advance(60)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(refused, asked)
        assert renewed == [True] * 20
        assert await asked.current() == "t2"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("life", "good_s", "renewed_s"),
    [(3600, 3239, 3241), ("600", 539, 541), (None, 3239, 3241), (100, 49, 51), (0, 2, 3)],
)
async def test_a_token_is_renewed_before_it_ends(tmp_path: Path, life: object, good_s: float, renewed_s: float) -> None:
    told = {} if life is None else {"expires_in": life}
    endpoint, clock = Endpoint(lambda number: granted(f"t{number}", **told)), ManualClock()
    async with tokens(tmp_path, endpoint, clock) as asked:
        assert await asked.current() == "t1"
        clock.advance(good_s)
        assert await asked.current() == "t1"
        clock.advance(renewed_s - good_s)
        assert await asked.current() == "t2"


async def test_an_old_token_is_used_to_its_end_while_the_endpoint_fails(tmp_path: Path) -> None:
    endpoint, clock = Endpoint(), ManualClock()
    async with tokens(tmp_path, endpoint, clock) as asked:
        await asked.current()
        endpoint.answer = lambda _: failed(503, "temporarily_unavailable")
        clock.advance(3500)
        assert [await asked.current() for _ in range(10)] == ["t1"] * 10
        assert len(endpoint.asked) == 2, "it is left alone meanwhile"
        clock.advance(101)
        with pytest.raises(CredentialError, match="answered HTTP 503: temporarily_unavailable"):
            await asked.current()
        endpoint.answer = lambda number: granted(f"t{number}")
        clock.advance(300)
        assert (await asked.current()).startswith("t")


async def test_a_client_that_must_show_its_secret_in_the_body(tmp_path: Path) -> None:
    endpoint, clock = Endpoint(lambda number: failed(401) if number == 1 else granted(f"t{number}")), ManualClock()
    async with tokens(tmp_path, endpoint, clock) as asked:
        assert await asked.current() == "t2"
        clock.advance(3590)
        assert await asked.current() == "t3"
    for head, form in endpoint.asked[1:]:
        assert "authorization" not in head.lower()
        assert (form["client_id"], form["client_secret"]) == ("edge", SECRET)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (failed(description=f"{SECRET} or {PAIR} is wrong"), "HTTP 400: invalid_client: … or … is wrong"),
        (failed(403, "access_denied"), "HTTP 403: access_denied"),
        ((200, b"<html>Welcome</html>"), "no usable token: not the answer"),
        ((200, b"{}"), "no usable token: not the answer"),
        (granted("a\r\nx: y"), "no usable token: a token that cannot be sent"),
        (granted(""), "no usable token: a token that cannot be sent"),
        (granted("t", token_type="mac"), "no usable token: not a bearer token"),
        ((500, b"\xff"), "HTTP 500$"),
        ((302, b""), "HTTP 302$"),
    ],
)
async def test_an_endpoint_that_gives_none(tmp_path: Path, answer: tuple[int, bytes], said: str) -> None:
    endpoint = Endpoint(lambda _: answer)
    async with tokens(tmp_path, endpoint) as asked:
        for _ in range(5):
            with pytest.raises(CredentialError, match=said) as caught:
                await asked.current()
            assert SECRET not in str(caught.value)
    assert len(endpoint.asked) <= 2


async def test_an_endpoint_that_does_not_answer(tmp_path: Path, autojump_clock: object) -> None:
    async with tokens(tmp_path, Endpoint(delay_s=ANSWER_WITHIN_S + 1)) as asked:
        with pytest.raises(CredentialError, match="did not answer in time"):
            await asked.current()


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.sampled_from(["access_token", "token_type", "expires_in"]), inner),
        max_leaves=4,
    ).map(lambda value: json.dumps(value).encode())
)
def test_an_answer_is_a_token_or_an_error(body: bytes) -> None:
    try:
        token = read_token(body, 100.0)
    except ValueError:
        return
    assert token.came_s < token.renew_s < token.ends_s
    assert token.ends_s >= 100.0 + LEAST_LIFE_S
    assert token.text not in repr(token) or len(token.text) < 8


async def test_a_destination_whose_tokens_are_refused_and_that_heals_by_itself(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    endpoint = Endpoint(lambda _: failed(401))
    async with trio.open_nursery() as nursery, scripted_archive() as (archive, _):
        serve = partial(trio.serve_tcp, endpoint.serve, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/token"
        auth = f'{{kind = "oauth2", token_url = "{url}", client_id = "edge", client_secret_file = "{tmp_path}/secret"}}'

        def wants_third(stow: Stow) -> Reply:
            told = stow.asked.all("authorization")
            return (
                archive.store_all(stow)
                if told == [f"Bearer t{len(endpoint.asked)}"]
                else Reply(401, str(told).encode())
            )

        archive.on_store = wants_third
        async with forwarding(tmp_path, destination(archive.url, auth=auth)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.stands().state is DestinationState.AUTH_FAULT)
            assert "invalid_client" in (box.stands().last_error or pytest.fail("none")).text
            assert archive.stows == []
            endpoint.answer = lambda number: granted(f"t{number}", expires_in=3600)
            await box.until(lambda: box.at() == {"sent": 1}, step_s=30.0)
            assert box.stands().state is DestinationState.UP
            assert SECRET not in repr((box.events(), box.conditions.snapshot()))
        nursery.cancel_scope.cancel()
