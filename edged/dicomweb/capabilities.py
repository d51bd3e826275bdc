"""The Capabilities Description: a WADL document made from the rows of `resources` (PS3.18 8.9, Annexes G and H).

Rows become nested resources, one level for each path segment, so that the description always is what is served. It is
that of the whole service, or of one resource and what is below it. What holds for all of it stands in doc elements of
the application: the limits, the character sets. The transfer syntaxes are parameters that representations refer to.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from edged.dicomweb import parameters
from edged.dicomweb.limits import Limit
from edged.dicomweb.parameters import Parameter, Style
from edged.dicomweb.resources import ROUTES, Route, head_of, segments_of
from edged.dicomweb.transfer_syntaxes import RETRIEVED, STORED
from edged.dicomweb.wadl import TYPES_NAMESPACE, WADL_NAMESPACE, Element, doc, wadl_json

STATUS_REPORTS: Final = ("text/html", "application/problem+json", "text/plain")
"""What a failure is told in, the default first. Source: PS3.18 8.6.3."""

_STORED_ID: Final = "storedTransferSyntaxes"
_RETRIEVED_ID: Final = "retrievedTransferSyntaxes"
_REPORTED: Final = (parameters.RETRY_AFTER, parameters.WWW_AUTHENTICATE)

_CHARACTER_SETS: Final = doc(
    "What the service writes in JSON, XML, HTML and text is UTF-8. "
    "An instance keeps the Specific Character Set (0008,0005) that it was stored with.",
    "Character sets",
)
_WEBSOCKET: Final = doc(
    "Over HTTP/1.1 by GET with Upgrade (RFC 6455), over HTTP/2 by CONNECT with the protocol websocket (RFC 8441); "
    "the scheme of the URL is ws, or wss over TLS. Every report is a text frame in the media type of Accept, "
    "without it of Content-Type, else application/dicom+json.",
    "How to open the WebSocket",
)


def wadl(
    base_url: str, target: str = "/", *, limits: Sequence[Limit] = (), routes: Sequence[Route] = ROUTES
) -> Element:
    """Return the document for a service at this base URL. Source: PS3.18 Annex H, Table H-1.

    `target` is the template of the resource that is described with all below it; "/" is the service.
    """
    wanted = segments_of(target)
    within = [route for route in routes if route.listed and route.segments[: len(wanted)] == wanted]
    namespaces = (("xmlns", WADL_NAMESPACE), ("xmlns:xs", TYPES_NAMESPACE))
    about = (_CHARACTER_SETS, *(doc(f"{each.shown}. {each.beyond}", f"Limit: {each.name}") for each in limits))
    resources = Element("resources", (("base", base_url),), tuple(_described(within, wanted)))
    return Element("application", namespaces, (*about, resources, *_transfer_syntaxes(within)))


def capabilities_json(application: bytes, state: Mapping[str, Any] | None = None) -> bytes:
    """Return the JSON document around an application's; with `state` it is the monitor's view of the box."""
    content: dict[str, Any] = {"application": msgspec.Raw(application)}
    if state is not None:
        content["edged"] = state
    return msgspec.json.encode(content)


def application_json(tree: Element) -> bytes:
    """Return a document as JSON, without the object around it. Source: PS3.18 Annex G."""
    return msgspec.json.encode(wadl_json(tree))


def _described(routes: Sequence[Route], target: tuple[str, ...]) -> Iterable[Element]:
    """Return the target's resource element; below the base URL its children stand beside it."""
    if target:
        yield _resource(target, routes, len(target))
        return
    own = [route for route in routes if not route.segments]
    if own:
        yield Element("resource", (("path", "/"),), tuple(_methods(own)))
    yield from _resources([route for route in routes if route.segments], 0)


def _resources(routes: Sequence[Route], depth: int) -> Iterable[Element]:
    """Return the resource elements of one level, in the order of the rows."""
    for segment in dict.fromkeys(route.segments[depth] for route in routes):
        yield _resource((segment,), [route for route in routes if route.segments[depth] == segment], depth + 1)


def _resource(path: tuple[str, ...], routes: Sequence[Route], depth: int) -> Element:
    """Return a resource by the end of its path; `depth` counts all of its segments."""
    here = [route for route in routes if len(route.segments) == depth]
    below = [route for route in routes if len(route.segments) > depth]
    variables = (_variable(segment[1:-1]) for segment in path if segment.startswith("{"))
    return Element("resource", (("path", "/".join(path)),), (*variables, *_methods(here), *_resources(below, depth)))


def _variable(name: str) -> Element:
    return _parameter(Parameter(name=name, style=Style.TEMPLATE, required=True))


def _methods(routes: Iterable[Route]) -> Iterable[Element]:
    for route in routes:
        yield _method(route)
        if route.method == "GET" and not route.websocket:
            yield _head(route)


def _method(route: Route) -> Element:
    responses = [
        *_response(route.success, route.gives, route.offers),
        *_response(route.bare, route.gives),
        *_response(route.failure, _REPORTED, STATUS_REPORTS),
    ]
    about = [doc(route.description), *([_WEBSOCKET] if route.websocket else [])]
    return Element("method", (("name", route.method), ("id", route.name)), (*about, _request(route), *responses))


def _head(route: Route) -> Element:
    """Return the HEAD of a GET: the same without payloads."""
    head = head_of(route)
    responses = (*_response((*head.success, *head.bare), head.gives), *_response(head.failure, _REPORTED))
    about = doc(f"What {route.name} answers, without its payload.")
    return Element("method", (("name", head.method), ("id", f"{head.name}Head")), (about, _request(head), *responses))


def _request(route: Route) -> Element:
    carried = list(route.parameters)
    if route.takes:
        carried.insert(0, parameters.content_type(route.takes))
    if route.offers:
        carried.insert(0, parameters.accept(route.offers, required=route.needs_accept))
    return Element("request", (), (*map(_parameter, carried), *_representations(route.takes, _STORED_ID)))


def _response(
    statuses: Sequence[HTTPStatus], gives: Iterable[Parameter], media_types: Iterable[str] = ()
) -> Iterable[Element]:
    if statuses:
        listed = " ".join(str(int(status)) for status in sorted(statuses))
        content = (*map(_parameter, gives), *_representations(media_types, _RETRIEVED_ID))
        yield Element("response", (("status", listed),), content)


def _representations(media_types: Iterable[str], transfer_syntaxes: str) -> Iterable[Element]:
    for media_type in media_types:
        syntaxes = (Element("param", (("href", f"#{transfer_syntaxes}"),)),) if _is_instance(media_type) else ()
        yield Element("representation", (("mediaType", media_type),), syntaxes)


def _is_instance(media_type: str) -> bool:
    return media_type.endswith(("application/dicom", '"application/dicom"'))


def _parameter(parameter: Parameter) -> Element:
    told = {
        "name": parameter.name,
        "style": parameter.style.value,
        "type": parameter.type.value,
        "required": "true" if parameter.required else "",
        "repeating": "true" if parameter.repeating else "",
        "default": parameter.default,
        "fixed": parameter.fixed,
    }
    about = [doc(parameter.description)] if parameter.description else []
    options = (Element("option", (("value", option),)) for option in parameter.options)
    return Element("param", tuple((name, value) for name, value in told.items() if value), (*about, *options))


def _transfer_syntaxes(routes: Sequence[Route]) -> Iterable[Element]:
    """Return the parameters that the representations of these rows refer to."""
    if any(_is_instance(media_type) for route in routes for media_type in route.takes):
        yield _named_options(_STORED_ID, "An instance may be in any of these.", STORED)
    if any(_is_instance(media_type) for route in routes for media_type in route.offers):
        about = "An instance leaves in the one it was stored in, or else as Explicit VR Little Endian."
        yield _named_options(_RETRIEVED_ID, about, RETRIEVED)


def _named_options(identifier: str, about: str, named: Mapping[str, str]) -> Element:
    described = (("id", identifier), ("name", "transfer-syntax"), ("style", Style.PLAIN.value), ("type", "xs:string"))
    options = (Element("option", (("value", value),), (doc(title=name),)) for value, name in named.items())
    return Element("param", described, (doc(about), *options))
