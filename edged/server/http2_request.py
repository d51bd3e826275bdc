"""The request in a header section of HTTP/2: what h2 lets through is checked here, before anything is made of it.

What may live here: RFC 9113 8.3 and what follows from RFC 9110 for a method, a path, an authority and field
values; pure. Invariant: for any list of fields `request_of` returns a Request or raises HeadError, nothing
else.
"""

from hypercorn.protocol.events import Request

from edged.server.exchange import NO_STATE
from edged.server.head_gate import MAX_FIELDS, HeadError, Refusal, is_host, is_method, is_target, is_value

Fields = list[tuple[bytes, bytes]]
"""Names and values in the order they came."""


def request_of(stream_id: int, fields: Fields) -> Request:
    """The request of one header section, with Host made from :authority; raises HeadError."""
    if len(fields) > MAX_FIELDS:
        raise HeadError(Refusal.TOO_LARGE)
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if not is_method(method):
        raise HeadError(Refusal.REQUEST_LINE)
    if method == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        raise HeadError(Refusal.CONNECT)
    if not is_target(method, path):
        raise HeadError(Refusal.TARGET)
    plain = [(name, value) for name, value in fields if not name.startswith(b":")]
    if not all(is_value(value) for _, value in plain):
        raise HeadError(Refusal.FIELD)
    hosts = [pseudo[b":authority"]] if b":authority" in pseudo else [v for n, v in plain if n == b"host"]
    if len(hosts) != 1 or not is_host(hosts[0]):
        raise HeadError(Refusal.HOST)
    return Request(
        stream_id=stream_id,
        headers=[(b"host", hosts[0]), *(field for field in plain if field[0] != b"host")],
        http_version="2",
        method=method.decode("ascii"),
        raw_path=path,
        state=NO_STATE,
    )
