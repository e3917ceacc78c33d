"""The voice of OpenAI's Responses API: the events of a chat as those of a response, in their order and field by field.

A whole answer is told by the same steps, with nothing sent on the way.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from time import time
from typing import Any

import orjson

from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.responses_items import RESPONSE, CallItem, Item, MessageItem, ReasoningItem, usage_of
from ringfence.gateway.responses_request import Asked
from ringfence.gateway.responses_tools import Named
from ringfence.gateway.said import Calls, calls_in, refusal_in, text_in, thought_in
from ringfence.gateway.voice import EVENT_HEAD, data_of

CUT: dict[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer ended before its end, as a chat says it and as a response does."""
FAILED = "server_error"
"""The code of a response that failed, of the few that there are; the message says more."""
MIXED = {"message": "The engine mixed the parts of several calls of tools.", "code": "engine_failed"}


class ResponseVoice:
    """Tells one response. `keep` is called once, with what it came to, where it is to be kept; `overhears` with each
    event, whoever reads the answer. `manner` is how it was told, so that it can be told again: see responses_again."""

    stream_head = EVENT_HEAD

    def __init__(self, told: Asked, model: str) -> None:
        self.id = f"{RESPONSE}{secrets.token_hex(24)}"
        self.keep: Callable[[Body], None] | None = None
        self.overhears: Callable[[bytes], None] | None = None
        self.manner: Body = {"pieces": {}}
        self.shown: Body = {
            "id": self.id, "object": "response", "created_at": int(time()), "status": "in_progress", "model": model,
            "output": [], "usage": None, **told.shown,
        }  # fmt: skip
        self._told = told
        self._events: list[bytes] = []
        self._number = 0
        self._has_begun = self.is_over = False
        self._item: Item | None = None
        self._calls = Calls()
        self._usage: Body | None = None
        self._cut = ""

    def answer(self, body: bytes) -> bytes:
        said: Body = orjson.loads(body)
        choices: list[Body] = said.get("choices") or [{}]
        message: Body = choices[0].get("message") or {}
        message["tool_calls"] = calls_in(message, is_whole=True)
        said["choices"] = [{**choices[0], "delta": message}]
        self._hear(said)
        self._finish()
        self._events.clear()
        return orjson.dumps(self.shown)

    def feed(self, data: bytes) -> bytes:
        for block in data.split(b"\n\n"):
            if (text := data_of(block)).startswith(b"{"):
                self._hear(orjson.loads(text))
            elif not text and block.startswith(b":") and not self.is_put_off:
                self._begin()
                self._events.append(block + b"\n\n")
        return self._sent()

    def end(self) -> bytes:
        if not self.is_over:
            self._finish()
        return self._sent()

    @property
    def is_put_off(self) -> bool:
        """Its caller does not wait for it."""
        return self._told.is_put_off

    def queued(self) -> None:
        """It is made when its turn comes, and its caller is told so at once."""
        self.shown["status"] = "queued"
        self.manner["queued"] = self.shown["model"]
        self.tell("response.created", {"response": self.shown})
        self.tell("response.queued", {"response": self.shown})

    def cancelled(self) -> bytes:
        """What is told when its caller wants no more of it."""
        self._close("incomplete")
        self._over("cancelled", "response.incomplete")
        return self._sent()

    # -- what the chat says -------------------------------------------------------------------------------------------

    def _hear(self, said: Body) -> None:
        if self.is_over:
            return
        if error := said.get("error"):
            self._begin()
            self._fail(error)
            return
        if isinstance(said.get("model"), str):
            self.shown["model"] = said["model"]
        self._begin()
        self._usage = said.get("usage") or self._usage
        choices: list[Body] = said.get("choices") or []
        if choices and not self.is_over:
            self._hear_delta(choices[0].get("delta") or {}, choices[0])

    def _hear_delta(self, delta: Body, choice: Body) -> None:
        if thought := thought_in(delta):
            self._item_of(ReasoningItem).hear(thought)
        if text := text_in(delta):
            probabilities: Any = choice.get("logprobs") or {}
            self._item_of(MessageItem).hear(text, probabilities.get("content") or [])
        if refusal := refusal_in(delta):
            self._item_of(MessageItem).hear_refusal(refusal)
        for call in calls_in(delta):
            self._hear_call(call)
        if reason := choice.get("finish_reason"):
            self._cut = CUT.get(reason, "")
            self._close("incomplete" if self._cut else "completed")

    def _hear_call(self, call: Body) -> None:
        number, is_new = self._calls.place(call)
        function: Body = call.get("function") or {}
        if is_new:
            self._close("completed")
            named = self._told.tools.named.get(function.get("name") or "")
            called = named or Named(function.get("name") or "")
            self._open(CallItem(self.tell, self.id, len(self.shown["output"]), called, call.get("id") or ""))
        item = self._item
        if not isinstance(item, CallItem) or number < len(self._calls) - 1:
            self._fail(MIXED)
            return
        item.hear(function.get("arguments") or "")

    # -- items --------------------------------------------------------------------------------------------------------

    def _item_of(self, kind: type[Any]) -> Any:
        """The item that is open, if it is of this kind; else a new one."""
        if type(self._item) is not kind:
            self._close("completed")
            told = self._told
            more = (told.tells_summary, told.carries_reasoning) if kind is ReasoningItem else ()
            self._open(kind(self.tell, self.id, len(self.shown["output"]), *more))
        return self._item

    def _open(self, item: Item) -> None:
        self._item = item
        self.manner["pieces"][item.id] = item.pieces
        self.shown["output"].append(item.shown)
        item.open()

    def _close(self, status: str) -> None:
        if self._item is not None:
            self._item.close(status)
            self._item = None

    # -- the response itself ------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.shown["status"] = "in_progress"
            if "queued" not in self.manner:
                self.tell("response.created", {"response": self.shown})
            self.tell("response.in_progress", {"response": self.shown})

    def _finish(self) -> None:
        self._begin()
        self._close("incomplete" if self._cut else "completed")
        if self._cut:
            self.shown["incomplete_details"] = {"reason": self._cut}
            self._over("incomplete", "response.incomplete")
        else:
            self._over("completed", "response.completed")

    def _fail(self, error: Body) -> None:
        message = error.get("message") or "The answer is not complete."
        self._close("incomplete")
        self.manner["error"] = {"code": error.get("code"), "message": message, "param": error.get("param")}
        self.tell("error", self.manner["error"])
        self.shown["error"] = {"code": FAILED, "message": message}
        self._over("failed", "response.failed")

    def _over(self, status: str, event: str) -> None:
        self.is_over = True
        self.manner["begun"] = self._has_begun
        self.shown |= {"status": status, "usage": usage_of(self._usage)}
        if status == "completed":
            self.shown["completed_at"] = int(time())
        self.tell(event, {"response": self.shown})
        keep, self.keep = self.keep, None
        if keep is not None:
            keep(self.shown)

    def tell(self, event: str, fields: Body) -> None:
        """One event, with its number."""
        told = event_of(event, self._number, fields)
        self._number += 1
        self._events.append(told)
        if self.overhears is not None:
            self.overhears(told)

    def _sent(self) -> bytes:
        data = b"".join(self._events)
        self._events.clear()
        return data


def event_of(event: str, number: int, fields: Body) -> bytes:
    """As it is sent."""
    data = orjson.dumps({"type": event, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
