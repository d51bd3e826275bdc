"""Every row of the tables 8.3 to 8.10 of PS3.18 with its proof, in the order of the Standard.

A row is asked for here, names the test that proves it, or says why it asks nothing of this origin server. The box
has one instance, `ONE`, in Explicit VR Little Endian; whoever is not on loopback needs a credential. What chapter 8
says outside of its tables stands under the section's number. Rows that differ in nothing but a name share an entry.
The tables of notifications are those of 2024c with the rows that CP-1871 adds.
"""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from edged.dicomweb.transfer_syntaxes import RETRIEVED
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.standard_rows import NO_FIELDS, Ask, Elsewhere, Fields, NotOurs, Rows
from tests.support.stow_kit import MULTIPART, Named, made, multipart, named

ONE, TWO, THREE = named(1), named(2), named(3)
DATA = made(ONE)
DICOM = "application/dicom"
RELATED = f'multipart/related; type="{DICOM}"'
WADL = "application/vnd.sun.wadl+xml"
JSON = "application/json"
DICOM_JSON = "application/dicom+json"
ANYWHERE = ("192.0.2.9", 40000)
STORE_ONLY = "the token of a modality"
BASE = r"http://localhost:8080"
LE, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4."
PLACE = BASE + ONE.path
CONFIG = f"""
[[access.token]]
name = "modality"
roles = ["store"]
sha256 = "{sha256(STORE_ONLY.encode()).hexdigest()}"
{ARCHIVE}"""

SEARCH = NotOurs("Search [10.6] is not offered yet.")
RENDERED = NotOurs("Rendered resources and thumbnails are not offered yet.")
BULK_DATA = NotOurs("Bulk data and pixel data resources are not offered yet; the defaults: test_media_types.py.")
ATTRIBUTES = NotOurs("No transaction that is offered takes attributes as parameters.")
WORDS = NotOurs("It defines words, not behaviour.")
NEVER_SENT = NotOurs("It is never the answer.")
QUERY = Elsewhere("http/test_http_query.py::test_names_and_lists")
HANDSHAKE = Elsewhere("server/test_server_websocket.py::test_a_wrong_handshake_is_refused")
REPORTS = Elsewhere("origin/test_origin_notifications.py::test_events_in_order_from_now_on")
FORMS = Elsewhere("origin/test_origin_notifications.py::test_the_form_of_the_reports")
REFUSED_CONNECTION = Elsewhere("origin/test_origin_notifications.py::test_a_refused_handshake_is_an_answer")
REFUSED_HEAD = Elsewhere("server/test_server_refusals.py::test_a_refusal_is_a_status_report")


def get(status: int, accept: str | None = DICOM, query: str = "", *, has: Fields = NO_FIELDS, **fields: str) -> Ask:
    """Retrieve ONE; underscores in names of fields are hyphens."""
    sent = {name.replace("_", "-"): value for name, value in fields.items()}
    sent |= {} if accept is None else {"Accept": accept}
    return Ask(path=ONE.path + query, fields=sent, status=status, has=has)


def options(status: int, accept: str | None = WADL, *, has: Fields = NO_FIELDS, holds: tuple[bytes, ...] = ()) -> Ask:
    """Retrieve the capabilities."""
    fields = {} if accept is None else {"Accept": accept}
    return Ask(method="OPTIONS", path="/", fields=fields, status=status, has=has, holds=holds)


def store(status: int, *parts: bytes, has: Fields = NO_FIELDS, accept: str = DICOM_JSON) -> Ask:
    """Store instances."""
    fields = {"Content-Type": MULTIPART, "Accept": accept}
    return Ask(method="POST", path="/studies", fields=fields, body=multipart(parts), status=status, has=has)


def fresh(name: Named) -> bytes:
    return made(name, fill=b"a")


CHAPTER_8: dict[str, Rows] = {
    "8.3": {
        "an unsupported parameter": (
            get(200, query="?colour=red", has={"warning": rf"299 {BASE}: .*\bcolour"}),
            get(200, has={"warning": ""}),
        ),
        "an invalid value": (get(400, query="?accept=%zz"), get(400, query="?accept=dicom")),
        "an empty query component": (get(200, query="?"),),
    },
    "8.3.1-1": {
        "query-parameters, parameter, qp-name, qp-value, qp-char, qp-special": (QUERY,),
        "simple-attribute, sequence-attribute, keyword, uppercase, tag": (ATTRIBUTES,),
    },
    "8.3.2-1": {"M, C, O": (WORDS,)},
    "8.3.2-2": {"an example": (WORDS,)},
    "8.3.3.1": {
        "the accept parameter": (
            get(200, "*/*", f"?accept={DICOM}", has={"content-type": rf"{DICOM}; .*"}),
            get(200, "text/html, */*;q=0.8", f"?accept={DICOM}", has={"content-type": rf"{DICOM}; .*"}),
        ),
        "a wildcard in it": (get(400, "*/*", "?accept=*/*"), get(400, "*/*", "?accept=application/*")),
        "what the header does not cover": (get(400, RELATED, f"?accept={DICOM}"),),
        "none of it is supported": (get(200, "*/*", "?accept=application/pdf"), get(406, JSON, f"?accept={JSON}")),
        "DICOM and rendered types": (get(400, "*/*", f"?accept={DICOM},image/jpeg"),),
    },
    "8.3.3.2": {
        "the charset parameter": (
            get(200, query="?charset=utf-8", has={"warning": ""}),
            get(200, query="?charset=koi8-r,*", has={"warning": ""}),
        ),
    },
    "8.3.4-1": {
        "search, match, fuzzymatching, includefield, limit, offset, emptyvaluematching, multiplevaluematching": (
            SEARCH,
        )
    },
    "8.3.5-1": {"accept, annotation, charset, quality, viewport, window, iccprofile": (RENDERED,)},
    "8.3.5-2": {"accept, charset, viewport": (RENDERED,)},
    "8.4.1-1": {
        "Accept": (
            get(200, RELATED, has={"content-type": r"multipart/related; .*"}),
            get(200, f"{RELATED};q=0.5, {DICOM}", has={"content-type": rf"{DICOM}; .*", "vary": "Accept"}),
            get(406, None),
        ),
        "Accept-Charset": (get(200, Accept_Charset="iso-8859-1"), get(200, Accept_Charset="utf-8;q=0")),
        "Accept-Encoding": (
            Ask(
                method="OPTIONS",
                path="/",
                fields={"Accept": WADL, "Accept-Encoding": "gzip"},
                status=200,
                has={"content-encoding": "gzip", "vary": ".*accept-encoding.*"},
            ),
            options(200, has={"content-encoding": ""}),
            get(200, Accept_Encoding="gzip", has={"content-encoding": ""}),
        ),
        "Accept-Language": (get(200, Accept_Language="de", has={"vary": "Accept"}),),
    },
    "8.4.2-1": {
        "Content-Type": (
            get(200, has={"content-type": f"{DICOM}; transfer-syntax={LE}"}),
            store(200, fresh(TWO), has={"content-type": r"application/dicom\+json"}),
        ),
        "Content-Encoding": (Elsewhere("end_to_end/test_clients_curl.py::test_every_version_means_the_same"),),
        "Content-Language": (NotOurs("It is optional; the texts are in English."),),
        "Content-Location": (
            get(200, has={"content-location": PLACE}),
            store(200, fresh(THREE), has={"content-location": rf"{BASE}/studies/{THREE.study}"}),
            Elsewhere("origin/test_origin_commitment.py::test_a_result_says_what_it_represents"),
        ),
    },
    "8.4.3-1": {
        "Content-Length": (
            get(200, has={"content-length": str(len(DATA))}),
            Ask(method="HEAD", path=ONE.path, fields={"Accept": DICOM}, status=200, has={"content-length": r"\d+"}),
        ),
        "Content-Range": (
            get(206, Range="bytes=1-2", has={"content-range": rf"bytes 1-2/{len(DATA)}"}),
            get(206, Range="bytes=1-2,9-9", has={"content-range": "", "content-type": "multipart/byteranges; .*"}),
            get(416, Range="bytes=999999-", has={"content-range": rf"bytes \*/{len(DATA)}"}),
        ),
        "Transfer-Encoding": (Elsewhere("origin/test_origin_wire.py::test_with_a_length_and_in_chunks"),),
    },
    "8.5-1": {
        "200": (get(200), store(200, fresh(TWO))),
        "201": (NotOurs("A store answers 200 (Table 10.5.3-1)."),),
        "202": (store(202, fresh(THREE), made(ONE, fill=b"b")),),
        "203, 205, 301, 303": (NEVER_SENT,),
        "204": (Ask(method="OPTIONS", path="/healthz", status=204),),
        "206": (get(206, Range="bytes=0-0"), get(200, Range="lines=0-0")),
        "304": (
            Elsewhere("origin/test_origin_retrieve_ranges.py::test_not_modified"),
            get(200, If_None_Match='"other"'),
        ),
        "400": (get(400, f"{DICOM}, image/jpeg"), get(400, query="?accept=%ff")),
        "401": (
            Ask(path=ONE.path, client=ANYWHERE, status=401, has={"www-authenticate": "Bearer .*"}),
            get(401, Authorization="Bearer unknown", has={"www-authenticate": "Bearer .*"}),
        ),
        "403": (get(403, Authorization=f"Bearer {STORE_ONLY}"),),
        "404": (
            Ask(path=named(9).path, fields={"Accept": DICOM}, status=404),
            Ask(path=ONE.path + "/frames/1", fields={"Accept": "*/*"}, status=404),
        ),
        "405": (Ask(method="DELETE", path="/studies", status=405, has={"allow": "OPTIONS, POST"}),),
        "406": (
            get(406, "application/pdf"),
            Ask(method="OPTIONS", path="/", fields={"Accept": JSON + ";q=0"}, status=406, holds=(WADL.encode(),)),
        ),
        "409": (store(409, made(ONE, fill=b"c")),),
        "410": (
            Elsewhere("origin/test_origin_retrieve.py::test_what_was_let_go_is_410"),
            Elsewhere("origin/test_origin_commitment.py::test_results_are_kept_and_then_gone"),
        ),
        "411": (NotOurs("A length is not required: a body may come in chunks."),),
        "413": (
            Ask(
                method="POST",
                path="/studies",
                fields={"Content-Type": MULTIPART, "Content-Length": "9" * 15},
                body=b"--",
                status=413,
            ),
        ),
        "414": (REFUSED_HEAD,),
        "415": (
            Ask(
                method="POST",
                path="/studies",
                fields={"Content-Type": "image/png"},
                body=b"x",
                status=415,
                holds=(b"application/dicom",),
            ),
        ),
        "500": (Elsewhere("origin/test_origin_errors.py::test_an_unexpected_error_is_500_and_logged_once"),),
        "501": (REFUSED_HEAD,),
        "503": (
            Elsewhere("origin/test_origin_errors.py::test_an_error_of_the_store_is_503"),
            Elsewhere("origin/test_origin_room.py::test_what_is_announced_and_has_no_room_is_refused_before_its_body"),
        ),
        "505": (REFUSED_HEAD,),
    },
    "8.6.1-1": {
        "Content-Type, Content-Length, Content-Location": (
            Elsewhere("origin/test_origin_retrieve.py::test_a_single_part_and_a_multipart_answer"),
            Elsewhere("origin/test_origin_payload.py::test_a_multipart_payload_is_its_parts"),
            Elsewhere("origin/test_origin_commitment.py::test_a_result_says_what_it_represents"),
        ),
        "Location": (store(200, fresh(TWO), has={"location": rf"{BASE}/studies/{TWO.study}"}),),
    },
    "8.6.3": {
        "a Status Report": (
            Ask(path="/nothing", status=404, has={"content-type": "text/html; .*"}, holds=(b"permanent",)),
            Ask(
                path="/nothing",
                fields={"Accept": JSON},
                status=404,
                has={"content-type": r"application/problem\+json"},
                holds=(b'"temporary":false',),
            ),
            Ask(method="HEAD", path="/nothing", status=404),
        ),
    },
    "8.7.2-1": {"Single Frame Image, Multi-Frame Image, Video, Text, Other": (RENDERED,)},
    "8.7.3-1": {"D, R, O": (WORDS,)},
    "8.7.3-2": {
        "1.2.840.10008.1.2.1, of every category": (
            get(200, f"{DICOM}; transfer-syntax={LE}"),
            get(200, f"{DICOM}; transfer-syntax=*"),
            get(406, f"{DICOM}; transfer-syntax={JPEG}70"),
        ),
        "the others, of every category": (
            options(200, holds=tuple(f'"{uid}"'.encode() for uid in RETRIEVED)),
            Elsewhere("origin/test_origin_retrieve_negotiation.py::test_the_transfer_syntax"),
        ),
    },
    "8.7.3-3": {
        "application/dicom+xml": (store(200, fresh(TWO), accept="application/dicom+xml"),),
        "application/dicom+json": (store(200, fresh(TWO)),),
        "as metadata of an instance": (NotOurs("Metadata resources [10.4.1.1.2] are not offered yet."),),
    },
    "8.7.3-4": {"application/octet-stream, of every category": (BULK_DATA,)},
    "8.7.3-5": {"every compressed media type, of every category": (BULK_DATA,)},
    "8.7.4-1": {"every media type, of every category": (RENDERED,)},
    "8.7.5": {
        "no Accept": (get(406, None), get(406, None, f"?accept={DICOM}"), options(406, None)),
        "no Accept, where the deed is done": (
            Elsewhere("origin/test_origin_store.py::test_a_store_never_answers_406"),
            Elsewhere("origin/test_origin_commitment.py::test_a_request_never_answers_406"),
        ),
        "DICOM and rendered types": (get(400, f"{DICOM}, text/html"), get(200, f"{DICOM}, text/html;q=0")),
    },
    "8.7.8-1": {"the example": (Elsewhere("http/test_http_accept.py::test_weights_of_the_example_in_8_7_8_1"),)},
    "8.8.5": {
        "the steps 1 to 5, which all lead to UTF-8": (
            get(200, f"{DICOM}; charset=koi8-r", "?charset=iso-8859-1", Accept_Charset="iso-8859-5"),
            get(200, f"{DICOM}; charset=utf-8", "?charset=utf-8", Accept_Charset="utf-8"),
            store(200, fresh(TWO), accept=f"{DICOM_JSON}; charset=iso-8859-1"),
        ),
    },
    "8.9.1-1": {
        "Accept": (options(200), options(200, JSON, has={"content-type": JSON}), options(406, "text/html")),
        "Accept-Charset": (options(200, holds=(b"UTF-8",)),),
    },
    "8.9.3-1": {
        "200": (options(200, holds=(b"<application", b"</application>")),),
        "304": (Elsewhere("origin/test_origin_capabilities.py::test_entity_tags_belong_to_the_description"),),
        "400": (Elsewhere("server/test_head_gate.py::test_refused"),),
    },
    "8.9.3-2": {
        "Content-Type": (options(200, "*/*", has={"content-type": WADL.replace("+", r"\+")}),),
        "Content-Length": (options(200, has={"content-length": r"\d+"}),),
        "Transfer-Encoding": (NotOurs("A description is sent with its length."),),
    },
    "8.10.3-1": {
        "Open Notification Connection, Send Event Report": (REPORTS,),
        "Close Notification Connection": (
            Elsewhere("server/test_server_websocket.py::test_the_application_is_told_of_the_end"),
            Elsewhere("origin/test_origin_notifications.py::test_a_store_that_fails_refuses_and_closes"),
        ),
    },
    "8.10.4-1": {
        "Accept, Content-Type": (FORMS,),
        "Host": (Elsewhere("server/test_head_gate.py::test_refused"),),
        "Upgrade": (Ask(path="/", fields={"Accept": "*/*"}, status=426, has={"upgrade": "websocket"}),),
        "Connection, Sec-WebSocket-Key, Sec-WebSocket-Version": (HANDSHAKE,),
        "Origin": (Elsewhere("end_to_end/test_clients_browser.py::test_a_page_follows_the_event_reports"),),
        "Sec-WebSocket-Protocol": (NotOurs("It is optional; no subprotocol is selected."),),
    },
    "8.10.4-2": {
        "101": (REPORTS,),
        "400": (HANDSHAKE, REFUSED_CONNECTION),
        "406": (REFUSED_CONNECTION,),
    },
    "8.10.4-3": {
        "Content-Type": (FORMS,),
        "Upgrade, Connection, Sec-WebSocket-Accept": (REPORTS,),
        "Origin": (NotOurs("It is a field of requests (RFC 6455 4.1)."),),
        "Sec-WebSocket-Protocol": (NotOurs("No subprotocol is selected, so none is named (RFC 6455 4.2.2)."),),
    },
    "8.10.5-3": {
        "application/dicom+json, application/dicom+xml": (FORMS,),
        "application/dicom": (
            NotOurs("The defining service says which types there are; reports are not offered in this one: 406."),
            REFUSED_CONNECTION,
        ),
    },
    "8.10.6-1": {
        "0000, B301, C307, C308, C314, C315": (
            NotOurs("They tell of subscriptions and workitems, which are not offered; the box closes by IANA's codes."),
        ),
    },
}

NAMES = {
    "8.3.1-1": 11,
    "8.3.2-1": 3,
    "8.3.4-1": 8,
    "8.3.5-1": 7,
    "8.3.5-2": 3,
    "8.4.1-1": 4,
    "8.4.2-1": 4,
    "8.4.3-1": 3,
    "8.5-1": 26,
    "8.6.1-1": 4,
    "8.7.2-1": 5,
    "8.7.3-1": 3,
    "8.9.1-1": 2,
    "8.9.3-1": 3,
    "8.9.3-2": 3,
    "8.10.3-1": 3,
    "8.10.4-1": 9,
    "8.10.4-2": 3,
    "8.10.4-3": 6,
    "8.10.5-3": 3,
    "8.10.6-1": 6,
}
"""How many names each table of the Standard has, counted there: in its first column, of 8.10.6-1 in its last."""

UNNAMED = {"8.3.2-2", "8.7.3-2", "8.7.3-3", "8.7.3-4", "8.7.3-5", "8.7.4-1", "8.7.8-1"}
"""Tables that are examples, or whose rows are media types and Transfer Syntaxes by Resource Category."""


@pytest.fixture
async def box_with_one(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, CONFIG) as box:
        assert (await box.stow(DATA)).status == 200
        yield box


@pytest.mark.parametrize("table", CHAPTER_8)
async def test_what_is_asked_here(table: str, box_with_one: Box) -> None:
    asked = [(row, proof) for row, proofs in CHAPTER_8[table].items() for proof in proofs if isinstance(proof, Ask)]
    for row, ask in asked:
        assert (row, await ask.problems(box_with_one.application)) == (row, [])


def test_no_table_and_no_row_is_left_out() -> None:
    assert {table for table in CHAPTER_8 if "-" in table} == NAMES.keys() | UNNAMED
    counted = {table: len({name for row in CHAPTER_8[table] for name in row.split(", ")}) for table in NAMES}
    assert counted == NAMES
    assert all(proofs for rows in CHAPTER_8.values() for proofs in rows.values())


def test_what_is_proven_elsewhere_is_there() -> None:
    named_tests = {
        proof
        for rows in CHAPTER_8.values()
        for proofs in rows.values()
        for proof in proofs
        if isinstance(proof, Elsewhere)
    }
    assert {each.test for each in named_tests if not each.exists} == set()
