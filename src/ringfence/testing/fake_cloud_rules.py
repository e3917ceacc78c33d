"""What the real clouds refuse, in their own words: the checks of OpenAI's and of Anthropic's API on a request."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

OPENAI_FIELDS = frozenset((
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n",
    "stop", "tools", "tool_choice", "parallel_tool_calls", "user", "seed", "logprobs", "top_logprobs", "logit_bias",
    "frequency_penalty", "presence_penalty", "response_format", "reasoning_effort", "store", "metadata", "service_tier",
    "verbosity", "prompt_cache_key", "safety_identifier", "modalities",
))  # fmt: skip
OPENAI_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))

ANTHROPIC_FIELDS = frozenset((
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "metadata", "thinking", "output_config", "service_tier", "cache_control",
))  # fmt: skip
ANTHROPIC_VERSIONS = frozenset(("2023-06-01", "2026-10-21"))
SAMPLING = frozenset(("temperature", "top_p", "top_k"))
EFFORTS = frozenset(("low", "medium", "high", "xhigh", "max"))
IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
CALL_ID = re.compile(r"[A-Za-z0-9_-]+")
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Refused(Exception):
    """(status, type, message, code, param) as the cloud would answer."""

    def __init__(
        self, message: str, status: int = 400, type_: str = "invalid_request_error", code: str | None = None,
        param: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message, self.status, self.type, self.code, self.param = message, status, type_, code, param


def words_in(value: Any) -> int:
    """A fake's tokens: the words of every text in a body."""
    return len(json.dumps(value, ensure_ascii=False).split())


# -- OpenAI -------------------------------------------------------------------------------------------------------


def check_openai(body: dict[str, Any], models: frozenset[str], reasoning: frozenset[str], window: int) -> None:
    """Raises Refused for what api.openai.com refuses of a chat completion."""
    for name in sorted(set(body) - OPENAI_FIELDS):
        raise Refused(f"Unrecognized request argument supplied: {name}")
    if not isinstance(body.get("model"), str):
        raise Refused("you must provide a model parameter")
    if body["model"] not in models:
        said = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise Refused(said, 404, code="model_not_found")
    if body["model"] in reasoning and body.get("max_tokens") is not None:
        raise Refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter", param="max_tokens",
        )  # fmt: skip
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    _openai_choice(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    _openai_messages(messages)
    tokens = words_in(messages)
    if tokens > window:
        raise Refused(
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} "
            "tokens. Please reduce the length of the messages.", code="context_length_exceeded", param="messages",
        )  # fmt: skip


def _openai_choice(body: dict[str, Any]) -> None:
    names = {tool.get("function", {}).get("name") for tool in body.get("tools") or ()}
    choice = body.get("tool_choice")
    if choice is not None and not names:
        raise Refused("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        raise Refused("Tool choice 'function' not found in 'tools' parameter.", param="tool_choice")


def _openai_messages(messages: list[Any]) -> None:
    waiting: set[str] = set()
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in OPENAI_ROLES:
            raise Refused(f"Invalid value: '{role}'.", param=f"messages[{place}].role", code="invalid_value")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                said = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise Refused(f"Invalid parameter: {said}", param=f"messages.[{place}].role")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            raise Refused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                f"{', '.join(sorted(waiting))}",
                param=f"messages.[{place}].role",
            )
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
        if message.get("content") is None and not waiting:
            raise Refused(
                "Invalid value for 'content': expected a string, got null.", param=f"messages.[{place}].content"
            )


# -- Anthropic ----------------------------------------------------------------------------------------------------


def check_anthropic(body: dict[str, Any], version: str, models: frozenset[str], window: int, most_output: int) -> None:
    """Raises Refused for what api.anthropic.com refuses of a message. Roles must alternate, as older models demand."""
    for name in ("model", "messages", "max_tokens"):
        if name not in body:
            raise Refused(f"{name}: Field required")
    forbidden = SAMPLING if version == "2026-10-21" else frozenset[str]()
    for name in sorted((set(body) - ANTHROPIC_FIELDS) | (set(body) & forbidden)):
        raise Refused(f"{name}: Extra inputs are not permitted")
    if body["model"] not in models:
        raise Refused(f"model: {body['model']}", 404, "not_found_error")
    _settings(body, most_output)
    _tool_settings(body)
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one message is required")
    _turns(messages)
    tokens = words_in([body.get("system"), messages])
    if tokens > window:
        raise Refused(f"prompt is too long: {tokens} tokens > {window} maximum")


def _settings(body: dict[str, Any], most_output: int) -> None:
    limit = body["max_tokens"]
    if type(limit) is not int or limit < 1:
        raise Refused("max_tokens: Input should be greater than or equal to 1")
    if limit > most_output:
        said = f"which is the maximum allowed number of output tokens for {body['model']}"
        raise Refused(f"max_tokens: {limit} > {most_output}, {said}")
    if not 0 <= body.get("temperature", 1) <= 1:
        raise Refused("temperature: range: 0..1")
    if any(not isinstance(text, str) or not text.strip() for text in body.get("stop_sequences", ())):
        raise Refused("stop_sequences: each stop sequence must contain non-whitespace")
    thinking = body.get("thinking")
    if thinking is not None and thinking.get("type") == "enabled":
        if thinking.get("budget_tokens", 0) < 1024:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if thinking["budget_tokens"] >= limit:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if (effort := (body.get("output_config") or {}).get("effort")) is not None and effort not in EFFORTS:
        raise Refused("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    system = body.get("system")
    if isinstance(system, list):
        _texts("system", system)


def _tool_settings(body: dict[str, Any]) -> None:
    names: set[str] = set()
    for place, tool in enumerate(body.get("tools", ())):
        if not TOOL_NAME.fullmatch(str(tool.get("name", ""))):
            raise Refused(f"tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if (tool.get("input_schema") or {}).get("type") != "object":
            raise Refused(f"tools.{place}.custom.input_schema.type: Field required")
        if tool["name"] in names:
            raise Refused("tools: Tool names must be unique.")
        names.add(tool["name"])
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not names:
        raise Refused("tool_choice: may only be specified while providing tools")
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        raise Refused("tool_choice: Input tag does not match any of the expected tags")
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise Refused(f"Tool '{choice.get('name')}' not found in provided tools")
    if choice["type"] == "none" and "disable_parallel_tool_use" in choice:
        raise Refused("tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted")


def _turns(messages: list[Any]) -> None:
    before, waiting, used = None, list[str](), set[str]()
    for place, message in enumerate(messages):
        role = message.get("role")
        if role not in ("user", "assistant"):
            raise Refused(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        if before is None and role != "user":
            raise Refused('messages: first message must use the "user" role')
        if role == before:
            raise Refused(f'messages: roles must alternate between "user" and "assistant", but found multiple "{role}" '
                          "roles in a row")  # fmt: skip
        before = role
        blocks = message.get("content")
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        if not isinstance(blocks, list) or not blocks:
            raise Refused(f"messages.{place}: all messages must have non-empty content except for the optional final "
                          "assistant message")  # fmt: skip
        _results(place, blocks, waiting)
        _blocks(f"messages.{place}.content", role, blocks)
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if used.intersection(waiting) or len(set(waiting)) < len(waiting):
            raise Refused(f"messages.{place}: `tool_use` ids must be unique")
        used.update(waiting)
    if waiting:
        raise _unanswered(len(messages) - 1, waiting)


def _results(place: int, blocks: list[Any], waiting: list[str]) -> None:
    given = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
    for call in given:
        if call not in waiting:
            raise Refused(
                f"messages.{place}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    head = [block.get("type") for block in blocks[: len(waiting)]]
    if set(given) != set(waiting) or any(kind != "tool_result" for kind in head):
        raise _unanswered(place - 1, waiting)


def _unanswered(place: int, waiting: list[str]) -> Refused:
    return Refused(
        f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(waiting)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _texts(where: str, blocks: list[Any]) -> None:
    for place, block in enumerate(blocks):
        if block.get("type") != "text":
            raise Refused(f"{where}.{place}.type: Input should be 'text'")
        if not block["text"].strip():
            raise Refused(f"{where}: text content blocks must contain non-whitespace text")


def _blocks(where: str, role: str, blocks: list[Any]) -> None:
    for place, block in enumerate(blocks):
        kind, here = block.get("type"), f"{where}.{place}"
        allowed = ("text", "tool_use", "thinking", "redacted_thinking") if role == "assistant" else None
        allowed = allowed or ("text", "image", "document", "tool_result")
        if kind not in allowed:
            raise Refused(f"{here}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
        if kind == "text":
            _texts(where, [block])
        elif kind == "image":
            _image(here, block.get("source") or {})
        elif kind == "tool_use":
            if not CALL_ID.fullmatch(str(block.get("id", ""))):
                raise Refused(f"{here}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not isinstance(block.get("input"), dict):
                raise Refused(f"{here}.tool_use.input: Input should be a valid dictionary")
        elif kind == "tool_result" and isinstance(block.get("content"), list):
            _texts(f"{here}.tool_result.content", [inner for inner in block["content"] if inner.get("type") == "text"])


def _image(where: str, source: dict[str, Any]) -> None:
    if source.get("type") != "base64" or source.get("media_type") not in IMAGES:
        raise Refused(f"{where}.image.source: media_type: Input should be {', '.join(sorted(IMAGES))}")
    try:
        base64.b64decode(source.get("data", ""), validate=True)
    except binascii.Error:
        raise Refused(f"{where}.image.source.base64: invalid base64 data") from None


def texts_of(body: dict[str, Any]) -> Iterator[str]:
    """Every text of an Anthropic request in its order, for assertions: of the system, of messages, of results."""
    contents: list[Any] = [body.get("system") or [], *(message["content"] for message in body["messages"])]
    for content in contents:
        if isinstance(content, str):
            yield content
            continue
        for block in content:
            if block["type"] == "text":
                yield block["text"]
            elif block["type"] == "tool_result":
                yield from (inner["text"] for inner in block.get("content") or () if inner["type"] == "text")
