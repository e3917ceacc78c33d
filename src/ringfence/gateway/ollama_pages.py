"""What Ollama's clients ask beside answers: which models there are, what they are, and which are loaded.

The names are those of /v1/models. Whatever would change which models there are is refused: that is configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

import orjson

from ringfence.core.catalog import Ability, Medium, Model, Target
from ringfence.core.errors import BadRequest, Failure, Forbidden, ModelNotFound
from ringfence.gateway.dialects.ollama_told import SECOND_NS, InOllama, rfc3339
from ringfence.gateway.openapi import LOOKED_AT, SENT, answers, in_path, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK, Desk

VERSION = "0.13.0"
"""The version of Ollama whose routes are spoken here: clients ask for it to know what they may say."""
NEVER = "9999-12-31T23:59:59Z"
"""No clock unloads a model here."""
LISTS = frozenset(("/api/tags", "/api/ps", "/api/version", "/api/status"))
SHOW = "/api/show"
CHANGES: dict[str, bytes] = {
    "/api/pull": b"POST", "/api/push": b"POST", "/api/create": b"POST", "/api/copy": b"POST", "/api/delete": b"DELETE",
}  # fmt: skip
BLOBS = "/api/blobs/"
CONFIGURED = "Refused: which models there are is configured."
FORMATS = {"llamacpp": "gguf", "ollama": "gguf", "vllm": "safetensors"}
GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
Row = dict[str, Any]


class OllamaPages(InOllama, Desk):
    """Lists, and one model by its name."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def methods(self, path: str) -> tuple[bytes, ...]:
        if path in LISTS:
            return LOOK
        if path == SHOW:
            return (b"POST",)
        if path.startswith(BLOBS):
            return (b"HEAD", b"POST")
        return (CHANGES[path],) if path in CHANGES else ()

    def described(self) -> Mapping[str, Any]:
        body = {"type": "object", "properties": {"model": {"type": "string", "minLength": 1}}, "required": ["model"]}
        refused = answers((401, 403, 408, 413, 503), well=False)
        found: Row = {
            path: {"get": operation(f"As Ollama answers {path}.", answers(LOOKED_AT))} for path in sorted(LISTS)
        }
        found[SHOW] = {"post": operation("What is known of a model.", answers(SENT), body)}
        found |= {path: {method.decode().lower(): operation(CONFIGURED, refused)} for path, method in CHANGES.items()}
        blob: Row = {method: operation(CONFIGURED, refused) for method in ("head", "post")}
        return found | {f"{BLOBS}{{digest}}": blob | {"parameters": [in_path("digest")]}}

    def serve(self, request: Request) -> None:
        try:
            told = self._told(request)
        except Failure as failure:
            request.fail(failure)
        else:
            request.answer(200, JSON_HEAD, orjson.dumps(told))

    def _told(self, request: Request) -> Row:
        path, names = request.path, self._names()
        if path == "/api/version":
            return {"version": VERSION}
        if path == "/api/status":
            is_away = any(target.provider for model in names.values() for target in model.targets)
            return {"cloud": {"disabled": not is_away, "source": "config"}}
        if path == "/api/tags":
            return {"models": [listed(name, model) for name, model in names.items()]}
        if path == "/api/ps":
            models = self._pipeline.settings.catalog.models
            return {"models": [running(name, model) for name, model in models.items() if self._is_loaded(model)]}
        if path != SHOW:
            raise Forbidden(
                f"{path[:200]} is not offered: which models there are is configured on this gateway, under 'models'.",
                code="models_are_configured",
            )
        name = named(request.body)
        model = names.get(self._pipeline.settings.called(name))
        if model is None:
            raise ModelNotFound(f"model '{name[:128]}' not found; GET /api/tags lists those that are.", param="model")
        return shown(name, model)

    def _names(self) -> dict[str, Model]:
        settings = self._pipeline.settings
        return {**settings.catalog.names, **settings.offered}

    def _is_loaded(self, model: Model) -> bool:
        placement = self._pipeline.placement
        return any(not target.provider and placement.is_here(target) for target in model.targets)


def named(body: bytes | bytearray) -> str:
    """The model that a body names, by the name of today or the older one."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    fields: Row = cast(Row, told) if isinstance(told, dict) else {}
    name = fields.get("model") or fields.get("name")
    if not isinstance(name, str):
        raise BadRequest("'model' must name a model; GET /api/tags lists them.", param="model", code="invalid_type")
    return name


def listed(name: str, model: Model) -> Row:
    """One row of /api/tags. A rented model is told as Ollama tells one of its own cloud."""
    return {
        "name": name, "model": name, "modified_at": modified_at(model), "size": 0, "digest": digest(name, model),
        "details": details(model), "capabilities": capabilities(model), **_remote(model),
    }  # fmt: skip


def running(name: str, model: Model) -> Row:
    """One row of /api/ps. What it takes of memory is in the console and in /metrics."""
    return {
        "name": name, "model": name, "size": 0, "digest": digest(name, model), "details": details(model),
        "expires_at": NEVER, "size_vram": 0, "context_length": model.window or 0,
    }  # fmt: skip


def shown(name: str, model: Model) -> Row:
    """The answer of /api/show."""
    family = details(model)["family"] or "unknown"
    facts: Row = {"general.architecture": family, "general.basename": model.name}
    parameters = ""
    if model.window:
        facts[f"{family}.context_length"] = model.window
        parameters = f"num_ctx                        {model.window}"
    return {
        "modelfile": f"# {name} is configured on this gateway\nFROM {model.name}\n", "parameters": parameters,
        "template": "", "details": details(model), "model_info": facts, "capabilities": capabilities(model),
        "modified_at": modified_at(model), **_remote(model),
    }  # fmt: skip


def details(model: Model) -> Row:
    """Of the first of its targets; empty where that is not known."""
    known = [(one.engine_model, FORMATS.get(one.engine, ""), one.family, one.quantisation) for one in model.targets[:1]]
    parent, form, family, quantisation = known[0] if known else ("", "", "", "")
    return {
        "parent_model": parent, "format": form, "family": family, "families": [family] if family else [],
        "parameter_size": "", "quantization_level": quantisation,
    }  # fmt: skip


def capabilities(model: Model) -> list[str]:
    """What is known of it: whether it thinks is not."""
    abilities = {ability for target in model.targets for ability in target.abilities}
    found = ["completion"] if abilities & GENERATES else []
    found += ["tools"] if Ability.CHAT in abilities else []
    found += ["vision"] if any(map(_sees, model.targets)) else []
    return found + (["embedding"] if Ability.EMBEDDINGS in abilities else [])


def _sees(target: Target) -> bool:
    return Medium.IMAGE in target.takes if target.takes is not None else bool(target.image_tokens)


def digest(name: str, model: Model) -> str:
    """Of its weights, where that is known; else of what is known of it, for clients tell models apart by it."""
    known = next((target.digest for target in model.targets if target.digest), "")
    return known or sha256(" ".join((name, *(target.name for target in model.targets))).encode()).hexdigest()


def modified_at(model: Model) -> str:
    return rfc3339(model.created_s * SECOND_NS)


def _remote(model: Model) -> Row:
    away = next((target for target in model.targets if target.provider), None)
    return {} if away is None else {"remote_model": away.engine_model, "remote_host": away.provider}
