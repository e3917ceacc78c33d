"""What the fake clouds say, as OpenAI and as Anthropic put it: whole answers, events of a stream, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.testing.fake_cloud_rules import Refused, words_in

CREATED_S = 1_790_000_000
PIECE_CHARS = 7
OPENAI_FINISHES = {"max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the fake makes. `arguments` is JSON text; it is streamed in pieces, as it stands."""

    name: str
    arguments: str = "{}"
    id: str = "toolu_01"


@dataclass(frozen=True, slots=True)
class Saying:
    """What the model answers. `stop_reason` is in Anthropic's words; None is what follows from the rest."""

    words: tuple[str, ...] = ("The", " quick", " brown", " fox", ".")
    calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    stop_reason: str | None = None
    cached_tokens: int = 0
    written_tokens: int = 0

    def spoken(self, limit: int | None) -> tuple[str, ...]:
        return self.words if limit is None else self.words[:limit]

    def reason(self, limit: int | None) -> str:
        if self.stop_reason is not None:
            return self.stop_reason
        if limit is not None and limit < len(self.words):
            return "max_tokens"
        return "tool_use" if self.calls else "end_turn"


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


# -- OpenAI -------------------------------------------------------------------------------------------------------


def openai_error(refused: Refused) -> dict[str, Any]:
    return {"error": {"message": refused.message, "type": refused.type, "param": refused.param, "code": refused.code}}


def _openai_limit(body: dict[str, Any]) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens")


def _openai_usage(body: dict[str, Any], saying: Saying) -> dict[str, Any]:
    prompt, spoken = words_in(body["messages"]), len(saying.spoken(_openai_limit(body)))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": spoken,
        "total_tokens": prompt + spoken,
        "prompt_tokens_details": {"cached_tokens": saying.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _openai_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def openai_answer(body: dict[str, Any], saying: Saying) -> dict[str, Any]:
    limit = _openai_limit(body)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(saying.spoken(limit)) or None, "refusal": None}
    if saying.calls:
        message["tool_calls"] = [_openai_call(call, call.arguments) for call in saying.calls]
    finish = OPENAI_FINISHES.get(saying.reason(limit), "stop")
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _openai_usage(body, saying),
    }


def openai_events(body: dict[str, Any], saying: Saying) -> Iterator[bytes]:
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED_S, "model": body["model"]}
    extra: dict[str, Any] = {"usage": None} if wants_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**frame, "choices": [choice], **extra})

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    limit = _openai_limit(body)
    for word in saying.spoken(limit):
        yield chunk({"content": word})
    for number, call in enumerate(saying.calls):
        yield chunk({"tool_calls": [{"index": number, **_openai_call(call, "")}]})
        for piece in _pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield chunk({}, OPENAI_FINISHES.get(saying.reason(limit), "stop"))
    if wants_usage:
        yield _data({**frame, "choices": [], "usage": _openai_usage(body, saying)})
    yield b"data: [DONE]\n\n"


def openai_break() -> bytes:
    error = {"message": "The server had an error while processing your request.", "type": "server_error", "code": None}
    return _data({"error": {**error, "param": None}})


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


# -- Anthropic ----------------------------------------------------------------------------------------------------


def anthropic_error(refused: Refused) -> dict[str, Any]:
    error = {"type": refused.type, "message": refused.message}
    return {"type": "error", "error": error, "request_id": "req_01"}


def _anthropic_usage(body: dict[str, Any], saying: Saying, output: int) -> dict[str, Any]:
    return {
        "input_tokens": words_in(body["messages"]),
        "cache_creation_input_tokens": saying.written_tokens,
        "cache_read_input_tokens": saying.cached_tokens,
        "output_tokens": output,
    }


def _thought(saying: Saying) -> dict[str, Any]:
    return {"type": "thinking", "thinking": saying.thinking, "signature": "c2lnbmVk"}


def anthropic_answer(body: dict[str, Any], saying: Saying) -> dict[str, Any]:
    limit = body["max_tokens"]
    spoken = saying.spoken(limit)
    content: list[dict[str, Any]] = [_thought(saying)] if saying.thinking else []
    if spoken:
        content.append({"type": "text", "text": "".join(spoken)})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in saying.calls
    ]
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": saying.reason(limit),
        "stop_sequence": None,
        "usage": _anthropic_usage(body, saying, len(spoken)),
    }


def anthropic_events(body: dict[str, Any], saying: Saying) -> Iterator[bytes]:
    limit = body["max_tokens"]
    spoken = saying.spoken(limit)
    start = {**anthropic_answer(body, saying), "content": [], "stop_reason": None}
    yield _event("message_start", message={**start, "usage": _anthropic_usage(body, saying, 1)})
    place = 0
    if saying.thinking:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(saying.thinking)]
        signed = {"type": "signature_delta", "signature": "c2lnbmVk"}
        yield from _block(place, {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed])
        place += 1
    yield _event("ping")
    if spoken:
        yield from _block(place, {"type": "text", "text": ""}, [{"type": "text_delta", "text": w} for w in spoken])
        place += 1
    for call in saying.calls:
        opening = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        pieces = ["", *_pieces(call.arguments if call.arguments != "{}" else "")]
        yield from _block(place, opening, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces])
        place += 1
    delta = {"stop_reason": saying.reason(limit), "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": len(spoken)})
    yield _event("message_stop")


def _block(place: int, opening: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[bytes]:
    yield _event("content_block_start", index=place, content_block=opening)
    for delta in deltas:
        yield _event("content_block_delta", index=place, delta=delta)
    yield _event("content_block_stop", index=place)


def anthropic_break() -> bytes:
    return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
