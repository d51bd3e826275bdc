"""The Capabilities Description: a WADL document made from the rows of `resources`.

The document is a small tree, written as XML (PS3.18 Annex H) or as JSON (Annex G). Rows become nested
resources, one level for each path segment, so that the description always is what is served. Only the
writers know that JSON puts repeatable elements into arrays and unique ones into objects.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from edged.dicomweb.resources import ROUTES, Route

WADL_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_TYPES_NAMESPACE: Final = "http://www.w3.org/2001/XMLSchema"
_UNIQUE: Final = frozenset({"resources", "request"})  # all others may be repeated in their parent


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the document; `text` only in doc elements."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple["Element", ...] = ()
    text: str = ""


def wadl(base_url: str, routes: Sequence[Route] = ROUTES) -> Element:
    """Return the document for a service at this base URL. Source: PS3.18 Annex H, Table H-1."""
    listed = [route for route in routes if route.listed]
    roots = [route for route in listed if not route.segments]
    below = [route for route in listed if route.segments]
    own = [Element("resource", (("path", "/"),), _methods(roots))] if roots else []
    resources = Element("resources", (("base", base_url),), (*own, *_resources(below, 0)))
    namespaces = (("xmlns", WADL_NAMESPACE), ("xmlns:xs", _TYPES_NAMESPACE))
    return Element("application", namespaces, (resources,))


def wadl_json(tree: Element) -> dict[str, Any]:
    """Return an element's JSON object. Source: PS3.18 Annex G."""
    content: dict[str, Any] = {f"@{name}": value for name, value in tree.attributes}
    if tree.text:
        content["value"] = tree.text
    for child in tree.children:
        if child.name in _UNIQUE:
            content[child.name] = wadl_json(child)
        else:
            content.setdefault(child.name, []).append(wadl_json(child))
    return content


def wadl_xml(tree: Element) -> bytes:
    """Return the XML document. Source: PS3.18 Annex H."""
    return f"{_DECLARATION}{_xml(tree)}".encode()


def capabilities_json(tree: Element, state: Mapping[str, Any] | None = None) -> bytes:
    """Return the JSON document; with `state` it is the monitor's view of the box, which is never cached."""
    content: dict[str, Any] = {"application": wadl_json(tree)}
    if state is not None:
        content["edged"] = state
    return msgspec.json.encode(content)


def _resources(routes: Sequence[Route], depth: int) -> Iterable[Element]:
    """Return the resource elements of one level, in the order of the rows."""
    for segment in dict.fromkeys(route.segments[depth] for route in routes):
        same = [route for route in routes if route.segments[depth] == segment]
        here = [route for route in same if len(route.segments) == depth + 1]
        below = [route for route in same if len(route.segments) > depth + 1]
        variable = [_template_parameter(segment)] if segment.startswith("{") else []
        children = (*variable, *_methods(here), *_resources(below, depth + 1))
        yield Element("resource", (("path", segment),), children)


def _template_parameter(segment: str) -> Element:
    described = (("name", segment[1:-1]), ("style", "template"), ("type", "xs:string"), ("required", "true"))
    return Element("param", described)


def _methods(routes: Iterable[Route]) -> tuple[Element, ...]:
    return tuple(_method(route) for route in routes)


def _method(route: Route) -> Element:
    described = (("name", route.method), ("id", route.name))
    doc = Element("doc", (("xml:lang", "en"),), text=route.description)
    request = (*_headers(route), *_representations(route.takes))
    responses = [_response(route.success, route.offers)]
    if route.failure:
        responses.append(_response(route.failure))
    return Element("method", described, (doc, Element("request", (), request), *responses))


def _headers(route: Route) -> Iterable[Element]:
    if route.offers:
        options = tuple(Element("option", (("value", offer),)) for offer in route.offers)
        described = (("name", "Accept"), ("style", "header"), ("default", route.offers[0]))
        yield Element("param", described, options)
    if route.websocket:
        upgrade = (("name", "Upgrade"), ("style", "header"), ("fixed", "websocket"), ("required", "true"))
        yield Element("param", upgrade)


def _response(statuses: Iterable[HTTPStatus], offers: Iterable[str] = ()) -> Element:
    listed = " ".join(str(int(status)) for status in statuses)
    return Element("response", (("status", listed),), tuple(_representations(offers)))


def _representations(media_types: Iterable[str]) -> Iterable[Element]:
    return (Element("representation", (("mediaType", media_type),)) for media_type in media_types)


def _xml(element: Element) -> str:
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes)
    content = escape(element.text) + "".join(_xml(child) for child in element.children)
    return f"<{element.name}{attributes}>{content}</{element.name}>"
