"""Responses that their callers may follow up: sealed on disk for a time, each with how far its text may travel.

A follow-up is sent with all that was said until then, as if its caller had sent it, and never further than that was
allowed to go. Whose response it is not, for that caller there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest, Failure, NotFound, TargetUnavailable
from ringfence.gateway.call import Call
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size
from ringfence.gateway.request import Request
from ringfence.gateway.responses_background import Background
from ringfence.gateway.responses_items import WENT_IN, item_id, response_of
from ringfence.gateway.responses_request import (
    PREVIOUS,
    REFERENCE,
    Previous,
    is_reference,
    previous_of,
    referred,
    said_in,
)
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.store.failure import StoreFailed
from ringfence.store.responses import Kept, ResponseRows
from ringfence.store.sealing import Unreadable

log = logging.getLogger("ringfence.responses")
NAMED = (PREVIOUS.encode(), REFERENCE.encode())
"""What a body has in it that builds on what is kept."""
MOST_REFERRED = 64
"""Responses that the items of one request may be taken from."""
OPEN = ("queued", "in_progress")
LOST = "This response was lost: the gateway was stopped before it had ended. Ask again."
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
    manner: Body
    """How it was told, for whoever wants to hear it again."""


class KeptResponses:
    """Give it a moment now and then (`prune`)."""

    def __init__(self, pipeline: Pipeline, rows: ResponseRows, *, wall: Callable[[], float] = time) -> None:
        self.kept_s = 30 * DAY_S
        self._pipeline = pipeline
        self._rows = rows
        self._wall = wall
        self._writing: dict[str, asyncio.Task[None]] = {}
        """What will be on disk in a moment, by id."""
        self.background = Background(pipeline, self)

    # -- a request that follows one -----------------------------------------------------------------------------------

    async def fetch(self, request: Request) -> None:
        """Put what was said until then in place of `previous_response_id`, and items in place of what refers to them.
        Raises Failure."""
        if not any(name in request.body for name in NAMED):
            return
        try:
            body: Any = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return  # whoever reads it says what is wrong
        said: Body = cast(Body, body) if isinstance(body, dict) else {}
        key_id = request.identity.id
        has_more = await self._put_previous(said, key_id)
        has_more = await self._put_items(said, key_id) or has_more
        if not has_more:
            return
        request.body = orjson.dumps(said)
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)

    async def _put_previous(self, said: Body, key_id: str) -> bool:
        """Whether there was one to put there."""
        response_id = said.get(PREVIOUS)
        if response_id is None:
            return False
        if not isinstance(response_id, str):
            raise wrong(PREVIOUS, "the id of a response")
        found = await self.find(response_id, key_id)
        if found is None:
            raise BadRequest(
                f"Previous response with id '{response_id[:64]}' not found: this key has none of that name that is "
                "kept. A profile of boundary host or tier T1 keeps none unless it says 'stores: true'; send the "
                "earlier items in 'input', or have it keep them (profiles.NAME.stores).",
                param=PREVIOUS, code="previous_response_not_found",
            )  # fmt: skip
        if found.response["status"] in OPEN:
            raise BadRequest(
                f"The response '{response_id[:64]}' has not ended yet; ask again when it has.", param=PREVIOUS,
                code="previous_response_not_ended",
            )  # fmt: skip
        if is_deep(said):  # it could be read, and not be written again
            raise too_deep()
        items = [*found.items, *found.response["output"]]
        Previous(response_id, items, Boundary(found.row.boundary)).put_into(said)
        return True

    async def _put_items(self, said: Body, key_id: str) -> bool:
        """Whether there were any. They are found by their ids, which name the response that they belong to."""
        given: list[Any] = cast("list[Any]", said["input"]) if isinstance(said.get("input"), list) else []
        places = [place for place, item in enumerate(given) if is_reference(item)]
        if places and is_deep(said):
            raise too_deep()
        known: dict[str, Found | None] = {}
        for place in places:
            wanted = given[place].get("id")
            if not isinstance(wanted, str):
                raise wrong(f"input[{place}].id", "the id of an item")
            response_id = response_of(wanted) or ""
            if response_id not in known:
                if len(known) >= MOST_REFERRED:
                    text = f"The items of a request may refer to {MOST_REFERRED} responses."
                    raise BadRequest(text, param="input", code="invalid_value")
                known[response_id] = await self.find(response_id, key_id) if response_id else None
            given[place] = _referred(wanted, known[response_id], place)
        return bool(places)

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
        response: Body = said["response"]
        if response["status"] in OPEN and response_id not in self.background.going:
            response |= {"status": "failed", "error": {"code": "server_error", "message": LOST}}
        return Found(row, response, said["items"], said.get("manner") or {})

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
            voice.keep = partial(self._keep, call, voice)

    async def takes(self, request: Request, call: Call) -> bool:
        """Whether it is made in the background. Raises Failure."""
        return await self.background.take(request, call)

    async def begin(self, call: Call, voice: ResponseVoice) -> None:
        """Keep what has not been made yet: what it comes to takes its place. Raises Failure."""
        row = await self._row(call, voice.id)
        try:
            await self._rows.add(row, _text(call, voice))
        except StoreFailed as failed:
            raise _cannot("kept", failed) from None
        voice.keep = lambda _: self._soon(voice.id, self._rewrite(row, _text(call, voice)))

    def _keep(self, call: Call, voice: ResponseVoice, _: Body) -> None:
        self._soon(voice.id, self._write(call, voice.id, _text(call, voice)))

    def _soon(self, response_id: str, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(writing)
        self._writing[response_id] = task
        task.add_done_callback(lambda _: self._writing.pop(response_id, None))

    async def _rewrite(self, row: Kept, text: bytes) -> None:
        try:
            await self._rows.replace(row, text)
        except StoreFailed as failed:
            log.error("a response cannot be kept: %s", failed)

    async def _row(self, call: Call, response_id: str) -> Kept:
        boundary = await self._reach(call)
        now_s = self._wall()
        return Kept(response_id, call.key.id, int(boundary), call.model[:200], now_s, now_s + self.kept_s)

    async def _write(self, call: Call, response_id: str, text: bytes) -> None:
        try:
            await self._rows.add(await self._row(call, response_id), text)
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


def _text(call: Call, voice: ResponseVoice) -> bytes:
    """All of it that is kept."""
    asked = call.asked or {}
    previous = previous_of(asked)
    items = [*(previous.items if previous is not None else ())]
    items += [_with_id(item, voice.id, place) for place, item in enumerate(said_in(asked))]
    return orjson.dumps({"response": voice.shown, "items": items, "manner": voice.manner})


def _referred(wanted: str, found: Found | None, place: int) -> Body:
    """What takes the place of a reference."""
    items = [*found.items, *found.response["output"]] if found is not None else []
    known = [cast(Body, item) for item in items if isinstance(item, dict)]
    item = next((item for item in known if item.get("id") == wanted), None)
    if found is None or item is None:
        raise NotFound(
            f"Item with id '{wanted[:80]}' not found (input[{place}]): this key has none of that name that is kept. "
            "Send the item itself.", param="input", code="item_not_found",
        )  # fmt: skip
    return referred(item, Boundary(found.row.boundary))


def _with_id(item: Any, response_id: str, place: int) -> Any:
    """As it is listed: with an id, and parts in a message."""
    if not isinstance(item, dict):
        return item
    fields: Body = dict(cast(Body, item))
    kind = fields.setdefault("type", "message")
    fields.setdefault("id", item_id(PREFIXES.get(kind, "item"), response_id, place, WENT_IN))
    fields.setdefault("status", "completed")
    if isinstance(content := fields.get("content"), str):
        is_said = fields.get("role") == "assistant"
        part: Body = {"type": "output_text" if is_said else "input_text", "text": content}
        fields["content"] = [part | ({"annotations": []} if is_said else {})]
    return fields


def _cannot(what: str, failed: StoreFailed) -> TargetUnavailable:
    log.error("a response cannot be %s: %s", what, failed)
    return TargetUnavailable(f"The response cannot be {what} now; the gateway's log says why.")
