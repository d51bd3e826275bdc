"""What an HTTP/2 connection writes: frames of all streams in turn, and whatever the codec has to say.

What may live here: the one task that writes, and choosing what. Strategy: streams with something to send wait
in a queue; each gets one frame, then the next, until a write's worth is gathered. Invariants: only this task
awaits the wire, so that no application can be cancelled in the middle of a frame; a stream without window
costs nothing while it waits; what a client does not read is held once, and then its reader waits.
"""

import logging
from collections.abc import Callable

import trio

from edged.server.http2_codec import Codec
from edged.server.http2_events import Fields
from edged.server.http2_stream import Stream
from edged.server.limits import KIB
from edged.server.wire import Disconnected, Wire

LOG = logging.getLogger("edged.server")
WRITE_BYTES = 128 * KIB  # gathered for one write
UNSENT_BYTES = 64 * KIB  # beyond this the reader waits: the acknowledgements it makes must not pile up


class Output:
    """The writing side of a connection."""

    def __init__(self, codec: Codec, wire: Wire) -> None:
        self._codec = codec
        self.wire = wire
        self._ready: dict[int, Stream] = {}  # with something to write, the longest waiting first
        self._work = trio.lowlevel.ParkingLot()
        self._written = trio.lowlevel.ParkingLot()
        self._closing = False
        self.done = trio.Event()  # nothing more is written

    def wake(self) -> None:
        """There is something new: octets in the codec, or window for a stream."""
        if self._work:
            self._work.unpark_all()

    def begin_answer(self, stream: Stream, fields: Fields, *, ended: bool) -> None:
        """The head of an answer; raises Disconnected if its stream is over."""
        stream.check()
        self._codec.send_headers(stream.stream_id, fields, ended=ended)
        stream.begun, stream.ended = True, ended
        self.wake()

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
        while self._codec.out.size > UNSENT_BYTES and not self.done.is_set():
            await self._written.park()

    async def run(self, *, broken: Callable[[], None]) -> None:
        """Write until closed and nothing is left; `broken` is called when the client is gone."""
        try:
            while True:
                self._gather()
                octets = self._codec.out.take()
                if octets:
                    await self.wire.send((octets,))
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
            self._written.unpark_all()

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
        wanted = len(stream.piece)
        size = min(wanted, self._codec.sendable(stream.stream_id))
        if size == 0 and wanted:
            stream.starved = True
            return 0
        last = stream.ending and size == wanted
        self._codec.send_data(stream.stream_id, bytes(stream.piece[:size]), ended=last)
        stream.taken(size, last=last, end_bytes=self.wire.handed_bytes + self._codec.out.size)
        return size + 9
