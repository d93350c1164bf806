"""The API's own description says what the declarations say."""

import re
from typing import Any

from trunkline.api.openapi import describe
from trunkline.api.resources import RESOURCES

DOCUMENT = describe(RESOURCES)
MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_route_is_described_once() -> None:
    """Nothing is hidden, and no operation shares its name with another."""
    routes = [route for resource in RESOURCES for route in resource.routes()]
    assert len(operations()) == len(routes)
    assert len({operation["operationId"] for _, _, operation in operations()}) == len(routes)


def test_every_operation_says_what_it_does() -> None:
    """The function that does it has a sentence for it."""
    assert [op["operationId"] for _, _, op in operations() if not op["summary"].endswith(".")] == []


def test_path_parameters_are_those_of_the_path() -> None:
    """A client can fill in every address."""
    for path, _, operation in operations():
        described = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert described == set(re.findall(r"\{(\w+)\}", path))


def test_every_reference_leads_somewhere() -> None:
    """All of them name a schema of the document."""
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) == schemas


def test_a_message_is_described_as_it_is_sent() -> None:
    """Names of the wire, repeated parameters as lists, nullable fields as such."""
    create = DOCUMENT["paths"][MESSAGES]["post"]
    form = create["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert form["properties"]["MediaUrl"]["type"] == "array"
    assert form["properties"]["SendAsMms"]["description"].startswith("Refused: ")
    assert "required" not in form
    view = DOCUMENT["components"]["schemas"]["MessageView"]
    assert view["properties"]["from"]["type"] == ["string", "null"]
    assert set(view["required"]) == set(view["properties"])
    assert view["properties"]["date_sent"]["format"] == "date-time-rfc-2822"
    listed = DOCUMENT["paths"][MESSAGES]["get"]["responses"]["200"]["content"]["application/json"]
    assert {"messages", "next_page_uri", "page_size"} < set(listed["schema"]["required"])
    filters = [p["name"] for p in DOCUMENT["paths"][MESSAGES]["get"]["parameters"]]
    assert {"DateSent<", "DateSent>", "PageSize", "PageToken"} < set(filters)
