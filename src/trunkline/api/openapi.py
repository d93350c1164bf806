"""The API's own description, OpenAPI 3.1, made from the declarations."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from trunkline.api.answers import Answer, json_answer
from trunkline.api.fields import Field
from trunkline.api.paging import PAGE_NUMBER_DIGITS_MAX, TOKEN_PATTERN
from trunkline.api.resource import Resource, Route, Verb
from trunkline.api.wire import Level
from trunkline.flows.idempotency import HEADER, KEY_PATTERN
from trunkline.store.paging import PAGE_SIZE, PAGE_SIZE_MAX

OPENAPI_PATH = "/openapi.json"

_FORM = "application/x-www-form-urlencoded"
_URI = {"type": "string"}
_VARIABLE = re.compile(r"\{(\w+)\}")
_PAGE_SIZE = {"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "default": PAGE_SIZE}
_PAGE_NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**PAGE_NUMBER_DIGITS_MAX - 1}
_PAGING = (
    ("PageSize", _PAGE_SIZE),
    ("Page", {**_PAGE_NUMBER, "description": "Counts pages; without a PageToken it is 0."}),
    ("PageToken", {"type": "string", "pattern": TOKEN_PATTERN}),
)
_ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["code", "message", "more_info", "status"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "more_info": {"type": "string", "format": "uri"},
        "status": {"type": "integer"},
    },
}


@cache
def openapi_document(resources: tuple[Resource, ...]) -> Answer:
    """Return the description as an answer that is ready to be sent."""
    return json_answer(describe(resources))


def describe(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the description of a set of resources."""
    routes = [route for resource in resources for route in resource.routes()]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        suffix = "" if route.verb is Verb.DOWNLOAD else route.resource.dialect.suffix
        paths.setdefault(route.path + suffix, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": "2010-04-01",
            "summary": "Twilio's messaging API, self-hosted",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"account": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"account": {"type": "http", "scheme": "basic"}},
            "schemas": {"Error": dict(_ERROR), **_schemas(routes)},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.resource.name],
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.method in ("POST", "PATCH") and route.inputs:
        content = {_FORM: {"schema": _form(route.inputs.fields)}}
        operation["requestBody"] = {"content": content}
    return operation


def _operation_id(route: Route) -> str:
    words: list[str] = re.findall(r"\w+", f"{route.verb} {route.resource.name}")
    return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:])


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _VARIABLE.findall(route.path)
    ]
    if route.method in ("GET", "DELETE") and route.inputs:
        found += [
            {"name": f.wire, "in": "query", "schema": _schema(f), "required": f.required}
            for f in route.inputs.fields
        ]
    if route.op.takes_key:
        schema = {"type": "string", "pattern": KEY_PATTERN}
        found.append({"name": HEADER, "in": "header", "schema": schema})
    if route.verb is Verb.PAGE and not route.op.unpaged:
        found += [{"name": name, "in": "query", "schema": s} for name, s in _PAGING]
    return found


def _responses(route: Route) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done"}
    if route.verb is Verb.DOWNLOAD:
        location = {"description": "Where the bytes are", "schema": _URI}
        success["headers"] = {"Location": location}
    if content := _content(route):
        success["content"] = content
    error = {"$ref": "#/components/schemas/Error"}
    failure = {"description": "An error", "content": {"application/json": {"schema": error}}}
    return {str(route.status): success, "default": failure}


def _content(route: Route) -> dict[str, Any] | None:
    if route.verb in (Verb.DELETE, Verb.DOWNLOAD):
        return None
    view: dict[str, Any] = {"$ref": f"#/components/schemas/{route.view_type.__name__}"}
    if route.verb is Verb.PAGE:
        around = {"uri": _URI} if route.op.unpaged else route.resource.dialect.envelope_fields
        view = _closed({route.resource.list_key: {"type": "array", "items": view}, **around})
    return {"application/json": {"schema": view}}


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    views = {r.view_type.__name__: r for r in routes if r.verb not in (Verb.DELETE, Verb.DOWNLOAD)}
    return {name: _view(route) for name, route in sorted(views.items())}


def _view(route: Route) -> dict[str, Any]:
    """Describe what is sent: always every field, and times as the dialect writes them."""
    schemas = {field.wire: _schema(field) for field in route.outputs.fields}
    for schema in schemas.values():
        if schema.get("format") == "date-time":
            schema["format"] = route.resource.dialect.time_format
    return _closed(schemas)


def _closed(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an object that has these members and no others."""
    return {
        "type": "object",
        "properties": dict(schemas),
        "required": list(schemas),
        "additionalProperties": False,
    }


def _form(fields: Sequence[Field]) -> dict[str, Any]:
    """Describe what may be sent to us; an empty text is no value of a parameter that must be."""
    schema: dict[str, Any] = {"type": "object", "properties": {f.wire: _schema(f) for f in fields}}
    if required := [field.wire for field in fields if field.required]:
        schema["required"] = required
        for name in required:
            schema["properties"][name]["minLength"] = 1
    return schema


def _schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = dict(field.kind.schema)
    if field.many:
        schema = {"type": "array", "items": schema}
    if field.nullable and not field.many:
        schema["type"] = [schema["type"], "null"]
    if field.support.level is not Level.FULL:
        schema["description"] = f"{field.support.level.capitalize()}: {field.support.reason}."
    return schema
