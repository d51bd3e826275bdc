"""The registry of live snapshots: the latest of each subject, read-only for who reads."""

import pytest

from edged.telemetry.live import (
    DestinationLive,
    DestinationState,
    LastError,
    ListenersLive,
    Live,
    Phase,
)


def test_the_latest_snapshot_is_read() -> None:
    live = Live()
    assert live.destinations == {}
    assert live.listeners == ListenersLive()
    error = LastError(phase=Phase.TCP, text="connection refused", time=1.0)
    live.publish_destination("archive", DestinationLive(state=DestinationState.UP))
    live.publish_destination(
        "archive",
        DestinationLive(state=DestinationState.RETRYING, phase=Phase.TCP, last_error=error),
    )
    live.publish_listeners(ListenersLive(urls=("http://127.0.0.1:8080",)))
    assert live.destinations["archive"].last_error == error
    assert live.listeners.urls == ("http://127.0.0.1:8080",)


def test_readers_cannot_write() -> None:
    live = Live()
    with pytest.raises(TypeError):
        live.destinations["archive"] = DestinationLive(state=DestinationState.UP)  # type: ignore[index]
