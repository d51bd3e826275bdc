"""The capabilities description: generated from the rows, one tree in two encodings."""

from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from edged.dicomweb.capabilities import (
    WADL_NAMESPACE,
    Element,
    capabilities_json,
    wadl,
    wadl_json,
    wadl_xml,
)
from edged.dicomweb.resources import ROUTES, Route

TREE = wadl("https://box.example.org/dicom-web")


def resources_of(parent: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for resource in parent.get("resource", []):
        path = f"{prefix}/{resource['@path'].strip('/')}"
        found[path] = resource
        found |= resources_of(resource, path.rstrip("/"))
    return found


RESOURCES = resources_of(wadl_json(TREE)["resources"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_what_is_listed_is_what_is_served(route: Route) -> None:
    methods = [method for method in RESOURCES.get(route.template, {}).get("method", []) if method["@id"] == route.name]
    assert len(methods) == route.listed
    for method in methods:
        assert method["@name"] == route.method
        assert method["doc"] == [{"@xml:lang": "en", "value": route.description}]
        offered = [option["@value"] for option in method["request"]["param"][0]["option"]]
        assert offered == list(route.offers)
        taken = [each["@mediaType"] for each in method["request"].get("representation", [])]
        assert taken == list(route.takes)
        success, failure = method["response"]
        assert success["@status"] == " ".join(str(int(status)) for status in route.success)
        assert [each["@mediaType"] for each in success["representation"]] == list(route.offers)
        assert failure["@status"] == " ".join(str(int(status)) for status in route.failure)


def test_every_level_stands_once_and_variables_are_declared() -> None:
    top = [resource["@path"] for resource in wadl_json(TREE)["resources"]["resource"]]
    assert top == ["/", "subscribers", "studies", "commitment-requests"]
    study = RESOURCES["/studies/{study}"]
    assert study["param"] == [{"@name": "study", "@style": "template", "@type": "xs:string", "@required": "true"}]
    assert [resource["@path"] for resource in study["resource"]] == ["series"]


def test_the_base_is_the_service_s() -> None:
    assert wadl_json(TREE)["resources"]["@base"] == "https://box.example.org/dicom-web"


def test_websockets_say_how_they_are_opened() -> None:
    upgrade = RESOURCES["/"]["method"][0]["request"]["param"][1]
    assert upgrade["@fixed"] == "websocket"


def as_json(node: ElementTree.Element) -> dict[str, Any]:
    """Annex G applied to parsed XML, to compare both encodings."""
    xml = "{http://www.w3.org/XML/1998/namespace}"
    content: dict[str, Any] = {f"@{name.replace(xml, 'xml:')}": value for name, value in node.attrib.items()}
    if node.text:
        content["value"] = node.text
    for child in node:
        name = child.tag.removeprefix(f"{{{WADL_NAMESPACE}}}")
        if name in {"resources", "request"}:
            content[name] = as_json(child)
        else:
            content.setdefault(name, []).append(as_json(child))
    return content


def test_xml_and_json_hold_the_same() -> None:
    root = ElementTree.fromstring(wadl_xml(TREE))
    assert root.tag == f"{{{WADL_NAMESPACE}}}application"
    json = {name: value for name, value in wadl_json(TREE).items() if not name.startswith("@xmlns")}
    assert as_json(root) == json


def test_xml_is_escaped() -> None:
    written = wadl_xml(Element("doc", (("title", 'a"<&'),), text="<&>"))
    root = ElementTree.fromstring(written)
    assert (root.attrib["title"], root.text) == ('a"<&', "<&>")


def test_the_state_stands_beside_the_description_for_those_who_may_see_it() -> None:
    assert msgspec.json.decode(capabilities_json(TREE)) == {"application": wadl_json(TREE)}
    monitored = msgspec.json.decode(capabilities_json(TREE, {"version": "1", "oldest_unsent_s": None}))
    assert monitored["edged"] == {"version": "1", "oldest_unsent_s": None}
    assert monitored["application"] == wadl_json(TREE)


def test_the_description_is_the_same_every_time() -> None:
    assert wadl_xml(wadl("http://a")) == wadl_xml(wadl("http://a"))
