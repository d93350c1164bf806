"""The keystone: our declarations against the official SDK, which is generated from Twilio's own
specification. What it sends we know, what it reads we send, and nothing is invented."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from trunkline.api.fields import fields_of
from trunkline.api.resource import Resource, Route, Verb
from trunkline.api.resources import RESOURCES

ACCOUNT = "twilio.rest.api.v2010.account"
COUNTRY = f"{ACCOUNT}.available_phone_number_country"
NUMBER = f"{ACCOUNT}.incoming_phone_number"
ACCOUNTS_V1 = "twilio.rest.accounts.v1"
IAM_V1 = "twilio.rest.iam.v1"
# By the part of a module's name that says which API it speaks: where that API's paths begin.
ROOTS = {"v2010": "/2010-04-01", "v1": "/v1"}

MESSAGING = "twilio.rest.messaging.v1"
SERVICE = f"{MESSAGING}.service"

# Every resource of ours: the module of the SDK that speaks to it. What a creation answers may have
# a module of its own.
SDK = {
    "account": [ACCOUNT],
    "balance": [f"{ACCOUNT}.balance"],
    "key": [f"{ACCOUNT}.key", f"{ACCOUNT}.new_key"],
    "signing key": [f"{ACCOUNT}.signing_key", f"{ACCOUNT}.new_signing_key"],
    "API key": [f"{IAM_V1}.{name}" for name in ("api_key", "get_api_keys", "new_api_key")],
    "secondary auth token": [f"{ACCOUNTS_V1}.secondary_auth_token"],
    "auth token promotion": [f"{ACCOUNTS_V1}.auth_token_promotion"],
    "outgoing caller id": [f"{ACCOUNT}.outgoing_caller_id", f"{ACCOUNT}.validation_request"],
    "messaging geo permissions": [f"{ACCOUNTS_V1}.messaging_geopermissions"],
    "message": [f"{ACCOUNT}.message"],
    "media": [f"{ACCOUNT}.message.media"],
    "feedback": [f"{ACCOUNT}.message.feedback"],
    "alert": ["twilio.rest.monitor.v1.alert"],
    "available phone number country": [COUNTRY],
    "available phone number (Local)": [f"{COUNTRY}.local"],
    "available phone number (TollFree)": [f"{COUNTRY}.toll_free"],
    "available phone number (Mobile)": [f"{COUNTRY}.mobile"],
    "available phone number (National)": [f"{COUNTRY}.national"],
    "available phone number (SharedCost)": [f"{COUNTRY}.shared_cost"],
    "available phone number (Voip)": [f"{COUNTRY}.voip"],
    "available phone number (MachineToMachine)": [f"{COUNTRY}.machine_to_machine"],
    "incoming phone number": [NUMBER],
    "incoming phone number (Local)": [f"{NUMBER}.local"],
    "incoming phone number (Mobile)": [f"{NUMBER}.mobile"],
    "incoming phone number (TollFree)": [f"{NUMBER}.toll_free"],
    "short code": [f"{ACCOUNT}.short_code"],
    "messaging service": [SERVICE],
    "messaging service use cases": [f"{MESSAGING}.usecase"],
    "messaging service phone number": [f"{SERVICE}.phone_number"],
    "messaging service short code": [f"{SERVICE}.short_code"],
    "messaging service alpha sender": [f"{SERVICE}.alpha_sender"],
    "messaging service destination alpha sender": [f"{SERVICE}.destination_alpha_sender"],
    "messaging service channel sender": [f"{SERVICE}.channel_sender"],
    "consents in bulk": [f"{ACCOUNTS_V1}.bulk_consents"],
    "contacts in bulk": [f"{ACCOUNTS_V1}.bulk_contacts"],
    "safe list number": [f"{ACCOUNTS_V1}.safelist"],
}
# How a field must be written in JSON so that the SDK's own type for it is true. A number with a
# fraction travels as a text.
WRITTEN = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "string"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "Dict[str, object]": {"type": "object"},
}
# Typed as texts in this SDK alone; Java's, Go's and C#'s read objects.
OBJECTS = {"capabilities"}
# Typed as one object by the SDK; in the example of the specification it is a list of them.
LISTS = {"items", "permissions"}
# Ours: the SDK leaves it to its users to fetch bytes.
NOT_IN_THE_SDK = {Verb.DOWNLOAD}
# The SDK asks for pages of lists that have none.
PAGING = {"PageSize", "Page", "PageToken"}


@dataclass
class Facts:
    """What one or more modules of the SDK know of a resource."""

    properties: dict[Verb, set[str]] = field(default_factory=dict)
    parameters: dict[Verb, set[str]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    enums: dict[str, set[str]] = field(default_factory=dict)
    routes: set[tuple[str, str]] = field(default_factory=set)


@cache
def sdk_facts(name: str) -> Facts:
    facts = Facts()
    for module in SDK[name]:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        root = ROOTS[module.split(".")[3]]
        read_module(ast.parse(Path(spec.origin).read_text()), facts, root=root)
    return facts


def read_module(tree: ast.Module, facts: Facts, *, root: str) -> None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    instance = next(c for c in classes if c.name.endswith("Instance"))
    properties = {text for call in calls(instance, "payload.get") for text in first_text(call)}
    facts.types |= dict(typed_properties(instance))
    for owner in classes:
        path = next((t for t in texts(owner) if t.startswith("/")), "")
        for verb, method in operations(owner):
            facts.routes.add((http_method(method), root + path))
            facts.properties[verb] = properties
            facts.parameters[verb] = sent_names(method) - PAGING
    for inner in (node for node in instance.body if isinstance(node, ast.ClassDef)):
        facts.enums[inner.name] = set(texts(inner))


def typed_properties(instance: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield what `self.name: Optional[T] = ...payload.get("wire")...` says: the wire name and T."""
    for node in ast.walk(instance):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            for call in calls(node.value, "payload.get"):
                text = ast.unparse(node.annotation).removeprefix("Optional[").removesuffix("]")
                yield first_text(call)[0], text


def operations(owner: ast.ClassDef) -> Iterator[tuple[Verb, ast.FunctionDef]]:
    """Yield the methods that make a request; the others are twins or fronts of these."""
    names = {f"_{verb}": verb for verb in Verb} | {"page": Verb.PAGE}
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            verb = names[node.name]
            if any(calls(node, "self._version")):
                yield verb, node


def calls(node: ast.AST, name: str) -> Iterator[ast.Call]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and ast.unparse(inner.func).startswith(name):
            yield inner


def first_text(call: ast.Call) -> list[str]:
    return [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def texts(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def http_method(method: ast.FunctionDef) -> str:
    call = next(calls(method, "self._version"))
    return next(str(ast.literal_eval(k.value)) for k in call.keywords if k.arg == "method")


def sent_names(method: ast.FunctionDef) -> set[str]:
    """Return the keys of the dictionaries that are sent; headers are told by their hyphens."""
    keys = [key for d in ast.walk(method) if isinstance(d, ast.Dict) for key in d.keys]
    names = {key.value for key in keys if isinstance(key, ast.Constant)}
    return {name for name in names if isinstance(name, str) and "-" not in name}


def routes_of(resource: Resource) -> list[Route]:
    return [route for route in resource.routes() if route.verb not in NOT_IN_THE_SDK]


ROUTES = [(resource, route) for resource in RESOURCES for route in routes_of(resource)]
each_route = pytest.mark.parametrize(
    ("resource", "route"), ROUTES, ids=[f"{r.name}-{route.verb}" for r, route in ROUTES]
)


def test_every_resource_stands_in_the_table() -> None:
    """A resource that is added is compared."""
    assert [resource.name for resource in RESOURCES] == list(SDK)


def test_the_reading_of_the_sdk_reads_something() -> None:
    """An SDK that is written differently one day must not pass for one that knows nothing."""
    facts = sdk_facts("message")
    assert {"sid", "from", "num_segments"} < facts.properties[Verb.FETCH]
    assert {"To", "MediaUrl", "MessageIntent"} < facts.parameters[Verb.CREATE]
    assert {"DateSent<", "From"} < facts.parameters[Verb.PAGE]
    assert facts.enums["UpdateStatus"] == {"canceled"}
    assert facts.types["error_code"] == "int"
    assert facts.types["subresource_uris"] == "Dict[str, object]"
    assert facts.types["status"] == "'MessageInstance.Status'"
    assert set(facts.parameters) == set(Verb) - NOT_IN_THE_SDK
    assert sdk_facts("secondary auth token").routes == {
        ("POST", "/v1/AuthTokens/Secondary"),
        ("DELETE", "/v1/AuthTokens/Secondary"),
    }


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_operations_and_paths_are_those_of_the_sdk(resource: Resource) -> None:
    """Every operation, at its method and path, and no other."""
    suffix = resource.dialect.suffix
    ours = {(r.method, neutral(r.path) + suffix) for r in routes_of(resource)}
    theirs = {(method, neutral(path)) for method, path in sdk_facts(resource.name).routes}
    assert ours == theirs


def neutral(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@each_route
def test_views_hold_what_the_sdk_reads(resource: Resource, route: Route) -> None:
    """No field is missing, none is invented."""
    if route.verb is Verb.DELETE:
        assert route.status == 204
        return
    fields = {f.wire for f in fields_of(route.view_type, request=False)}
    assert fields == sdk_facts(resource.name).properties[route.verb]


@each_route
def test_fields_are_written_as_the_sdk_reads_them(resource: Resource, route: Route) -> None:
    """Texts, numbers and objects each as such; a word is one of those the SDK knows."""
    if route.verb is Verb.DELETE:
        return
    facts = sdk_facts(resource.name)
    for f in fields_of(route.view_type, request=False):
        hint = facts.types[f.wire]
        hint = f"List[{hint}]" if f.wire in LISTS else hint
        schema = dict(f.kind.schema)
        words = set(schema.pop("enum", ()))
        assert f.many == hint.startswith("List["), f.wire
        hint = hint.removeprefix("List[").removesuffix("]" if f.many else "")
        if f.wire in OBJECTS and not f.many:
            assert schema == {"type": "object"}
        elif "Instance." in hint:
            assert schema == {"type": "string"}
            assert words <= facts.enums[hint.rpartition(".")[2].strip("'")], f.wire
        else:
            assert WRITTEN[hint].items() <= schema.items(), f.wire


@each_route
def test_parameters_are_those_the_sdk_sends(resource: Resource, route: Route) -> None:
    """No parameter is missing, none is invented."""
    declared = {f.wire for f in route.inputs.fields} if route.inputs else set()
    assert declared == sdk_facts(resource.name).parameters[route.verb]


@each_route
def test_words_of_parameters_are_those_of_the_sdk(resource: Resource, route: Route) -> None:
    """Where a parameter takes one of a few words, the SDK has a class of them, if not for all."""
    enums = sdk_facts(resource.name).enums.values()
    methods = {"GET", "POST"}
    for parameter in route.inputs.fields if route.inputs else ():
        words = set(parameter.kind.schema.get("enum", ()))
        assert not words or words == methods or words in enums, parameter.wire
