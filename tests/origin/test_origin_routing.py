"""A routing rule knows what a store request tells of its sender."""

import hashlib
from functools import partial
from pathlib import Path

import pytest

from edged.store.instances import find_instance
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import opened_box
from tests.support.stow_kit import MULTIPART, made, multipart, named

CONFIG = f"""
[access]
anonymous = ["store"]
[[access.token]]
name = "ct-room-2"
sha256 = "{hashlib.sha256(b"token").hexdigest()}"
roles = ["store"]
[[destination]]
name = "archive"
url = "http://127.0.0.1:9"
[[route]]
name = "room"
when = {{source = "ct-room-*"}}
[[route]]
name = "rest"
to = []
when = {{source = "stow"}}
"""


@pytest.mark.parametrize(("headers", "rule"), [({"Authorization": "Bearer token"}, "room"), ({}, "rest")])
async def test_the_name_of_the_credential_is_a_source(tmp_path: Path, headers: dict[str, str], rule: str) -> None:
    async with opened_box(tmp_path, CONFIG) as box:
        given = {"Content-Type": MULTIPART, "Accept": "*/*", **headers}
        answer = await call(box.application, Asked("POST", "/studies", given, multipart([made(named(1))])))
        assert answer.status == 200
        found = box.store.read_now(partial(find_instance, sop_instance_uid=named(1).instance))
        assert found is not None
        assert found[1].rule == rule
        assert len(found[1].destinations) == (rule == "room")
