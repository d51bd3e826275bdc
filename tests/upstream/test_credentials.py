"""What shows a destination who the box is: files, read for each request, and secret header fields beside it."""

from base64 import b64encode
from pathlib import Path

import pytest

from edged.config import Auth, AuthKind, CredentialError
from edged.upstream.credentials import FromFiles
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import named


def _file(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


async def test_each_kind_has_its_field(tmp_path: Path) -> None:
    secret = _file(tmp_path, "secret", "a:b c \n")
    basic = Auth(kind=AuthKind.BASIC, username="u", password_file=secret)
    assert await FromFiles(basic).fields() == (("authorization", "Basic " + b64encode(b"u:a:b c ").decode()),)
    assert await FromFiles(Auth(kind=AuthKind.BEARER, token_file=secret)).fields() == (
        ("authorization", "Bearer a:b c"),
    )
    for without in (AuthKind.NONE, AuthKind.MTLS):
        assert await FromFiles(Auth(kind=without)).fields() == ()


async def test_secret_fields_stand_beside_the_credential_and_are_read_anew(tmp_path: Path) -> None:
    token, key = _file(tmp_path, "token", "t"), _file(tmp_path, "key", "k1\n")
    credentials = FromFiles(Auth(kind=AuthKind.BEARER, token_file=token), [("x-key", key)])
    before = await credentials.fields()
    assert before == (("authorization", "Bearer t"), ("x-key", "k1"))
    assert not await credentials.refused(before, 401)
    key.write_text("k2")
    assert await credentials.refused(before, 401)
    assert await credentials.fields() == (("authorization", "Bearer t"), ("x-key", "k2"))


@pytest.mark.parametrize("content", ["", "\n", "  ", "two\nlines", "é"])
async def test_a_file_that_holds_no_secret_is_named_and_not_shown(tmp_path: Path, content: str) -> None:
    path = _file(tmp_path, "key", content)
    with pytest.raises(CredentialError, match="key: not") as caught:
        await FromFiles(Auth(), [("x-key", path)]).fields()
    assert not content.strip() or content not in str(caught.value)


async def test_every_request_to_a_destination_carries_them_and_none_shows_them(tmp_path: Path) -> None:
    key = _file(tmp_path, "key", "first-key\n")
    async with scripted_archive() as (archive, _):

        def refused(stow: object) -> Reply:
            return Reply(401, b"first-key is over")

        archive.on_store = refused
        async with forwarding(tmp_path, destination(archive.url, header_files=f'{{X-Key = "{key}"}}')) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.condition_names() == {"auth-fault:archive"})
            assert {value for stow in archive.stows for value in stow.asked.all("x-key")} == {"first-key"}
            assert "first-key" not in repr((box.stands(), box.conditions.snapshot(), box.events()))
            archive.on_store = archive.store_all
            key.write_text("second-key")
            await box.until(lambda: box.at() == {"sent": 1}, step_s=10.0)
            assert archive.stows[-1].asked.all("x-key") == ["second-key"]
            await box.until(lambda: bool(archive.commitments), step_s=5.0)
            assert archive.commitments[-1].all("x-key") == ["second-key"]
