"""A credential that cannot be had: the destination's fault as far as its work goes, whoever noticed it.

The file is not there, the token endpoint does not answer or refuses. Nothing is asked of the destination then; probes
go on, and it heals by itself.
"""

from edged.config import CredentialError
from edged.telemetry.live import Phase
from edged.upstream.destination import Destination
from edged.upstream.verdict_values import ConditionName, DestinationVerdict, Standing

_HINT = "The credential that it wants cannot be had: its last error says why."


def hold_without_credential(destination: Destination, error: CredentialError) -> None:
    """Hold a destination in an authentication fault until it answers again."""
    fault = DestinationVerdict(Standing.AUTH_FAULT, condition=ConditionName.AUTH_FAULT, hint=_HINT, text=str(error))
    destination.failed(fault, Phase.AUTH)
