"""What is compared of an instance that may have left decompressed."""

import pytest
from msgspec import structs

from edged.config import Destination
from edged.config.choices import Transcode
from edged.store.records import Delivery, DeliveryState, Instance
from edged.upstream.comparing import Purpose
from edged.upstream.leaving import TRANSCODED, as_it_left, in_either_form
from tests.support.store_kit import instance_of

RLE, EXPLICIT_VR = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"
BITS = {"BitsAllocated": b"\x10\x00", "BitsStored": b"\x08\x00"}
PLAIN = instance_of(b"", "1.2.3", attributes=BITS)
COMPRESSED = structs.replace(PLAIN, transfer_syntax_uid=RLE)
ALLOWED = Destination(name="archive", url="http://archive", transcode=Transcode.EXPLICIT)
FORBIDDEN = Destination(name="archive", url="http://archive")


def delivery(evidence: str, answer: str = "") -> Delivery:
    return Delivery(state=DeliveryState.SENT, since=0.0, evidence=evidence, answer=answer)


@pytest.mark.parametrize(
    ("instance", "settings", "left", "syntax", "purpose"),
    [
        (COMPRESSED, ALLOWED, delivery("stored"), RLE, Purpose.PROOF),
        (COMPRESSED, ALLOWED, delivery("stored", TRANSCODED), EXPLICIT_VR, Purpose.PROOF),
        (COMPRESSED, FORBIDDEN, delivery("stored", TRANSCODED), EXPLICIT_VR, Purpose.PROOF),
        (COMPRESSED, ALLOWED, delivery("found"), RLE, Purpose.EITHER),
        (COMPRESSED, ALLOWED, delivery("found", TRANSCODED), RLE, Purpose.EITHER),
        (COMPRESSED, FORBIDDEN, delivery("found"), RLE, Purpose.PROOF),
        (PLAIN, ALLOWED, delivery("found"), PLAIN.transfer_syntax_uid, Purpose.PROOF),
        (COMPRESSED, ALLOWED, None, RLE, Purpose.PROOF),
    ],
)
def test_a_proof_expects_what_left(
    instance: Instance, settings: Destination, left: Delivery | None, syntax: str, purpose: Purpose
) -> None:
    sought, how = as_it_left(instance, left, settings)
    assert (sought.transfer_syntax_uid, how) == (syntax, purpose)
    as_it_is = purpose is Purpose.PROOF and syntax == instance.transfer_syntax_uid
    assert sought.attributes.keys() == (BITS.keys() if as_it_is else {"BitsStored"})


def test_bits_allocated_is_compared_of_what_leaves_as_it_is_only() -> None:
    assert in_either_form(COMPRESSED, ALLOWED).attributes.keys() == {"BitsStored"}
    assert in_either_form(COMPRESSED, FORBIDDEN) is COMPRESSED
    assert in_either_form(PLAIN, ALLOWED) is PLAIN
