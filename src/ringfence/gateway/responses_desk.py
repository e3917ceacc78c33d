"""/v1/responses/ID: responses that are kept or under way, and how many tokens a request would be."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qs

import orjson

from ringfence.core.errors import BadRequest, Failure, NotFound
from ringfence.gateway.call import Call
from ringfence.gateway.counting import tokens_of
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.dialects.media import unsupported
from ringfence.gateway.dialects.responses import Responses
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.responses_kept import Found, KeptResponses
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.gateway.route import Desk
from ringfence.gateway.step import Run

PREFIXES = ("/v1/responses/", "/responses/")
COUNT, CANCEL, ITEMS = "input_tokens", "cancel", "input_items"
USUAL_LISTED, MOST_LISTED = 20, 100
log = logging.getLogger("ringfence.responses")


class ResponseRoutes(Desk):
    """Whose response it is not, for that caller there is none."""

    def __init__(self, pipeline: Pipeline, kept: KeptResponses) -> None:
        self._pipeline = pipeline
        self._kept = kept
        self._dialect = Responses(kept)

    def methods(self, path: str) -> tuple[bytes, ...]:
        _, action = _split(path)
        if not path.startswith(PREFIXES):
            return ()
        return {"": (b"GET", b"DELETE"), ITEMS: (b"GET",), CANCEL: (b"POST",), COUNT: (b"POST",)}.get(action, ())

    def serve(self, request: Request) -> None:
        run = Run(self._serve(request))
        request.on_gone = run.cancel
        run.step()

    async def _serve(self, request: Request) -> None:
        response_id, action = _split(request.path)
        try:
            if action == COUNT:
                told = await self._count(request)
            elif action == CANCEL:
                told = await self._cancel(request, response_id)
            elif action == ITEMS:
                told = _listed((await self._find(request, response_id)).items, _query(request))
            elif request.method == b"DELETE":
                told = await self._delete(request, response_id)
            else:
                told = await self._show(request, response_id)
            request.answer(200, JSON_HEAD, orjson.dumps(told))
        except Failure as failure:
            request.fail(failure)
        except asyncio.CancelledError:
            raise
        except Exception:  # a fault of ours must not take the connection down without a word
            log.exception("a response could not be shown")
            request.fail(Failure("The gateway failed on this request; its log says why."))

    async def _find(self, request: Request, response_id: str) -> Found:
        found = await self._kept.find(response_id, request.identity.id)
        if found is None:
            raise _no_such(response_id)
        return found

    async def _show(self, request: Request, response_id: str) -> Body:
        if _query(request).get("stream") == "true":
            raise unsupported("stream", "a response that is kept is told in one piece")
        voice, _ = self._under_way(request, response_id)
        return voice.shown if voice is not None else (await self._find(request, response_id)).response

    async def _delete(self, request: Request, response_id: str) -> Body:
        if not await self._kept.delete(response_id, request.identity.id):
            raise _no_such(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    async def _cancel(self, request: Request, response_id: str) -> Body:
        """One under way, with what its engine does for it. One that has ended stays as it is."""
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

    async def _count(self, request: Request) -> Body:
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)
        await self._dialect.fetch(request)
        call = read_call(request, self._dialect, self._pipeline.ids.next(request.started_at))
        request.voice = None
        return {"object": "response.input_tokens", "input_tokens": (await tokens_of(self._pipeline, call)).tokens}


def _split(path: str) -> tuple[str, str]:
    """The id, and what is asked about it."""
    rest = path.removeprefix("/v1").removeprefix("/responses/")
    response_id, _, action = rest.partition("/")
    return ("", COUNT) if rest == COUNT else (response_id, action if response_id else "none")


def _query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.head.query.decode("latin-1")).items()}


def _listed(items: list[Any], query: dict[str, str]) -> Body:
    """A page of them, the latest first unless asked otherwise."""
    order, limit = query.get("order", "desc"), query.get("limit", str(USUAL_LISTED))
    if order not in ("asc", "desc"):
        raise BadRequest("'order' must be asc or desc.", param="order", code="invalid_value")
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MOST_LISTED:
        raise BadRequest(
            f"'limit' must be a whole number from 1 to {MOST_LISTED}.", param="limit", code="invalid_value"
        )
    rows = items if order == "asc" else items[::-1]
    if (after := query.get("after")) is not None:
        place = next((place for place, item in enumerate(rows) if item["id"] == after), None)
        if place is None:
            raise BadRequest("'after' must be the id of one of the items.", param="after", code="invalid_value")
        rows = rows[place + 1 :]
    page = rows[: int(limit)]
    ends = (page[0]["id"], page[-1]["id"]) if page else ("", "")
    return {
        "object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": len(rows) > len(page),
    }  # fmt: skip


def _no_such(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id[:64]}' not found: none of that name is kept for this key.")
