"""An instance in another transfer syntax than it is stored in, for an archive that refuses that one (DICOM.md §4).

The length of what leaves is known before the first byte. What cannot be transcoded is parked with the reason.
"""

from dataclasses import dataclass
from typing import Protocol

from edged.services.retrieve import WebForm
from edged.store.records import Instance
from edged.upstream.destination import Destination
from edged.upstream.stow import Form


@dataclass(frozen=True, slots=True)
class CannotTranscode:
    """Why an instance leaves in no other form; for people."""

    text: str


class Transcoding(Protocol):
    """Makes other forms of the instances of one destination."""

    def possible(self, instance: Instance) -> bool:
        """Whether it is worth trying: the settings allow it, and it is compressed."""

    async def form(self, form: WebForm) -> Form | CannotTranscode:
        """Return what leaves in place of a form; whoever takes it has it no longer than its batch."""


class NoTranscoding:
    """Every instance leaves as it is, or converted to explicit VR."""

    def possible(self, instance: Instance) -> bool:
        """As Transcoding."""
        del instance
        return False

    async def form(self, form: WebForm) -> Form | CannotTranscode:
        """As Transcoding."""
        return form


def transcoding_for(destination: Destination) -> Transcoding:
    """Return what transcodes for a destination."""
    del destination  # none is transcoded for yet
    return NoTranscoding()
