"""POST /v1/responses/compact: a conversation made shorter, as OpenAI's Responses API does it.

What users said stays; all else becomes a summary, which the model that is named writes. It goes back into a request as
an item of the type `compaction`. The summary is encoded and not secret: its caller could read all that went into it.
"""

from __future__ import annotations

import secrets
from time import time
from typing import TYPE_CHECKING, Any, cast

import orjson

from ringfence.core.errors import EngineFailed, Failure
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.dialect import Body, refuse_fields
from ringfence.gateway.dialects.responses import Keeps, told_here
from ringfence.gateway.head import Head
from ringfence.gateway.responses_input import carried
from ringfence.gateway.responses_items import RESPONSE, item_id, usage_of
from ringfence.gateway.responses_request import asked, previous_of, reach_of, said_in
from ringfence.gateway.route import Foreign, Heard
from ringfence.gateway.voice import EVENT_HEAD

if TYPE_CHECKING:
    from ringfence.gateway.request import Request

TAKEN = frozenset(
    (
        "model", "input", "instructions", "previous_response_id", "prompt_cache_key", "prompt_cache_retention",
        "prompt_cache_options", "service_tier", "safety_identifier",
    )
)  # fmt: skip
LEFT = frozenset(("prompt_cache_options", "image"))
"""Of no use to an engine."""
ASKS = (
    "Write a summary of the conversation until here, for whoever goes on with it and sees nothing else of it but what "
    "the user said. Keep what was decided, what was done and found out, names, numbers and places of things, and what "
    "is still to be done. Write nothing but the summary."
)


class CompactVoice:
    """Tells the summary."""

    stream_head = EVENT_HEAD

    def __init__(self, said: list[Body]) -> None:
        self._said = said

    def answer(self, body: bytes) -> bytes:
        told: Body = orjson.loads(body)
        summary = told["choices"][0]["message"].get("content")
        if not isinstance(summary, str) or not summary.strip():
            raise EngineFailed("The model wrote no summary.")
        response_id = f"{RESPONSE}{secrets.token_hex(24)}"
        output: list[Body] = [_shown(item, response_id, place) for place, item in enumerate(self._said)]
        made = item_id("cmp", response_id, len(output))
        output.append({"id": made, "type": "compaction", "encrypted_content": carried(summary.strip())})
        return orjson.dumps(
            {
                "id": response_id, "object": "response.compaction", "created_at": int(time()), "output": output,
                "usage": usage_of(told.get("usage") or {}),
            }
        )  # fmt: skip

    def feed(self, data: bytes) -> bytes:
        """Nobody asks for a stream."""
        return data

    def end(self) -> bytes:
        return b""


class Compact(Foreign):
    name = "responses_compact"
    paths = ("/v1/responses/compact", "/responses/compact")
    goes_as = chat.DIALECT

    def __init__(self, kept: Keeps | None = None) -> None:
        """Without `kept` nothing can be followed."""
        self.kept = kept

    def keeping(self, kept: Keeps) -> Compact:
        """The same with what can be followed."""
        return Compact(kept)

    async def fetch(self, request: Request) -> None:
        if self.kept is not None:
            await self.kept.fetch(request)

    def heard(self, body: Body, head: Head) -> Heard:
        refuse_fields(body, frozenset(body) - TAKEN - LEFT, "it is no field of a request to compact")
        asks = asked({name: value for name, value in body.items() if name not in LEFT}).chat
        asks["messages"] = [*asks["messages"], {"role": "user", "content": ASKS}]
        previous = previous_of(body)
        items = [*(previous.items if previous is not None else ()), *said_in(body)]
        kept = [item for item in map(_object, items) if item.get("role") == "user"]
        return Heard(asks, CompactVoice(kept), said_in="input")

    def made(self, call: Call) -> None:
        call.at_most = min(call.at_most, reach_of(call.asked or {}))

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        return super().told(told_here(failure), head, call_id)


def _object(item: Any) -> Body:
    return cast(Body, item) if isinstance(item, dict) else {}


def _shown(item: Body, response_id: str, place: int) -> Body:
    content = item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    told: Body = {"id": item_id("msg", response_id, place), "type": "message", "status": "completed", "role": "user"}
    return told | {"content": parts}


DIALECT = Compact()
