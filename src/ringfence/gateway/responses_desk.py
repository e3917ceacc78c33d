"""/v1/responses/ID: responses that are kept or under way, and how many tokens a request would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ringfence.core.errors import BadRequest, Failure, NotFound
from ringfence.gateway.call import Call
from ringfence.gateway.counting import COUNTED_BY, tokens_of
from ringfence.gateway.desk import AsyncDesk, is_rising, limit_of, query_of
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.dialects.media import unsupported
from ringfence.gateway.dialects.responses import Responses
from ringfence.gateway.head import Head
from ringfence.gateway.openapi import SENT, STATUSES, STORED, answers, asked_body, in_path, in_query, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.responses_again import told_again
from ringfence.gateway.responses_background import Follower
from ringfence.gateway.responses_kept import Found, KeptResponses
from ringfence.gateway.responses_stream import ResponseVoice

PREFIXES = ("/v1/responses/", "/responses/")
COUNT, CANCEL, ITEMS = "input_tokens", "cancel", "input_items"
MOST_EVENTS = 10**9
USUAL_LISTED, MOST_LISTED = 20, 100


class ResponseRoutes(AsyncDesk):
    """Whose response it is not, for that caller there is none."""

    what = "a response"

    def __init__(self, pipeline: Pipeline, kept: KeptResponses) -> None:
        self._pipeline = pipeline
        self._kept = kept
        self._dialect = Responses(kept)

    def methods(self, path: str) -> tuple[bytes, ...]:
        _, action = _split(path)
        if not path.startswith(PREFIXES):
            return ()
        return {"": (b"GET", b"DELETE"), ITEMS: (b"GET",), CANCEL: (b"POST",), COUNT: (b"POST",)}.get(action, ())

    def described(self) -> Mapping[str, Any]:
        one, where = [in_path("response_id")], f"{PREFIXES[0]}{{response_id}}"
        told = operation("A response that is kept, or as far as it has come.", answers(STORED))
        told["parameters"] = [in_query("stream", "boolean"), in_query("starting_after", "integer")]
        listed = operation("What went into it.", answers(STORED))
        listed["parameters"] = [in_query("limit", "integer"), in_query("order"), in_query("after")]
        counted = operation("How many tokens a request has.", answers(STATUSES), asked_body(self._dialect))
        return {
            where: {"get": told, "delete": operation("Forget it.", answers(STORED)), "parameters": one},
            f"{where}/{ITEMS}": {"get": listed, "parameters": one},
            f"{where}/{CANCEL}": {"post": operation("End one under way.", answers(SENT)), "parameters": one},
            f"{PREFIXES[0]}{COUNT}": {"post": counted},
        }

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        return self._dialect.told(failure, head, call_id)

    def call_id(self, request: Request) -> str:
        return request.head.request_id or self._pipeline.ids.next(request.started_at)

    async def attend(self, request: Request, call_id: str) -> None:
        response_id, action = _split(request.path)
        lead = b"x-request-id: %b\r\n" % call_id.encode()
        if action == COUNT:
            told, by = await self._count(request, call_id)
            lead += COUNTED_BY % by.encode()
        elif action == CANCEL:
            told = await self._cancel(request, response_id)
        elif action == ITEMS:
            told = _listed((await self._find(request, response_id)).items, query_of(request))
        elif request.method == b"DELETE":
            told = await self._delete(request, response_id)
        elif query_of(request).get("stream") == "true":
            await self._tell(request, response_id, lead)
            return
        else:
            told = await self._show(request, response_id)
        request.answer(200, lead + JSON_HEAD, orjson.dumps(told))

    async def _find(self, request: Request, response_id: str) -> Found:
        found = await self._kept.find(response_id, request.identity.id)
        if found is None:
            raise _no_such(response_id)
        return found

    async def _show(self, request: Request, response_id: str) -> Body:
        voice, _ = self._under_way(request, response_id)
        return voice.shown if voice is not None else (await self._find(request, response_id)).response

    async def _tell(self, request: Request, response_id: str, lead: bytes) -> None:
        """Its events: those that were told, in their order, and those that are still to come."""
        after = query_of(request).get("starting_after", "")
        if after and not after.isdecimal():
            raise BadRequest(
                "'starting_after' must be the number of an event.", param="starting_after", code="invalid_value"
            )
        first = min(int(after[:9]) + 1, MOST_EVENTS) if after else 0
        if (going := self._kept.background.find(response_id, request.identity.id)) is not None:
            Follower(going, request, first, lead)
            return
        if self._under_way(request, response_id)[0] is not None:
            raise unsupported("stream", "its caller hears it; one that is made in the background can be followed")
        found = await self._find(request, response_id)
        events = told_again(found.response, found.manner)[first:]
        request.begin_events(lead)
        request.put(b"".join(events))
        request.close()

    async def _delete(self, request: Request, response_id: str) -> Body:
        if (going := self._kept.background.find(response_id, request.identity.id)) is not None:
            going.stop()
        if not await self._kept.delete(response_id, request.identity.id):
            raise _no_such(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    async def _cancel(self, request: Request, response_id: str) -> Body:
        """One under way, with what its engine does for it. One that has ended stays as it is."""
        if (going := self._kept.background.find(response_id, request.identity.id)) is not None:
            going.stop()
            return going.voice.shown
        voice, call = self._under_way(request, response_id)
        if voice is None or call is None:
            return (await self._find(request, response_id)).response
        answering = call.request
        if answering is None:
            raise BadRequest("It is made for a ticket or a batch: cancel that.", code="invalid_value")
        if answering.on_gone is not None:
            answering.on_gone()
        last = voice.cancelled()
        if answering.is_answered:
            answering.put(last)
            answering.close()
        else:
            answering.answer(200, JSON_HEAD, orjson.dumps(voice.shown))
        return voice.shown

    def _under_way(self, request: Request, response_id: str) -> tuple[ResponseVoice | None, Call | None]:
        for call in self._pipeline.running.values():
            voice = call.voice
            if isinstance(voice, ResponseVoice) and voice.id == response_id and call.key.id == request.identity.id:
                return voice, call
        return None, None

    async def _count(self, request: Request, call_id: str) -> tuple[Body, str]:
        """And by whom they were counted."""
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)
        await self._dialect.fetch(request)
        call = read_call(request, self._dialect, call_id)
        request.voice = None
        tokens, by = await tokens_of(self._pipeline, call)
        return {"object": "response.input_tokens", "input_tokens": tokens}, by.value


def _split(path: str) -> tuple[str, str]:
    """The id, and what is asked about it."""
    rest = path.removeprefix("/v1").removeprefix("/responses/")
    response_id, _, action = rest.partition("/")
    if rest == COUNT:
        return "", COUNT
    return response_id, action if response_id and action != COUNT else "none"


def _listed(items: list[Any], query: dict[str, str]) -> Body:
    """A page of them, the latest first unless asked otherwise."""
    rows, most = items if is_rising(query) else items[::-1], limit_of(query, USUAL_LISTED, MOST_LISTED)
    if (after := query.get("after")) is not None:
        place = next((place for place, item in enumerate(rows) if item["id"] == after), None)
        if place is None:
            raise BadRequest("'after' must be the id of one of the items.", param="after", code="invalid_value")
        rows = rows[place + 1 :]
    page = rows[:most]
    ends = (page[0]["id"], page[-1]["id"]) if page else ("", "")
    return {
        "object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": len(rows) > len(page),
    }  # fmt: skip


def _no_such(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id[:64]}' not found: none of that name is kept for this key.")
