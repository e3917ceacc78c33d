"""An answer in Anthropic's shape: blocks of thoughts, text and calls of tools, whole or in its order of events."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

import orjson

from ringfence.core.errors import Failure
from ringfence.gateway.refusal import anthropic_error
from ringfence.gateway.said import Calls, arguments_of, calls_in, refusal_in, text_in, thought_in
from ringfence.gateway.voice import EVENT_HEAD, events

Body = dict[str, Any]

STOPS = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
NOTHING: Body = {}
MIXED = "The engine sent the arguments of two calls in turns; the answer is not complete."
HIDDEN_A_PING = 32
"""So many pieces of thoughts that were not asked for make one ping: somebody still works."""


class MessagesVoice:
    """Tells one answer. Thoughts are shown to those who asked for them: who did not may take the first block for the
    answer."""

    stream_head = EVENT_HEAD

    def __init__(self, *, shows_thinking: bool, omits_text: bool = False) -> None:
        """`omits_text`: of thoughts only what Anthropic has signed is told, for it is to be sent back."""
        self._shows_thinking = shows_thinking
        self._omits_text = omits_text
        self._out: list[bytes] = []
        self._is_begun = self._is_over = False
        self._at = -1
        self._open = ""
        self._calls = Calls()
        self._finish: str | None = None
        self._sequence: str | None = None
        self._refused = ""
        self._usage: Body = {}
        self._hidden = 0

    # -- whole ------------------------------------------------------------------------------------------------------

    def answer(self, body: bytes) -> bytes:
        chat: Body = orjson.loads(body)
        choices: list[Body] = chat.get("choices") or []
        choice = choices[0] if choices else NOTHING
        message: Body = choice.get("message") or NOTHING
        content: list[Body] = _thoughts(message, self._omits_text) if self._shows_thinking else []
        refused = refusal_in(message)
        if text := text_in(message) + refused:
            content.append({"type": "text", "text": text})
        calls = calls_in(message)
        content += [_tool_use(call) for call in calls]
        self._finish, self._sequence = choice.get("finish_reason"), _sequence(choice)
        self._refused = refused
        told = _message(chat) | self._stopped(has_calls=bool(calls))
        return orjson.dumps(told | {"content": content, "usage": usage_of(chat.get("usage"))})

    def _stopped(self, *, has_calls: bool) -> Body:
        reason = STOPS.get(self._finish or "stop", "end_turn")
        if has_calls and reason == "end_turn":
            reason = "tool_use"
        if self._refused:
            reason = "refusal"
        elif reason == "end_turn" and self._sequence is not None:
            reason = "stop_sequence"
        stopped: Body = {"stop_reason": reason, "stop_sequence": self._sequence if reason == "stop_sequence" else None}
        if self._refused:
            stopped["stop_details"] = {"type": "refusal", "category": None, "explanation": self._refused}
        return stopped

    # -- in events --------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bytes:
        for event in events(data):
            if self._is_over:
                break
            if event is None:
                self._out.append(PING)
            elif event.get("error"):
                self._broke(event["error"])
            else:
                self._chunk(event)
        return self._told()

    def end(self) -> bytes:
        if not self._is_over:
            self._is_over = True
            self._begin({})
            self._close()
            delta = {"stop_reason": None, "stop_sequence": None} | self._stopped(has_calls=bool(self._calls))
            self._say("message_delta", {"delta": delta, "usage": self._usage or usage_of(None)})
            self._say("message_stop", {})
        return self._told()

    def _told(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _say(self, kind: str, fields: Body) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields})))

    def _broke(self, error: Any) -> None:
        """It is told in the words that it came in; nothing follows."""
        fields = _object(error)
        failure = Failure(str(fields.get("message") or "The answer broke off."), code=fields.get("code"))
        failure.status = STATUSES.get(str(fields.get("code")), 502)
        self._is_over = True
        self._out.append(b"event: error\ndata: %b\n\n" % orjson.dumps(anthropic_error(failure, "")))

    def _begin(self, chunk: Body) -> None:
        if not self._is_begun:
            self._is_begun = True
            usage = usage_of(chunk.get("usage"))
            stopped = {"stop_reason": None, "stop_sequence": None}
            self._say("message_start", {"message": _message(chunk) | stopped | {"content": [], "usage": usage}})

    def _chunk(self, chunk: Body) -> None:
        self._begin(chunk)
        if chunk.get("usage"):
            self._usage = usage_of(chunk["usage"])
        for choice in chunk.get("choices") or ():
            delta: Body = choice.get("delta") or {}
            self._think(delta)
            if text := text_in(delta):
                self._text(text)
            if refused := refusal_in(delta):
                self._refused += refused
                self._text(refused)
            for call in calls_in(delta):
                self._call(call)
            if isinstance(choice.get("finish_reason"), str):
                self._finish, self._sequence = choice["finish_reason"], _sequence(choice)

    def _think(self, delta: Body) -> None:
        thought, signed = thought_in(delta), delta.get("thinking_blocks")
        if not thought and not signed:
            return
        if not self._shows_thinking or (self._omits_text and not signed):
            self._hidden += 1
            if self._hidden % HIDDEN_A_PING == 1:
                self._out.append(PING)
            return
        if thought and not self._omits_text:
            self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            self._delta({"type": "thinking_delta", "thinking": thought})
        for block in signed or ():
            if block.get("type") == "redacted_thinking":
                self._close()
                self._enter("redacted_thinking", {"type": "redacted_thinking", "data": block.get("data") or ""})
                self._close()
            elif block.get("signature"):
                self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                self._delta({"type": "signature_delta", "signature": block["signature"]})
                self._close()

    def _text(self, text: str) -> None:
        self._enter("text", {"type": "text", "text": ""})
        self._delta({"type": "text_delta", "text": text})

    def _call(self, call: Body) -> None:
        number, is_new = self._calls.place(call)
        function: Body = call.get("function") or NOTHING
        if is_new:
            self._close()
            named: Body = {"id": call.get("id") or _new_id(), "name": function.get("name") or "", "input": {}}
            self._enter(f"call {number}", {"type": "tool_use", **named})
        if piece := function.get("arguments"):
            if self._open != f"call {number}":
                self._broke({"message": MIXED, "code": "engine_failed"})
                return
            self._delta({"type": "input_json_delta", "partial_json": piece})

    def _enter(self, kind: str, block: Body) -> None:
        """Go on with a block of this kind, or begin one."""
        if self._open != kind:
            self._close()
            self._at += 1
            self._open = kind
            self._say("content_block_start", {"index": self._at, "content_block": block})

    def _delta(self, delta: Body) -> None:
        self._say("content_block_delta", {"index": self._at, "delta": delta})

    def _close(self) -> None:
        if self._open:
            self._open = ""
            self._say("content_block_stop", {"index": self._at})


STATUSES = {
    "overloaded": 503, "target_unavailable": 503, "deadline_passed": 503, "engine_timeout": 504,
    "rate_limit_exceeded": 429, "provider_rate_limited": 429, "context_length_exceeded": 400, "boundary_refused": 403,
}  # fmt: skip
"""By code, of an error in a stream, which has no status of its own. Others are those of engines: 502."""


def usage_of(reported: Any) -> Body:
    """Tokens that a cache had, or has now, are counted beside those of the prompt."""
    usage = _object(reported)
    details = _object(usage.get("prompt_tokens_details"))
    read, written = details.get("cached_tokens") or 0, details.get("cache_creation_tokens") or 0
    told: Body = {
        "input_tokens": max(0, (usage.get("prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.get("completion_tokens") or 0,
    }
    if long := details.get("cache_creation_1h_tokens") or 0:
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, written - long), "ephemeral_1h_input_tokens": long,
        }  # fmt: skip
    if thought := _object(usage.get("completion_tokens_details")).get("reasoning_tokens"):
        told["output_tokens_details"] = {"thinking_tokens": thought}
    return told


def _message(chat: Body) -> Body:
    """What an answer begins with."""
    given = str(chat.get("id") or uuid4().hex)
    name = given if given.startswith("msg_") else f"msg_{given.removeprefix('chatcmpl-')}"
    return {"id": name, "type": "message", "role": "assistant", "model": chat.get("model") or ""}


def _sequence(choice: Body) -> str | None:
    """The stop sequence that ended it, where that is told: vLLM does."""
    reason = choice.get("stop_reason")
    return reason if isinstance(reason, str) else None


def _thoughts(message: Body, omits_text: bool) -> list[Body]:
    if signed := message.get("thinking_blocks"):
        return list(signed)
    thought = "" if omits_text else thought_in(message)
    return [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []


def _tool_use(call: Body) -> Body:
    function: Body = call.get("function") or {}
    return {
        "type": "tool_use", "id": call.get("id") or _new_id(), "name": function.get("name") or "",
        "input": _input(function.get("arguments")),
    }  # fmt: skip


def _input(arguments: Any) -> Any:
    """An object; what is none, as where the answer was cut off, is not lost and not taken for a call without any."""
    found = arguments_of(arguments)
    return {"unreadable_arguments": arguments} if found is None else found


def _object(value: Any) -> Body:
    return cast(Body, value) if isinstance(value, dict) else NOTHING


def _new_id() -> str:
    return f"toolu_{uuid4().hex[:24]}"
