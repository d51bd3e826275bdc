"""What a peer says is shown without the secrets that it was sent: whole, cut, encoded, in URLs; and from end to end."""

import string
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.redaction import REMEMBERED, Redactor, shown_url
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import named

TOKEN = "SECRET-TOKEN-0123456789"
PAIR = b64encode(b"edge:a pass:word").decode()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", ""),
        ("no room", "no room"),
        (f"not valid: {TOKEN}!", "not valid: …!"),
        (f"{TOKEN}{TOKEN}", "……"),
        (f"cut: {TOKEN[:9]}", "cut: …"),
        (f"cut: {TOKEN[:9]}...", "cut: …..."),
        (f"Basic {PAIR}", "Basic …"),
        ("password a pass:word", "password …"),
        ("password a%20pass%3Aword", "password …"),
        ("key k1, not k12", "key …, not k12"),
        ("Bearer 0123456789abcdef0", "Bearer …"),
        ("Basic authentication is off", "Basic authentication is off"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln is old", "… is old"),
        ("see https://u:p@host/studies?X-Signature=ab&c=d.", "see https://…@host/studies?…"),
        ('"/studies?token=ab" is not there', '"/studies?…" is not there'),
        ("what? this=that", "what? this=that"),
    ],
)
def test_what_is_shown(said: str, shown: str) -> None:
    redactor = Redactor()
    redactor.learn_fields([("authorization", f"Bearer {TOKEN}"), ("x-key", "k1")])
    redactor.learn_fields([("authorization", f"Basic {PAIR}")])
    assert redactor.text(said) == shown
    assert redactor.text(shown) == shown


def test_a_field_that_only_looks_like_a_credential_is_learned_whole() -> None:
    redactor = Redactor()
    redactor.learn_fields([("authorization", "Basic !not-base64!"), ("authorization", "Basic /////w==")])
    assert redactor.text("!not-base64! /////w==") == "… …"


def test_what_was_replaced_is_known_and_the_number_of_secrets_is_bounded() -> None:
    redactor = Redactor()
    for number in range(10 * REMEMBERED):
        redactor.learn([f"token-{number:06}"])
        redactor.learn(["the-lasting-one"])
    assert redactor.text(f"token-{10 * REMEMBERED - 2:06} the-lasting-one") == "… …"
    assert len(redactor._secrets) == REMEMBERED


@given(
    st.lists(st.text(string.printable, min_size=4, max_size=40), max_size=4),
    st.lists(st.text(string.printable, max_size=30), max_size=4),
)
def test_no_secret_is_ever_left(secrets: list[str], said: list[str]) -> None:
    redactor = Redactor()
    redactor.learn(secrets)
    shown = redactor.text("".join(part for pair in zip(said, secrets, strict=False) for part in pair))
    assert not [secret for secret in secrets if secret in shown]


@given(st.text(max_size=5000))
def test_anything_may_be_said(said: str) -> None:
    assert Redactor().text(said) == Redactor().text(Redactor().text(said))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@bucket.example/a?X-Signature=b#c", "https://bucket.example/a"),
        ("https://bucket.example", "https://bucket.example"),
        ("http://[x", "…"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def _shown(box: Forwarding, uid: str) -> str:
    """Everything that is told of a destination and an instance."""
    return repr((box.stands(), box.conditions.snapshot(), box.events(), box.delivery(uid)))


@pytest.mark.parametrize("status", [400, 401, 409, 500, 503])
async def test_a_destination_that_repeats_the_credential_shows_it_to_nobody(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edged")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    auth = f'{{kind = "bearer", token_file = "{tmp_path}/token"}}'
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda stow: Reply(status, f"refused: {stow.asked.all('authorization')}".encode())
        async with forwarding(tmp_path, destination(archive.url, auth=auth)) as box:
            [uid] = await box.take_made(named(1))
            await box.until(lambda: box.stands().last_error is not None)
            assert "SECRET" not in _shown(box, uid)
    assert "SECRET" not in caplog.text


async def test_a_commitment_answer_that_repeats_the_credential_shows_it_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    auth = f'{{kind = "bearer", token_file = "{tmp_path}/token"}}'
    async with scripted_archive() as (archive, _):
        archive.on_commitment = lambda asked: Reply(400, f"refused: {asked.all('authorization')}".encode())
        async with forwarding(tmp_path, destination(archive.url, auth=auth)) as box:
            [uid] = await box.take_made(named(1))
            await box.until(lambda: bool(box.condition_names()), step_s=5.0)
            assert "SECRET" not in _shown(box, uid)


async def test_where_it_moved_is_told_without_the_signature(tmp_path: Path) -> None:
    moved = (("location", "https://bucket.example/studies?X-Amz-Signature=SECRET"),)
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda stow: Reply(301, headers=moved)
        async with forwarding(tmp_path, destination(archive.url)) as box:
            [uid] = await box.take_made(named(1))
            await box.until(lambda: bool(box.condition_names()))
            shown = _shown(box, uid)
            assert "https://bucket.example" in shown
            assert "SECRET" not in shown
