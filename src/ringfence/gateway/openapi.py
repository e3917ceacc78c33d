"""GET /v1/openapi.json: the routes of the gateway that are asked with a key, described for clients and for checks.

It is made of the routes themselves. Of a body it says what is checked before a model is asked; a status that is not
listed is a fault of ours, 500 among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ringfence import __version__
from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK, Desk, Foreign

PATHS = ("/v1/openapi.json", "/openapi.json")
SHOWN = ("/v1/", "/api/")
"""Beginnings of the paths that are described; the others are the same without the version."""
STATUSES: Mapping[int, str] = {
    400: "The request is wrong, or cannot be served as it is; `param` and `code` say what.",
    401: "No key, or none that is known.",
    403: "The key, its profile or its boundary does not allow it.",
    404: "There is no such model or path.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    429: "The key has used up its limit; `retry-after` says how long.",
    502: "The engine failed.",
    503: "Nothing can serve this now; `retry-after` says how long.",
    504: "The engine did not answer in time.",
    529: "As 503, for clients of Anthropic.",
}
LOOKED_AT = (400, 401, 403, 404)
"""Statuses of what asks no model, besides 200."""
STORED = (*LOOKED_AT, 503)
"""Of what lies on disk."""
SENT = (*STORED, 408, 413)
"""Of what is sent to be put there."""
OPEN_PATHS = {"/v1/health": "The gateway runs."}
"""Answered without a key."""
MESSAGES = {"type": "array", "minItems": 1, "items": {"type": "object"}}
TEXT = {"type": "string", "minLength": 1}
FILE = {"type": "string", "format": "binary", "minLength": 1}
JSON, FORM = "application/json", "multipart/form-data"
TEXTS = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
TOLD_BY = {
    Ability.CHAT: ("messages", MESSAGES), Ability.COMPLETIONS: ("prompt", TEXTS), Ability.EMBEDDINGS: ("input", TEXTS),
    Ability.SPEECH: ("input", TEXT), Ability.IMAGES: ("prompt", TEXT), Ability.TRANSCRIPTION: ("file", FILE),
    Ability.TRANSLATION: ("file", FILE),
}  # fmt: skip
"""By ability: the field that holds the text, as far as dialects of that ability share it."""


class OpenApi(Desk):
    """Describes what the site has when it is asked."""

    def __init__(self, routes: Mapping[str, Dialect | Foreign], desks: list[Desk]) -> None:
        """Both may grow later."""
        self._routes = routes
        self._desks = desks

    def methods(self, path: str) -> tuple[bytes, ...]:
        return LOOK if path in PATHS else ()

    def serve(self, request: Request) -> None:
        request.answer(200, JSON_HEAD, orjson.dumps(described(self._routes, [*self._desks, self])))

    def described(self) -> Mapping[str, Any]:
        found = {PATHS[0]: {"get": operation("This description.", answers(LOOKED_AT))}}
        return found | {
            path: {"get": operation(text, answers(())) | {"security": []}} for path, text in OPEN_PATHS.items()
        }


def described(routes: Mapping[str, Dialect | Foreign], desks: Iterable[Desk]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {path: {"post": _asked(route)} for path, route in routes.items() if path.startswith(SHOWN)}
    for desk in desks:
        paths |= desk.described()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringfence", "version": __version__},
        "security": [{"key": []}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _asked(route: Dialect | Foreign) -> dict[str, Any]:
    """Of a path at which a model is asked."""
    passed = None if isinstance(route, Foreign) else route.passed
    kind = FORM if passed is not None and passed.is_form else JSON
    return operation(f"Ask a model, in the dialect '{route.name}'.", answers(STATUSES), asked_body(route), kind)


def operation(
    summary: str, responses: Mapping[str, Any], body: Mapping[str, Any] | None = None, kind: str = JSON
) -> dict[str, Any]:
    """One method of a path."""
    told: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        told["requestBody"] = {"required": True, "content": {kind: {"schema": body}}}
    return told


def in_path(name: str) -> dict[str, Any]:
    """A part of the path that is named in braces."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def in_query(name: str, kind: str = "string") -> dict[str, Any]:
    """What may stand behind the path."""
    return {"name": name, "in": "query", "schema": {"type": kind}}


def answers(statuses: Iterable[int], *more: int, well: bool = True) -> dict[str, Any]:
    """200, and these; without 200 where there is nothing that goes `well`."""
    found = {"200": {"description": "As asked."}} if well else {}
    return found | {str(one): {"description": STATUSES.get(one, "See docs/errors.md.")} for one in (*statuses, *more)}


def asked_body(route: Dialect | Foreign) -> dict[str, Any]:
    """What a request of a dialect is checked for before a model is asked."""
    properties: dict[str, Any] = {"model": {"type": "string", "minLength": 1}}
    needed = ["model"]
    if not isinstance(route, Foreign) and route.ability in TOLD_BY:
        name, schema = TOLD_BY[route.ability]
        properties[name] = schema
        needed.append(name)
    if not isinstance(route, Foreign) and route.generates:
        properties |= {"max_tokens": {"type": "integer", "minimum": 1}, "stream": {"type": "boolean"}}
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": True}
