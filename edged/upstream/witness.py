"""What a destination says of an instance that the box no longer has: for its own answers to commitment requests.

An answer moves nothing; it is kept no longer than whoever asked keeps it.
"""

from edged.config import Proof
from edged.services.commitment_evidence import Unproven, Witness
from edged.store.records import Reference
from edged.upstream.destination import Destination
from edged.upstream.look import Looker


class Mute:
    """Asks nothing: what the box does not know is not proven."""

    async def ask(self, reference: Reference) -> Proof | Unproven:
        """As Witness."""
        del reference
        return Unproven.UNANSWERED


def witness_for(destination: Destination, looker: Looker) -> Witness:
    """Return who asks a destination for evidence."""
    del destination, looker  # none is asked yet
    return Mute()
