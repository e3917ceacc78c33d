"""What the engines that speak OpenAI's dialect have in common: lists of models, and error answers as our errors.

An adapter hands in the patterns of its own overflow messages; nothing here knows an engine by name. The text of an
engine's error may quote the prompt: it goes to the caller inside a Failure and must not be logged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineRefused,
    Failure,
    ModelNotFound,
    Overloaded,
)
from ringfence.core.ports import Fetched

MAX_MESSAGE_CHARS = 4000
MOST_PROMPTS = 8
"""That are counted for one request: each is a question of its own."""
TEXT_PARTS = frozenset(("text", "input_text", "output_text", "refusal", "thinking"))
IN_PLACE_OF_MEDIA = {"type": "text", "text": "[media]"}
"""Has as many tokens as the mark that a template puts there, or more."""
MAX_WRAPPINGS = 4
MOST_DIGITS = 12
"""Of a count of tokens, with commas; more of them are none."""
WRAPPED_WITHIN = 8
"""Characters before another's JSON in a message, such as '400: '. What comes later may be quoted from a request."""

REACHES_ELSEWHERE = frozenset(
    (
        "api_base",
        "api_key",
        "base_url",
        "callback_url",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "lora_path",
        "mcp_servers",
        "plugins",
        "prompt_embeds",
        "web_search_options",
        "webhook_url",
    )
)
"""Body fields that some engine or proxy takes as another host, a file to read, or bytes to unpickle."""

OVERFLOW_CODES = frozenset(("context_length_exceeded", "exceed_context_size_error"))


@dataclass(frozen=True, slots=True)
class EngineError:
    """An error answer, read. The numbers are tokens; None where it did not tell."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    prompt_tokens: int | None = None
    window: int | None = None
    is_quoted: bool = False
    """It was found inside a longer text, which a caller may have written: good for words, not to be learned from."""


def entries(body: Any, key: str = "data") -> list[dict[str, Any]] | None:
    """The objects under `key` of a list answer; None when it is not one."""
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, list):
        return None
    return [entry for entry in found if isinstance(entry, dict)]


def name_of(entry: dict[str, Any], key: str = "id") -> str | None:
    """A usable model name, or None."""
    name = entry.get(key)
    return name if isinstance(name, str) and name else None


def positive(value: Any) -> int | None:
    """`value` when it is a whole number above zero, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def counted(answer: Fetched, field: str) -> int | None:
    """The number of tokens that an answer names in `field`."""
    return positive(answer.body.get(field)) if answer.status == 200 and isinstance(answer.body, dict) else None


def without_media(body: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """`body` with a word in place of what is more than text, and the parts that are gone. Counters of engines count the
    place of an image, not the image."""
    messages = body.get("messages")
    gone: list[Any] = []
    bare: list[Any] = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else ()
        media = [part for part in parts if not _is_text(part)]
        gone += media
        texts = [part if _is_text(part) else IN_PLACE_OF_MEDIA for part in parts]
        bare.append({**message, "content": texts} if media else message)
    return ({**body, "messages": bare}, gone) if gone else (body, gone)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in TEXT_PARTS


def prompts_of(ability: Ability, body: dict[str, Any]) -> Any:
    """What `longest` takes, of all but chats: each document that is ranked stands behind the query."""
    if ability is not Ability.RERANK:
        return body.get("input" if ability is Ability.EMBEDDINGS else "prompt")
    documents = [one.get("text") if isinstance(one, dict) else one for one in body.get("documents") or ()]
    return [f"{body.get('query')}\n{text}" for text in documents]


async def longest(prompts: Any, count: Callable[[str], Awaitable[int | None]]) -> int | None:
    """Tokens of the longest prompt of `prompt` or `input`: each has the window for itself. What is given as tokens is
    counted here."""
    listed = prompts if isinstance(prompts, list) else [prompts]
    if listed and all(type(entry) is int for entry in listed):
        return len(listed)
    most = 0
    for prompt in listed if len(listed) <= MOST_PROMPTS else ():
        tokens = await count(prompt) if isinstance(prompt, str) else len(prompt) if isinstance(prompt, list) else None
        if tokens is None:
            return None
        most = max(most, tokens)
    return most or None


def read_error(body: Any) -> EngineError:
    """Any of the shapes in use: {"error": {...}}, {"error": "text"}, {"message": ...}, {"detail": ...}, text."""
    return _read(body, MAX_WRAPPINGS)


def _read(body: Any, wrappings: int) -> EngineError:
    if isinstance(body, dict):
        inner = body.get("error") or body.get("detail")
        return _within(body, _read(inner, wrappings)) if inner else _unwrapped(_fields(body), wrappings)
    if isinstance(body, list) and body:
        return _read(body[0], wrappings)
    return _unwrapped(EngineError(body), wrappings) if isinstance(body, str) else EngineError("")


def _fields(body: dict[str, Any]) -> EngineError:
    return EngineError(
        message=_text(body.get("message") or body.get("msg")) or "",
        type=_text(body.get("type")),
        code=_text(body.get("code")),
        param=_text(body.get("param")),
        prompt_tokens=positive(body.get("n_prompt_tokens")),
        window=positive(body.get("n_ctx")),
    )


def _within(outer: dict[str, Any], inner: EngineError) -> EngineError:
    """Some put code and type beside the error instead of into it."""
    return replace(inner, code=inner.code or _text(outer.get("code")), type=inner.type or _text(outer.get("type")))


def _unwrapped(error: EngineError, wrappings: int) -> EngineError:
    """An engine that runs another inside puts the other's JSON into its own message, as text."""
    start = error.message.find("{")
    if start < 0 or wrappings == 0:
        return replace(error, message=error.message[:MAX_MESSAGE_CHARS])
    try:
        inner, _end = json.JSONDecoder().raw_decode(error.message[start:])
    except (ValueError, RecursionError):
        return replace(error, message=error.message[:MAX_MESSAGE_CHARS])
    read = _read(inner, wrappings - 1) if isinstance(inner, dict) and inner.keys() & {"error", "message"} else None
    if read is None or not read.message:
        return replace(error, message=error.message[:MAX_MESSAGE_CHARS])
    return replace(read, is_quoted=read.is_quoted or start > WRAPPED_WITHIN)


def failure(status: int, body: Any, overflows: tuple[re.Pattern[str], ...]) -> Failure:
    """An error answer as one of ours. `overflows` find a prompt that is too long, with groups tokens (floor: at least
    so many) and window, or limit for a bound of the engine that is not the model's window."""
    error = read_error(body)
    if status in (401, 403):
        return EngineFailed("The engine refused the key that the gateway has for it.")
    if status in (429, 503, 529):  # 529: as Anthropic's API, and what is built like it
        return Overloaded("The engine is busy; try again shortly.", retry_after_s=1.0)
    return _overflow(status, error, overflows) or _refusal(status, error) or _breakdown(status, error)


def takes_none(said: str) -> Failure:
    """Of a model that was sent what it cannot read, in the words of its engine."""
    return EngineRefused(400, said, code="media_not_supported", param="messages")


def _refusal(status: int, error: EngineError) -> Failure | None:
    if status == 404 and _is_about_a_model(error):
        return ModelNotFound(error.message or "The engine does not know this model.", param="model")
    if status == 501:
        return EngineRefused(400, error.message or "The engine does not support this.", code="not_supported")
    if 400 <= status < 500:
        message = error.message or f"The engine refused the request with status {status}."
        status = 400 if status == 422 else status  # what FastAPI says of a wrong body; OpenAI's word for it is 400
        return EngineRefused(status, message, code=_worded(error.code), param=error.param)
    return None


def _breakdown(status: int, error: EngineError) -> Failure:
    said = f" It said: {error.message}" if error.message else ""
    return EngineFailed(f"The engine failed with status {status}.{said}")


def _overflow(status: int, error: EngineError, overflows: tuple[re.Pattern[str], ...]) -> ContextLengthExceeded | None:
    if not 400 <= status <= 599:
        return None
    for pattern in overflows:
        found = pattern.search(error.message)
        if found:
            told = found.groupdict()
            named = error.window or _number(told.get("window"))
            is_sure = not error.is_quoted and (error.window is not None or found.start() == 0)
            return ContextLengthExceeded(
                named or _number(told.get("limit")), error.prompt_tokens or _number(told.get("tokens")),
                is_floor=bool(told.get("floor")), said=error.message, told_window=named if is_sure else None,
            )  # fmt: skip
    if error.code in OVERFLOW_CODES or error.type in OVERFLOW_CODES:
        told_window = None if error.is_quoted else error.window
        return ContextLengthExceeded(error.window, error.prompt_tokens, said=error.message, told_window=told_window)
    return None


def _is_about_a_model(error: EngineError) -> bool:
    return error.code == "model_not_found" or error.param == "model" or "model" in error.message.lower()


def _number(text: str | None) -> int | None:
    """Tokens; 0 is no number of them that anything could come of."""
    return int(text.replace(",", "")) or None if text and len(text) <= MOST_DIGITS else None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _worded(code: str | None) -> str | None:
    """Codes are words for OpenAI's clients; engines also put the status there."""
    return None if code is None or code.isdigit() else code
