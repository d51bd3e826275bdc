"""`edged check-config` tries the keys that assertions are signed with, and shows nothing of them."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.cli_kit import invoke

PEM = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ACCOUNT = {"client_email": "edge@project.example", "private_key": PEM, "token_uri": "https://login.example/token"}


def config(folder: Path, key: str, name: str) -> Path:
    (folder / name).write_text(key)
    path = folder / "edged.toml"
    path.write_text(
        f"""
[[destination]]
name = "cloud"
url = "https://cloud.example/dicomweb"
auth = {{kind = "jwt", key_file = "{folder / name}"}}
"""
    )
    return path


def test_a_key_that_can_be_used_is_good(tmp_path: Path) -> None:
    result = invoke("check-config", config(tmp_path, json.dumps(ACCOUNT), "account.json"))
    assert (result.exit_code, "good" in result.stdout) == (0, True), result.stderr


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (json.dumps(ACCOUNT | {"private_key": "TOP-SECRET"}), "holds no private key"),
        (json.dumps(ACCOUNT | {"token_uri": "http://login.example"}), "token_uri must be https"),
        ("TOP-SECRET", "holds no private key"),
        (PEM, "token_url: must be given"),
    ],
)
def test_a_key_that_cannot_is_named(tmp_path: Path, key: str, said: str) -> None:
    result = invoke("check-config", config(tmp_path, key, "account.json"))
    assert result.exit_code == 2
    assert "destination[cloud].auth: " in result.stderr
    assert said in result.stderr
    assert "SECRET" not in result.stderr + result.stdout


def test_what_a_plain_key_does_not_say_must_be_given(tmp_path: Path) -> None:
    result = invoke("check-config", config(tmp_path, PEM, "key.pem"))
    assert result.exit_code == 2
    assert "auth.token_url: must be given" in result.stderr
    assert "auth.issuer: must be given" in result.stderr
