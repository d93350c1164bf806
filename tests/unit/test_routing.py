"""From hosts and paths to routes, and what the declarations must not leave open."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from trunkline.api.resource import V2010, Call, Op, Resource, v1
from trunkline.api.resources import RESOURCES
from trunkline.api.routing import Match, Router

AC = "AC" + "0" * 32
ROOT = f"/2010-04-01/Accounts/{AC}"
ROUTER = Router(RESOURCES)


@dataclass(frozen=True)
class View:
    sid: str


def view(call: Call, thing: Any) -> View:
    return View(thing)


async def run(call: Call) -> str:
    """Do it."""
    return ""


def find(method: str, path: str, host: str = "127.0.0.1:8000") -> Match:
    match = ROUTER.find(method, path, host=host)
    assert match is not None
    return match


def named(match: Match | None) -> tuple[str, str]:
    assert match is not None
    assert match.route is not None
    return match.route.resource.name, match.route.verb.value


@pytest.mark.parametrize(
    ("method", "path", "name", "verb"),
    [
        ("POST", "/2010-04-01/Accounts.json", "account", "create"),
        ("GET", f"{ROOT}.json", "account", "fetch"),
        ("POST", f"{ROOT}/Messages.json", "message", "create"),
        ("POST", f"{ROOT}/Messages", "message", "create"),
        ("HEAD", f"{ROOT}/Messages.json", "message", "page"),
        ("POST", f"{ROOT}/Messages/SM1.json", "message", "update"),
        ("GET", f"{ROOT}/Messages/SM1/Media.json", "media", "page"),
        ("GET", f"{ROOT}/Messages/SM1/Media/ME1.json", "media", "fetch"),
        ("GET", f"{ROOT}/Messages/SM1/Media/ME1", "media", "download"),
        ("DELETE", f"{ROOT}/Messages/SM1/Media/ME1", "media", "delete"),
        ("GET", f"{ROOT}/IncomingPhoneNumbers/Local.json", "incoming phone number (Local)", "page"),
        ("GET", f"{ROOT}/IncomingPhoneNumbers/PN1.json", "incoming phone number", "fetch"),
        ("GET", f"{ROOT}/Balance.json", "balance", "fetch"),
    ],
)
def test_a_path_leads_to_its_operation(method: str, path: str, name: str, verb: str) -> None:
    """With and without .json."""
    assert named(find(method, path)) == (name, verb)


def test_the_values_of_a_path_are_decoded() -> None:
    """A plus stays a plus, and an encoded slash separates nothing."""
    path = find("GET", f"{ROOT}/Messages/+1%2B2%2F3%C3%A9%ff.json").path
    assert path == {"AccountSid": AC, "Sid": "+1+2/3é\ufffd"}


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/api", "/api/", "*", "//", "/2010-04-01", "/2010-04-01/Calls.json"),
        *(f"{ROOT}/Messages.csv", f"{ROOT}/Messages/SM1/Nothing.json", f"{ROOT}/messages.json"),
        *(f"{ROOT}/Messages/SM%00.json", f"{ROOT}/Balance/1.json", "/v1/Nothing"),
    ],
)
def test_other_paths_lead_nowhere(path: str) -> None:
    """Not even those that nearly do."""
    assert ROUTER.find("GET", path, host="localhost") is None


def test_a_known_path_tells_its_methods() -> None:
    """So that a wrong one can be answered with what is right."""
    match = find("PUT", f"{ROOT}/Messages/SM1.json")
    assert match.route is None
    assert match.methods == ("DELETE", "GET", "POST")


@pytest.mark.parametrize(
    "host", ["api.twilio.com", "messaging.example.com", "localhost", "messaging:8000", ""]
)
def test_the_2010_api_answers_on_every_host(host: str) -> None:
    """No other product has such paths."""
    assert named(find("GET", f"{ROOT}.json", host)) == ("account", "fetch")
    match = find("GET", f"/api{ROOT}.json", host)
    assert (named(match), match.prefix) == (("account", "fetch"), "/api")


def services(product: str) -> Resource:
    return Resource(
        name=product, path="/Services", dialect=v1(product), view=view, fetch=Op(run=run)
    )


@pytest.mark.parametrize(
    ("host", "path", "product"),
    [
        ("messaging.example.com", "/v1/Services/1", "messaging"),
        ("Verify.localhost:8000", "/v1/Services/1", "verify"),
        ("localhost", "/verify/v1/Services/1", "verify"),
        ("messaging.example.com", "/verify/v1/Services/1", "verify"),
        ("example.com", "/v1/Services/1", "messaging"),
        ("verify:8000", "/v1/Services/1", "messaging"),
    ],
)
def test_host_or_prefix_name_the_product(host: str, path: str, product: str) -> None:
    """Two products may have one path; without a name the first declared answers."""
    router = Router([services("messaging"), services("verify")])
    assert named(router.find("GET", path, host=host)) == (product, "fetch")


def test_a_product_that_is_not_there_is_not_answered_by_another() -> None:
    """A wrong answer is worse than none."""
    router = Router([services("messaging")])
    assert router.find("GET", "/v1/Services/1", host="verify.example.com") is None
    assert router.find("GET", "/verify/v1/Services/1", host="localhost") is None


def test_two_operations_on_one_path_are_a_mistake() -> None:
    """It shows when the program starts."""
    twin = Resource(name="twin", path="/A", dialect=V2010, one="", view=view, fetch=Op(run=run))
    with pytest.raises(AssertionError, match="declared twice"):
        Router([twin, replace(twin, name="other")])
