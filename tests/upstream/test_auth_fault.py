"""A credential that is gone while proofs are asked for: an authentication fault that heals, whoever notices it."""

from pathlib import Path

import pytest

from edged.telemetry.live import DestinationState, Phase
from tests.support.committing import Committing
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import named

HELD = {"auth-fault:archive"}


def stands_held(box: Forwarding) -> bool:
    """Whether the fault is told in the state and as a condition."""
    live = box.stands()
    return (live.state, live.phase, box.condition_names()) == (DestinationState.AUTH_FAULT, Phase.AUTH, HELD)


@pytest.mark.parametrize("kinds", ['["dicomweb"]', '["search"]', '["dicomweb", "search"]'])
@pytest.mark.parametrize("searchable", [True, False])
async def test_proving_without_a_credential_is_told_and_heals(tmp_path: Path, kinds: str, searchable: bool) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    keys = {"commitment": kinds, "header_files": f'{{X-Key = "{key}"}}'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:
        archive.on_commitment = lambda _: Reply(503)
        archive.on_look = lambda _: Reply(404 if searchable else 501)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"sent": 1})
        key.unlink()
        await box.until(lambda: stands_held(box), step_s=60)
        asked = len(archive.commitments), len(archive.looks)
        for _ in range(5):
            await box.pass_time(60)
        assert stands_held(box)
        assert asked == (len(archive.commitments), len(archive.looks))
        key.write_text("secret")
        archive.on_commitment = Committing(archive).at_once
        archive.on_look = archive.show
        await box.until(lambda: box.at() == {"committed": 1} and not box.condition_names(), step_s=60)
        assert box.stands().state is DestinationState.UP
        assert "secret" not in repr(box.events())


async def test_proving_again_without_a_credential_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    keys = {"header_files": f'{{X-Key = "{key}"}}'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:
        archive.on_commitment = Committing(archive).at_once
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        key.unlink()
        await box.pass_time(86_400)
        await box.archive.prove_again(box.numbers(named(1).instance), within_s=1.0)
        assert stands_held(box)
        key.write_text("secret")
        await box.until(lambda: not box.condition_names(), step_s=60)
