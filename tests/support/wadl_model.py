"""What a WADL document may look like: the content model of the W3C submission of 31 August 2009, section 2.

What may live here: the rules, and a checker that names every breach. Children of an element are written as their
names, each followed by a space, so that a content model is a regular expression; so is an attribute's type. Stricter
than the submission in two things: elements and attributes of other namespaces are breaches, and a reference has to lead
somewhere.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

NAMESPACE = "{http://wadl.dev.java.net/2009/02}"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

_TEXT = r"[^\0]*"
_NAME = r"[A-Za-z_][\w.\-]*"
_TOKEN = r"[\w.:\-]+"
_URI = r"\S*"
_BOOLEAN = r"true|false|1|0"
_URIS = r"\S+( \S+)*|"
_RESOURCES = r"(doc )*(param )*((method|resource) )*"


@dataclass(frozen=True, slots=True)
class Model:
    """An element's children in their order, and its attributes."""

    children: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


MODELS = {
    "application": Model(r"(doc )*(grammars )?(resources )*((resource_type|method|representation|param) )*"),
    "doc": Model("", {"title": _TEXT, LANGUAGE: r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*"}),
    "grammars": Model(r"(doc )*(include )*"),
    "include": Model(r"(doc )*", {"href": _URI}),
    "resources": Model(r"(doc )*(resource )+", {"base": _URI}),
    "resource": Model(_RESOURCES, {"id": _NAME, "type": _URIS, "queryType": _TEXT, "path": _TEXT}),
    "resource_type": Model(_RESOURCES, {"id": _NAME}),
    "method": Model(r"(doc )*(request )?(response )*", {"id": _NAME, "name": _TOKEN, "href": _URI}),
    "request": Model(r"(doc )*(param )*(representation )*"),
    "response": Model(r"(doc )*(param )*(representation )*", {"status": r"(\d+( \d+)*)?"}),
    "representation": Model(
        r"(doc )*(param )*",
        {"id": _NAME, "element": _TOKEN, "mediaType": _TEXT, "href": _URI, "profile": _URIS},
    ),
    "param": Model(
        r"(doc )*(option )*(link )?",
        {
            "href": _URI,
            "name": _TOKEN,
            "style": "plain|query|matrix|header|template",
            "id": _NAME,
            "type": r"xs:[A-Za-z]+",
            "default": _TEXT,
            "required": _BOOLEAN,
            "repeating": _BOOLEAN,
            "fixed": _TEXT,
            "path": _TEXT,
        },
    ),
    "option": Model(r"(doc )*", {"value": _TEXT, "mediaType": _TEXT}, frozenset({"value"})),
    "link": Model(r"(doc )*", {"resource_type": _URI, "rel": _TEXT, "rev": _TEXT}),
}


def breaches(document: bytes) -> list[str]:
    """Return every way in which a document is not WADL; raises ParseError for what is not XML."""
    root = ElementTree.fromstring(document)
    if root.tag != f"{NAMESPACE}application":
        return [f"{root.tag} is not an application"]
    return [*_of_element(root), *_of_references(root)]


def _of_element(element: ElementTree.Element) -> Iterator[str]:
    name = element.tag.removeprefix(NAMESPACE)
    model = MODELS.get(name)
    if model is None:
        yield f"{element.tag} is no element"
        return
    children = "".join(f"{child.tag.removeprefix(NAMESPACE)} " for child in element)
    if not re.fullmatch(model.children, children):
        yield f"{name} may not hold: {children}"
    for attribute, value in element.attrib.items():
        if attribute not in model.attributes or not re.fullmatch(model.attributes[attribute], value):
            yield f"{name} may not have {attribute}={value!r}"
    yield from (f"{name} needs {attribute}" for attribute in model.required - element.attrib.keys())
    if name != "doc" and "".join([element.text or "", *(child.tail or "" for child in element)]).strip():
        yield f"{name} may not hold text"
    for child in element:
        yield from _of_element(child)


def _of_references(root: ElementTree.Element) -> Iterator[str]:
    named = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    yield from (f"{name} names two elements" for name in set(named) if named.count(name) > 1)
    for element in root.iter():
        reference = element.attrib.get("href", "")
        if reference.startswith("#") and reference[1:] not in named:
            yield f"{reference} leads nowhere"
