"""Responses that their callers may follow up: sealed on disk for a time, each with how far its text may travel.

A follow-up is sent with all that was said until then, as if its caller had sent it, and never further than that was
allowed to go. Whose response it is not, for that caller there is none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest, Failure, TargetUnavailable
from ringfence.gateway.call import Call
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size
from ringfence.gateway.request import Request
from ringfence.gateway.responses_request import PREVIOUS, Previous, previous_of, said_in
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.store.failure import StoreFailed
from ringfence.store.responses import Kept, ResponseRows
from ringfence.store.sealing import Unreadable

log = logging.getLogger("ringfence.responses")
NAMED = PREVIOUS.encode()
DAY_S = 86_400.0
MOST_BYTES = 16 * 1024 * 1024
"""Of one response with all that was said before it. A longer one is not kept."""
PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


@dataclass(frozen=True, slots=True)
class Found:
    """A response that is kept: `items` went into it, those of earlier responses first."""

    row: Kept
    response: Body
    items: list[Any]


class KeptResponses:
    """Give it a moment now and then (`prune`)."""

    def __init__(self, pipeline: Pipeline, rows: ResponseRows, *, wall: Callable[[], float] = time) -> None:
        self.kept_s = 30 * DAY_S
        self._pipeline = pipeline
        self._rows = rows
        self._wall = wall
        self._writing: dict[str, asyncio.Task[None]] = {}
        """What will be on disk in a moment, by id."""

    # -- a request that follows one -----------------------------------------------------------------------------------

    async def fetch(self, request: Request) -> None:
        """Put what was said until then in place of `previous_response_id`. Raises Failure."""
        if NAMED not in request.body:
            return
        try:
            body: Any = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return  # whoever reads it says what is wrong
        said: Body = cast(Body, body) if isinstance(body, dict) else {}
        response_id = said.get(PREVIOUS)
        if response_id is None:
            return
        if not isinstance(response_id, str):
            raise wrong(PREVIOUS, "the id of a response")
        found = await self.find(response_id, request.identity.id)
        if found is None:
            raise BadRequest(
                f"Previous response with id '{response_id[:64]}' not found: this key has none of that name that is "
                "kept. A profile of boundary host or tier T1 keeps none unless it says 'stores: true'; send the "
                "earlier items in 'input', or have it keep them (profiles.NAME.stores).",
                param=PREVIOUS, code="previous_response_not_found",
            )  # fmt: skip
        if is_deep(said):  # it could be read, and not be written again
            raise too_deep()
        items = [*found.items, *found.response["output"]]
        Previous(response_id, items, Boundary(found.row.boundary)).put_into(said)
        request.body = orjson.dumps(said)
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)

    async def find(self, response_id: str, key_id: str) -> Found | None:
        """Of this key; None when there is none. Raises Failure."""
        await self._written(response_id)
        try:
            found = await self._rows.find(response_id, key_id, self._wall())
        except Unreadable:
            log.error("a response that is kept cannot be opened: its seal has another key, or it was changed")
            return None
        except StoreFailed as failed:
            raise _cannot("read", failed) from None
        if found is None:
            return None
        row, text = found
        said: Body = orjson.loads(text)
        return Found(row, said["response"], said["items"])

    async def delete(self, response_id: str, key_id: str) -> bool:
        """Whether there was one of this key. Raises Failure."""
        await self._written(response_id)
        try:
            return await self._rows.delete(response_id, key_id)
        except StoreFailed as failed:
            raise _cannot("deleted", failed) from None

    # -- one that is to be kept ---------------------------------------------------------------------------------------

    def will_keep(self, call: Call, voice: ResponseVoice) -> None:
        """What the call comes to, where its caller wants that and its profile allows it. The answer says whether."""
        asked = call.asked or {}
        try:
            stores = self._pipeline.settings.profile_of(call).stores
        except Failure:  # it is refused in a moment, or waits
            return
        if stores and asked.get("store") is not False and call.body_bytes <= MOST_BYTES:
            voice.shown["store"] = True
            voice.keep = partial(self._keep, call)

    def _keep(self, call: Call, response: Body) -> None:
        asked = call.asked or {}
        previous = previous_of(asked)
        items = [*(previous.items if previous is not None else ()), *map(_with_id, said_in(asked))]
        text = orjson.dumps({"response": response, "items": items})
        task = asyncio.get_running_loop().create_task(self._write(call, response, text))
        self._writing[response["id"]] = task
        task.add_done_callback(lambda _: self._writing.pop(response["id"], None))

    async def _write(self, call: Call, response: Body, text: bytes) -> None:
        try:
            boundary = await self._reach(call)
            now_s = self._wall()
            row = Kept(response["id"], call.key.id, int(boundary), call.model[:200], now_s, now_s + self.kept_s)
            await self._rows.add(row, text)
        except StoreFailed as failed:
            log.error("a response cannot be kept: %s", failed)
        except Failure as failure:  # its profile was taken away meanwhile
            log.error("a response is not kept: %s", failure.code)

    async def _reach(self, call: Call) -> Boundary:
        """How far its text may travel, whoever follows it later: as for what is parked."""
        settings = self._pipeline.settings
        boundary = min(settings.profile_of(call).boundary, call.at_most)
        if boundary is Boundary.HOST:
            return boundary
        return min(boundary, (await self._pipeline.tightest_in_turns(call, settings)).reach)

    async def _written(self, response_id: str) -> None:
        writing = self._writing.get(response_id)
        if writing is not None:
            await asyncio.wait((writing,))

    async def settled(self) -> None:
        """Once all that is to be kept is written down."""
        while self._writing:
            await asyncio.wait(tuple(self._writing.values()))

    async def prune(self) -> None:
        await self._rows.prune(self._wall())


def _with_id(item: Any) -> Any:
    """As it is listed: with an id, and parts in a message."""
    if not isinstance(item, dict):
        return item
    fields: Body = dict(cast(Body, item))
    kind = fields.setdefault("type", "message")
    fields.setdefault("id", f"{PREFIXES.get(kind, 'item')}_{secrets.token_hex(12)}")
    fields.setdefault("status", "completed")
    if isinstance(content := fields.get("content"), str):
        is_said = fields.get("role") == "assistant"
        part: Body = {"type": "output_text" if is_said else "input_text", "text": content}
        fields["content"] = [part | ({"annotations": []} if is_said else {})]
    return fields


def _cannot(what: str, failed: StoreFailed) -> TargetUnavailable:
    log.error("a response cannot be %s: %s", what, failed)
    return TargetUnavailable(f"The response cannot be {what} now; the gateway's log says why.")
