"""WADL documents as a small tree, written as XML (PS3.18 Annex H) or as JSON (Annex G).

What may live here: the tree, its two writers, and nothing of what is described. Only the writers know that JSON puts
repeatable elements into arrays and unique ones into objects. Whoever builds a tree keeps the order of the WADL schema:
doc, param, then the rest.
"""

from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

WADL_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
TYPES_NAMESPACE: Final = "http://www.w3.org/2001/XMLSchema"

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_UNIQUE: Final = frozenset({"resources", "request"})  # all others may be repeated in their parent


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the document; `text` only in doc elements."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple["Element", ...] = ()
    text: str = ""


def doc(text: str = "", title: str = "") -> Element:
    """Make a doc element in English."""
    titled = (("title", title),) if title else ()
    return Element("doc", (("xml:lang", "en"), *titled), text=text)


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


def _xml(element: Element) -> str:
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes)
    content = escape(element.text) + "".join(_xml(child) for child in element.children)
    return f"<{element.name}{attributes}>{content}</{element.name}>" if content else f"<{element.name}{attributes}/>"
