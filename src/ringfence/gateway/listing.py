"""GET /v1/models: every name that can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ringfence.core.catalog import Catalog, Model
from ringfence.core.errors import ModelNotFound
from ringfence.gateway.openapi import LOOKED_AT, answers, in_path, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK, Desk

PATHS = ("/v1/models", "/models")
BELOW = ("/v1/models/", "/models/")


class Models(Desk):
    """The list, and each row of it by its name."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def methods(self, path: str) -> tuple[bytes, ...]:
        return LOOK if path in PATHS or path.startswith(BELOW) else ()

    def described(self) -> Mapping[str, Any]:
        one = operation("One model.", answers(LOOKED_AT))
        return {
            PATHS[0]: {"get": operation("Every name that can be asked for.", answers(LOOKED_AT))},
            f"{BELOW[0]}{{model}}": {"get": one, "parameters": [in_path("model")]},
        }

    def serve(self, request: Request) -> None:
        settings, is_anthropic = self._pipeline.settings, request.head.header(b"anthropic-version") is not None
        name = request.path.partition("/models")[2].strip("/")
        if not name:
            rows = list_models(settings.catalog, settings.offered)
            shown: dict[str, Any] = {"object": "list", "data": rows}
            if is_anthropic:
                ends = {f"{end}_id": rows[place]["id"] if rows else None for end, place in (("first", 0), ("last", -1))}
                shown = {"data": [_to_anthropic(row) for row in rows], "has_more": False, **ends}
            request.answer(200, JSON_HEAD, orjson.dumps(shown))
            return
        model = settings.catalog.names.get(name) or settings.offered.get(name)
        if model is None:
            text = f"The model '{name[:128]}' does not exist; GET /v1/models lists those that do."
            request.fail(ModelNotFound(text, param="model"))
        else:
            row = describe(name, model)
            request.answer(200, JSON_HEAD, orjson.dumps(_to_anthropic(row) if is_anthropic else row))


def list_models(catalog: Catalog, offered: Mapping[str, Model]) -> list[dict[str, Any]]:
    """Every name that can be asked for, aliases and chains too: clients choose from this list."""
    return [describe(name, model) for name, model in (*catalog.names.items(), *offered.items())]


def _to_anthropic(row: dict[str, Any]) -> dict[str, Any]:
    """The same as a client of Anthropic reads it."""
    made = datetime.fromtimestamp(row["created"], UTC).isoformat().replace("+00:00", "Z")
    told = {"type": "model", "display_name": row["id"], "created_at": made, "max_input_tokens": row["context_length"]}
    return {**row, **told, "lifecycle": "active"}


def media_of(model: Model) -> list[str] | None:
    """What one of its targets at least can read beside text; None where that is not known of any."""
    told = [target.takes for target in model.targets if target.takes is not None]
    return sorted({medium.value for takes in told for medium in takes}) if told else None


def describe(name: str, model: Model) -> dict[str, Any]:
    """One row of /v1/models: OpenAI's fields, and what clients of other engines look for."""
    abilities = sorted({ability.value for target in model.targets for ability in target.abilities})
    row: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": model.created_s,
        "owned_by": model.owner,
        "context_length": model.window,
        "max_model_len": model.window,
        "abilities": abilities,
        "media": media_of(model),
        "boundary": max(target.boundary for target in model.targets).name if model.targets else None,
    }
    if name != model.name:
        row["root"] = model.name
    return row
