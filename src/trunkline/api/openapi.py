"""The API's own description, OpenAPI 3.1, made from the declarations."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from trunkline.api.answers import Answer, json_answer
from trunkline.api.fields import Field
from trunkline.api.resource import Resource, Route, Verb
from trunkline.api.wire import Level

OPENAPI_PATH = "/openapi.json"

_FORM = "application/x-www-form-urlencoded"
_VARIABLE = re.compile(r"\{(\w+)\}")
_PAGING = (
    ("PageSize", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
    ("Page", {"type": "integer", "minimum": 0}),
    ("PageToken", {"type": "string"}),
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
    if route.method == "POST" and route.inputs:
        schema = _object(
            route.inputs.fields, required=[f for f in route.inputs.fields if f.required]
        )
        operation["requestBody"] = {"content": {_FORM: {"schema": schema}}}
    return operation


def _operation_id(route: Route) -> str:
    words: list[str] = re.findall(r"\w+", f"{route.verb} {route.resource.name}")
    return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:])


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _VARIABLE.findall(route.path)
    ]
    if route.method == "GET" and route.inputs:
        found += [
            {"name": f.wire, "in": "query", "schema": _schema(f), "required": f.required}
            for f in route.inputs.fields
        ]
    if route.verb is Verb.PAGE and not route.op.unpaged:
        found += [{"name": name, "in": "query", "schema": s} for name, s in _PAGING]
    return found


def _responses(route: Route) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done"}
    if content := _content(route):
        success["content"] = content
    error = {"$ref": "#/components/schemas/Error"}
    failure = {"description": "An error", "content": {"application/json": {"schema": error}}}
    return {str(route.status): success, "default": failure}


def _content(route: Route) -> dict[str, Any] | None:
    if route.verb is Verb.DELETE:
        return None
    if route.verb is Verb.DOWNLOAD:
        return {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    view: dict[str, Any] = {"$ref": f"#/components/schemas/{route.view_type.__name__}"}
    if route.verb is Verb.PAGE:
        rows = {route.resource.list_key: {"type": "array", "items": view}}
        view = {"type": "object", "properties": rows}
    return {"application/json": {"schema": view}}


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    views = {r.view_type.__name__: r for r in routes if r.verb not in (Verb.DELETE, Verb.DOWNLOAD)}
    return {
        name: _object(route.outputs.fields, required=route.outputs.fields)
        for name, route in sorted(views.items())
    }


def _object(fields: Iterable[Field], *, required: Iterable[Field]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {f.wire: _schema(f) for f in fields}}
    if names := [field.wire for field in required]:
        schema["required"] = names
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
