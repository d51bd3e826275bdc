"""The capabilities description: generated from the rows, one tree in two encodings, valid WADL."""

from http import HTTPStatus
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from edged.dicom.uids import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from edged.dicomweb.capabilities import STATUS_REPORTS, application_json, capabilities_json, wadl
from edged.dicomweb.limits import Limit, Unit
from edged.dicomweb.parameters import ACCEPT_CHARSET, WEBSOCKET, Parameter
from edged.dicomweb.resources import ROUTES, Route
from edged.dicomweb.routing import Resource, resources_of
from edged.dicomweb.wadl import WADL_NAMESPACE, Element, doc, wadl_json, wadl_xml
from edged.http.problem import Problem, render
from tests.support.wadl_schema import NAMESPACE, breaches

BASE = "https://box.example.org/dicom-web/"
LIMITS = (
    Limit("streams", 100, Unit.COUNT, "A further one is refused."),
    Limit("idle_s", 75, Unit.SECONDS, "<Closed>."),
)
TREE = wadl(BASE, limits=LIMITS)
LISTED = [route for route in ROUTES if route.listed]
DESCRIBED = [resource for resource in resources_of(ROUTES) if resource.listed]

Json = dict[str, Any]


def by_path(parent: Json, prefix: str = "") -> dict[str, Json]:
    found: dict[str, Json] = {}
    for resource in parent.get("resource", []):
        path = f"{prefix}/{resource['@path'].strip('/')}"
        found[path] = resource
        found |= by_path(resource, path.rstrip("/"))
    return found


APPLICATION = wadl_json(TREE)
RESOURCES = by_path(APPLICATION["resources"])


def method_of(route: Route) -> Json:
    [found] = [method for method in RESOURCES[route.template]["method"] if method["@id"] == route.name]
    assert isinstance(found, dict)
    return found


def parameters_of(message: Json) -> dict[str, Json]:
    return {each["@name"]: each for each in message.get("param", [])}


def media_types_of(message: Json) -> list[str]:
    return [each["@mediaType"] for each in message.get("representation", [])]


def options_of(parameter: Json) -> list[str]:
    return [option["@value"] for option in parameter["option"]]


def statuses(codes: tuple[HTTPStatus, ...]) -> str:
    return " ".join(str(int(code)) for code in sorted(codes))


def test_exactly_what_is_listed_is_described() -> None:
    methods = [(path, each["@name"], each["@id"]) for path, it in RESOURCES.items() for each in it.get("method", [])]
    plain = [route for route in LISTED if route.method == "GET" and not route.websocket]
    assert sorted(methods) == sorted(
        [(route.template, route.method, route.name) for route in LISTED]
        + [(route.template, "HEAD", f"{route.name}Head") for route in plain]
    )


@pytest.mark.parametrize("route", LISTED, ids=lambda route: route.name)
def test_a_request_is_what_its_row_says(route: Route) -> None:
    method = method_of(route)
    assert method["@name"] == route.method
    assert method["doc"][0] == {"@xml:lang": "en", "value": route.description}
    told = parameters_of(method["request"])
    assert options_of(told["Accept"]) == list(route.offers)
    assert media_types_of(method["request"]) == list(route.takes)
    assert ("Content-Type" in told) == bool(route.takes)
    for parameter in route.parameters:
        assert_told(told[parameter.name], parameter)


def assert_told(told: Json, parameter: Parameter) -> None:
    assert (told["@style"], told["@type"]) == (parameter.style.value, parameter.type.value)
    assert told.get("@required", "false") == str(parameter.required).lower()
    assert told.get("@repeating", "false") == str(parameter.repeating).lower()
    assert (told.get("@fixed", ""), told.get("@default", "")) == (parameter.fixed, parameter.default)
    assert [each["value"] for each in told.get("doc", [])] == ([parameter.description] if parameter.description else [])
    assert [option["@value"] for option in told.get("option", [])] == list(parameter.options)


@pytest.mark.parametrize("route", LISTED, ids=lambda route: route.name)
def test_responses_are_what_the_row_says(route: Route) -> None:
    *succeeded, failed = method_of(route)["response"]
    expected = [
        (statuses(codes), offers) for codes, offers in ((route.success, route.offers), (route.bare, ())) if codes
    ]
    assert [(each["@status"], tuple(media_types_of(each))) for each in succeeded] == expected
    assert all(parameters_of(each).keys() == {parameter.name for parameter in route.gives} for each in succeeded)
    assert (failed["@status"], media_types_of(failed)) == (statuses(route.failure), list(STATUS_REPORTS))
    assert parameters_of(failed).keys() == {"Retry-After", "WWW-Authenticate"}


def test_accept_is_required_where_its_lack_is_406() -> None:
    required = {route.name for route in LISTED if "@required" in parameters_of(method_of(route)["request"])["Accept"]}
    assert required == {"retrieveInstance", "checkStorageCommitmentResult"}
    assert (
        parameters_of(RESOURCES["/studies"]["method"][0]["request"])["Accept"]["@default"] == "application/dicom+json"
    )


def test_a_head_has_no_payload() -> None:
    [head] = [each for each in RESOURCES["/commitment-requests/{transactionUID}"]["method"] if each["@name"] == "HEAD"]
    assert [media_types_of(response) for response in head["response"]] == [[], []]
    assert head["response"][0]["@status"] == "200 202 304"


def test_a_head_has_no_ranges() -> None:
    methods = RESOURCES["/studies/{study}/series/{series}/instances/{instance}"]["method"]
    get, head = (next(each for each in methods if each["@name"] == name) for name in ("GET", "HEAD"))
    lost = {"206", "416"}
    for told, answered in zip(statuses_of(get), statuses_of(head), strict=True):
        assert answered == told - lost
    assert parameters_of(get["request"]).keys() - parameters_of(head["request"]).keys() == {"Range", "If-Range"}


def statuses_of(method: Json) -> tuple[set[str], set[str]]:
    """The statuses of success and failure."""
    *succeeded, failed = method["response"]
    return {status for each in succeeded for status in each["@status"].split()}, set(failed["@status"].split())


@pytest.mark.parametrize("media_type", STATUS_REPORTS)
def test_failures_are_told_as_announced(media_type: str) -> None:
    report = render(Problem(status=HTTPStatus.NOT_FOUND, detail="Nothing."), media_type)
    assert dict(report.headers)["content-type"].partition(";")[0] == media_type


def test_every_level_stands_once_and_variables_are_declared() -> None:
    top = [resource["@path"] for resource in APPLICATION["resources"]["resource"]]
    assert top == ["/", "subscribers", "studies", "commitment-requests"]
    study = RESOURCES["/studies/{study}"]
    assert study["param"] == [{"@name": "study", "@style": "template", "@type": "xs:string", "@required": "true"}]
    assert [resource["@path"] for resource in study["resource"]] == ["series"]


def test_the_base_is_the_service_s() -> None:
    assert APPLICATION["resources"]["@base"] == BASE


def test_websockets_say_how_they_are_opened() -> None:
    method = RESOURCES["/"]["method"][0]
    told = parameters_of(method["request"])
    assert {name: told[name]["@fixed"] for name in ("Upgrade", "Connection", "Sec-WebSocket-Version")} == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
    }
    assert told.keys() == {"Accept", *(parameter.name for parameter in WEBSOCKET)}
    assert method["response"][0]["@status"] == "101"
    assert "RFC 8441" in method["doc"][1]["value"]


def test_transfer_syntaxes_are_those_that_are_taken_and_given() -> None:
    taken, given = APPLICATION["param"]
    assert (taken["@id"], given["@id"]) == ("storedTransferSyntaxes", "retrievedTransferSyntaxes")
    never_sent = {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
    assert options_of(taken)[0] == options_of(given)[0] == EXPLICIT_VR_LITTLE_ENDIAN
    assert set(options_of(taken)) - set(options_of(given)) == never_sent
    stored = RESOURCES["/studies"]["method"][0]["request"]["representation"]
    assert [each["param"] for each in stored] == [[{"@href": "#storedTransferSyntaxes"}]] * 2
    retrieve = RESOURCES["/studies/{study}/series/{series}/instances/{instance}"]["method"][0]
    sent = retrieve["response"][0]["representation"]
    assert [each["param"] for each in sent] == [[{"@href": "#retrievedTransferSyntaxes"}]] * 2


def test_character_sets_are_told() -> None:
    told = parameters_of(RESOURCES["/commitment-requests/{transactionUID}"]["method"][0]["request"])
    assert options_of(told["Accept-Charset"]) == list(ACCEPT_CHARSET.options) == ["utf-8"]
    assert "Character sets" in [each["@title"] for each in APPLICATION["doc"]]


def test_limits_are_told() -> None:
    told = {each["@title"]: each["value"] for each in APPLICATION["doc"]}
    assert told["Limit: streams"] == "100. A further one is refused."
    assert told["Limit: idle_s"] == "75 s. <Closed>."


@pytest.mark.parametrize("resource", DESCRIBED, ids=lambda resource: resource.template)
def test_any_resource_is_described_with_all_below_it(resource: Resource) -> None:
    tree = wadl(BASE, resource.template, limits=LIMITS)
    assert breaches(wadl_xml(tree)) == []
    described = by_path(wadl_json(tree)["resources"])
    within = {
        path: it
        for path, it in RESOURCES.items()
        if path == resource.template or path.startswith(resource.template + "/")
    }
    if resource.template == "/":
        assert described == RESOURCES
        return
    assert described.keys() == within.keys()
    own = described.pop(resource.template)
    assert own.get("method", []) == within[resource.template].get("method", [])
    variables = [segment[1:-1] for segment in resource.template.split("/") if segment.startswith("{")]
    assert [each["@name"] for each in own.get("param", [])] == variables
    assert described == {path: within[path] for path in described}


def test_only_what_is_referred_to_is_defined() -> None:
    names = [each["@id"] for each in wadl_json(wadl(BASE, "/studies/{study}/series")).get("param", [])]
    assert names == ["retrievedTransferSyntaxes"]
    assert "param" not in wadl_json(wadl(BASE, "/commitment-requests"))


def as_json(node: ElementTree.Element) -> Json:
    """Annex G applied to parsed XML, to compare both encodings."""
    xml = "{http://www.w3.org/XML/1998/namespace}"
    content: Json = {f"@{name.replace(xml, 'xml:')}": value for name, value in node.attrib.items()}
    if node.text:
        content["value"] = node.text
    for child in node:
        name = child.tag.removeprefix(NAMESPACE)
        if name in {"resources", "request"}:
            content[name] = as_json(child)
        else:
            content.setdefault(name, []).append(as_json(child))
    return content


def test_xml_and_json_hold_the_same() -> None:
    root = ElementTree.fromstring(wadl_xml(TREE))
    assert root.tag == f"{{{WADL_NAMESPACE}}}application"
    assert as_json(root) == {name: value for name, value in APPLICATION.items() if not name.startswith("@xmlns")}


def test_xml_is_escaped() -> None:
    written = wadl_xml(Element("doc", (("title", 'a"<&'),), text="<&>"))
    root = ElementTree.fromstring(written)
    assert (root.attrib["title"], root.text) == ('a"<&', "<&>")


def test_the_state_stands_beside_the_description_for_those_who_may_see_it() -> None:
    application = application_json(TREE)
    assert msgspec.json.decode(capabilities_json(application)) == {"application": APPLICATION}
    monitored = msgspec.json.decode(capabilities_json(application, {"version": "1", "oldest_unsent_s": None}))
    assert monitored == {"application": APPLICATION, "edged": {"version": "1", "oldest_unsent_s": None}}


def test_the_description_is_the_same_every_time() -> None:
    assert wadl_xml(wadl("http://a")) == wadl_xml(wadl("http://a"))


def in_application(*elements: Element) -> bytes:
    return wadl_xml(Element("application", (("xmlns", WADL_NAMESPACE),), elements))


def a(kind: str, /, *children: Element, **attributes: str) -> Element:
    """An element of WADL, whatever it holds."""
    return Element(kind, tuple(attributes.items()), children)


GOOD = a("param", name="a", style="query", id="one")
BROKEN = [
    a("resources"),
    a("resources", a("resource", a("method", name="A B"), path="a")),
    a("resources", a("resource"), doc("late")),
    a("resources", a("resource"), path="x"),
    a("resources", a("resource", a("methods", name="GET"))),
    a("resource"),
    a("method", a("response", status="200,202")),
    a("method", a("response"), a("request")),
    a("param", name="a", style="cookie"),
    a("param", name="a", style="query", required="yes"),
    a("param", name="a", style="query", type="xs:string"),  # a prefix that is not declared
    a("param", name="a", style="query", value=""),
    a("param", a("option"), name="a", style="query"),
    a("param", name="a"),
    a("param", style="query"),
    a("param", href="#nothing"),
    Element("param", GOOD.attributes, text="text"),
]


def test_what_is_wadl_is_found_to_be() -> None:
    assert breaches(wadl_xml(TREE)) == breaches(in_application(GOOD, a("param", href="#one"))) == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda element: wadl_xml(element).decode().partition("?>")[2])
def test_what_is_not_wadl_is_found(broken: Element) -> None:
    assert breaches(in_application(broken)) != []


def test_a_document_that_is_none_is_found() -> None:
    written = wadl_xml(TREE)
    assert breaches(wadl_xml(Element("application"))) != []
    assert breaches(in_application(GOOD, GOOD)) != []
    assert breaches(written.replace(b"2009/02", b"2006/10")) != []
    assert breaches(written[:-1]) != []
    assert breaches(b"") != []
