"""Paths to resources and back."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.choices import Role
from edged.dicomweb.resources import RETRIEVE_CAPABILITIES, ROUTES, Route
from edged.dicomweb.routing import ResourceTree, match, resources_of, split_path, url_of


@pytest.mark.parametrize(
    ("method", "path", "name", "parameters"),
    [
        ("OPTIONS", "/", "retrieveCapabilities", {}),
        ("GET", "/", "openNotificationConnection", {}),
        ("GET", "/subscribers/CT%201", "openSubscriberConnection", {"requester": "CT 1"}),
        ("POST", "/studies", "storeInstances", {}),
        ("POST", "/studies/", "storeInstances", {}),
        ("POST", "/studies/1.2", "storeStudyInstances", {"study": "1.2"}),
        (
            "GET",
            "/studies/1/series/2/instances/3",
            "retrieveInstance",
            {"study": "1", "series": "2", "instance": "3"},
        ),
        ("HEAD", "/studies/1/series/2/instances/3", "retrieveInstance", None),
        ("POST", "/commitment-requests/1", "requestStorageCommitment", {"transactionUID": "1"}),
        ("GET", "/commitment-requests/1", "checkStorageCommitmentResult", {"transactionUID": "1"}),
        ("GET", "/healthz", "health", {}),
        ("GET", "/admin/status", "adminStatus", {}),
        ("GET", "/admin/instances/1/file", "adminInstanceFile", {"uid": "1"}),
    ],
)
def test_a_path_is_matched(method: str, path: str, name: str, parameters: dict[str, str] | None) -> None:
    found = match(path)
    assert found is not None
    route = found.route(method)
    assert route is not None
    assert route.name == name
    assert parameters is None or found.parameters == parameters


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//",
        "studies",
        "/nothing",
        "/studies//series",
        "/studies/1/serie",
        "/studies/1/series/2/instances/3/4",
        "/admin",
        "/admin/instances",
        "/admin/instances/1",
        "/studies/.",
        "/studies/..",
        "/studies/%2e%2e",
        "/studies/%",
        "/studies/%4",
        "/studies/%zz",
        "/studies/%ff",
        "/studies/%00",
        "/studies/a%0d%0a",
        "/Studies",
        "/" + "a" * 5000,
    ],
)
def test_a_path_that_names_nothing(path: str) -> None:
    assert match(path) is None


def test_an_encoded_slash_stays_in_its_segment() -> None:
    assert split_path("/studies/a%2Fb") == ("studies", "a/b")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/subscribers/x", "GET, HEAD, OPTIONS"),
        ("/studies", "OPTIONS, POST"),
        ("/studies/1/series", "OPTIONS"),
        ("/studies/1/series/2/instances/3", "GET, HEAD, OPTIONS"),
        ("/commitment-requests", "OPTIONS"),
        ("/commitment-requests/1", "GET, HEAD, OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_allow(path: str, allow: str) -> None:
    found = match(path)
    assert found is not None
    assert found.allow == allow
    assert found.route("DELETE") is None
    assert (found.route("HEAD") is not None) == ("HEAD" in allow)


def test_the_asterisk_is_the_server_and_no_path() -> None:
    found = match("*")
    assert found is not None
    assert (found.resource.listed, list(found.resource.methods), found.parameters) == (False, ["OPTIONS"], {})
    assert found.allow == "GET, HEAD, OPTIONS, POST"
    assert match("/*") is None
    assert match("**") is None


@given(st.text(min_size=1, max_size=20).filter(str.isprintable).filter(lambda text: text not in {".", ".."}))
def test_a_url_leads_back_to_its_resource(requester: str) -> None:
    url = url_of("http://box:8080/base/", "/subscribers/{requester}", requester=requester)
    found = match(url.removeprefix("http://box:8080/base"))
    assert found is not None
    assert found.parameters == {"requester": requester}


@given(st.text() | st.text(alphabet="/%.2eF a", max_size=20).map(lambda text: "/" + text))
def test_any_path_is_answered(path: str) -> None:
    segments = split_path(path)
    if segments is not None:
        assert split_path("/" + "/".join(quote(segment, safe="") for segment in segments)) == segments
    assert match(path) is None or segments is not None or path == "*"


def test_only_health_is_open_to_everybody() -> None:
    assert [route.name for route in ROUTES if not route.roles] == ["health"]
    assert all(route.roles <= set(Role) for route in ROUTES)


def test_every_row_is_its_own() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    assert len({(route.method, route.template) for route in ROUTES}) == len(ROUTES)
    assert all(route.description.endswith(".") for route in ROUTES)


def test_every_resource_answers_options_and_so_does_every_level_above_one_that_is_listed() -> None:
    resources = {resource.template: resource for resource in resources_of(ROUTES)}
    assert {route.template for route in ROUTES} <= resources.keys()
    levels = {"/" + "/".join(route.segments[:depth]) for route in ROUTES if route.listed for depth in range(8)}
    assert levels == {template for template, resource in resources.items() if resource.listed}
    for template, resource in resources.items():
        asked = resource.methods["OPTIONS"]
        assert (asked.name, asked.template) == (RETRIEVE_CAPABILITIES.name, template)
        found = match(template.replace("{", "%7B").replace("}", "%7D"))
        assert found is not None
        assert found.resource == resource


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/", set(Role)),
        ("/studies/1/series", set(Role)),
        ("/healthz", set()),
        ("*", set()),
        ("/admin/status", {Role.MONITOR, Role.ADMIN}),
        ("/admin/instances/1/file", {Role.ADMIN}),
    ],
)
def test_what_is_not_listed_is_asked_about_by_those_who_may_use_it(path: str, roles: set[Role]) -> None:
    found = match(path)
    assert found is not None
    assert found.resource.methods["OPTIONS"].roles == roles


def row(method: str, template: str) -> Route:
    return Route(name=method + template, method=method, template=template, roles=frozenset(Role), description="A row.")


def test_a_fixed_segment_goes_before_a_variable_one() -> None:
    tree = ResourceTree([row("GET", "/a/{x}/c"), row("GET", "/a/b/d"), row("PUT", "/a/{y}/e/{z}")])
    for path, template, parameters in (
        ("/a/b/d", "/a/b/d", {}),
        ("/a/x/c", "/a/{x}/c", {"x": "x"}),
        ("/a/x/e/z", "/a/{y}/e/{z}", {"y": "x", "z": "z"}),
    ):
        found = tree.match(path)
        assert found is not None
        assert (found.resource.template, found.parameters) == (template, parameters)
    assert tree.match("/a/b/c") is None
    assert tree.match("/a/x/d") is None
