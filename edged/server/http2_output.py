"""What an HTTP/2 connection writes: frames of all streams in turn, and whatever h2 has to say.

What may live here: the one task that writes, and choosing what. Strategy: streams with something to send wait
in a queue; each gets one frame, then the next, until a write's worth is gathered. Invariants: only this task
awaits the wire, so that no application can be cancelled in the middle of a frame; a stream without window
costs nothing while it waits.
"""

import logging
from collections.abc import Callable

import trio
from h2.exceptions import ProtocolError

from edged.server.http2_codec import Codec
from edged.server.http2_stream import Stream
from edged.server.limits import KIB
from edged.server.wire import Disconnected, Wire

LOG = logging.getLogger("edged.server")
WRITE_BYTES = 128 * KIB  # gathered for one write
UNSENT_BYTES = 64 * KIB  # beyond this the reader waits: the acknowledgements it makes must not pile up


class Output:
    """The writing side of a connection."""

    def __init__(self, codec: Codec, wire: Wire) -> None:
        self._h2 = codec
        self._wire = wire
        self._ready: dict[int, Stream] = {}  # with something to write, the longest waiting first
        self._work = trio.lowlevel.ParkingLot()
        self._written = trio.lowlevel.ParkingLot()
        self._closing = False
        self.done = trio.Event()  # nothing more is written

    def wake(self) -> None:
        """There is something new: octets in h2, or window for a stream."""
        if self._work:
            self._work.unpark_all()

    def schedule(self, stream: Stream) -> None:
        """`stream` has something to write."""
        self._ready[stream.stream_id] = stream
        self.wake()

    def forget(self, stream: Stream) -> None:
        """`stream` is over."""
        self._ready.pop(stream.stream_id, None)
        self.wake()

    def close(self) -> None:
        """Write what is left, then end."""
        self._closing = True
        self.wake()

    async def wait_room(self) -> None:
        """Until the client has taken most of what there is for it."""
        while self._h2.unsent_bytes > UNSENT_BYTES:
            await self._written.park()

    async def run(self, *, broken: Callable[[], None]) -> None:
        """Write until closed and nothing is left; `broken` is called when the client is gone."""
        try:
            while True:
                self._gather()
                octets = self._h2.data_to_send()
                if octets:
                    await self._wire.send((octets,))
                    self._written.unpark_all()
                elif self._closing:
                    return
                else:
                    await self._work.park()
        except Disconnected as error:
            LOG.debug("an HTTP/2 client went away: %s", error)
            broken()
        finally:
            self.done.set()

    def _gather(self) -> None:
        """Let the streams make frames, one each in turn."""
        room = WRITE_BYTES
        waiting = list(self._ready.values())
        while waiting and room > 0:
            served = []
            for stream in waiting:
                size = self._make_frame(stream)
                room -= size
                if size:  # to the end of the queue, for this write and the next
                    del self._ready[stream.stream_id]
                    if stream.has_output:
                        self._ready[stream.stream_id] = stream
                        served.append(stream)
                if room <= 0:
                    return
            waiting = served

    def _make_frame(self, stream: Stream) -> int:
        """One DATA frame of `stream`; its size on the wire, 0 when it has no window."""
        if not stream.has_output:
            return 0
        try:
            window = self._h2.local_flow_control_window(stream.stream_id)
            size = max(0, min(window, self._h2.max_outbound_frame_size, len(stream.piece)))
            if size == 0 and stream.piece:
                return 0
            last = stream.ending and size == len(stream.piece)
            self._h2.send_data(stream.stream_id, stream.piece[:size], end_stream=last)
        except ProtocolError:  # reset meanwhile
            stream.leave()
            return 0
        stream.taken(size, last=last)
        return size + 9
