"""All targets: every parser that octets from the network reach.

What may live here: the table. A new parser gets its row in the file of its folder.
"""

from types import MappingProxyType

from tests.fuzz import (
    body_targets,
    connection_targets,
    dicom_targets,
    dicomweb_targets,
    http1_targets,
    http2_targets,
    http_targets,
    upstream_targets,
)

TARGETS = MappingProxyType(
    {
        target.name: target
        for part in (
            http_targets,
            body_targets,
            http1_targets,
            http2_targets,
            connection_targets,
            dicomweb_targets,
            dicom_targets,
            upstream_targets,
        )
        for target in part.TARGETS
    }
)
"""By name, in the order of the folders."""
