"""Thousands of connections with mutated frames of HTTP/2 at a live server, which they do not hurt (`damaged`)."""

from functools import partial

from tests.support.damaged import require_unhurt
from tests.support.http2_samples import FRAMES
from tests.support.mutated import mutated_frames


async def test_mutated_frames_hurt_nobody() -> None:
    await require_unhurt(partial(mutated_frames, frames=FRAMES))
