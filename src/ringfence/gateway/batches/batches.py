"""/v1/batches: many calls at once, for whoever can wait."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from time import time
from typing import Any, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest, NotFound, Overloaded
from ringfence.gateway.batches.desk import RowsDesk, answer
from ringfence.gateway.batches.running import Running
from ringfence.gateway.batches.settings import metadata_of, not_before_of, output_keep_of, window_of
from ringfence.gateway.batches.told import listed, shown_batch
from ringfence.gateway.desk import limit_of, query_of
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.openapi import SENT, STORED, answers, in_path, in_query, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK, Foreign
from ringfence.routing.standing import standing
from ringfence.store.batches import Batch

USUAL_LISTED, MOST_LISTED = 20, 100
FULL_RETRY_S = 60.0
MOST_LABELS = 1000
REQUIRED = ("input_file_id", "endpoint", "completion_window")


class Batches(RowsDesk):
    """Each batch is its key's alone."""

    prefix = "/v1/batches"
    what = "a batch"

    def __init__(
        self, pipeline: Pipeline, running: Running, routes: Mapping[str, Dialect | Foreign],
        wall: Callable[[], float] = time,
    ) -> None:  # fmt: skip
        self._pipeline = pipeline
        self._running = running
        self._routes = routes
        self._wall = wall

    def methods(self, path: str) -> tuple[bytes, ...]:
        rest = self.rest(path)
        if rest is None or len(rest) > 2 or (len(rest) == 2 and rest[1] != "cancel"):
            return ()
        if len(rest) == 2:
            return (b"POST",)
        return LOOK if rest else (*LOOK, b"POST")

    def described(self) -> Mapping[str, Any]:
        texts: dict[str, Any] = {name: {"type": "string", "minLength": 1} for name in REQUIRED}
        texts["not_before"] = {"anyOf": [{"type": "number"}, {"type": "string"}]}
        body = {"type": "object", "properties": texts, "required": list(REQUIRED)}
        one = [in_path("batch_id")]
        listed = operation("The batches of this key.", answers(STORED))
        return {
            self.prefix: {
                "get": listed | {"parameters": [in_query("limit", "integer"), in_query("after")]},
                "post": operation("Have the lines of a file asked, when nobody else waits.", answers(SENT), body),
            },
            f"{self.prefix}/{{batch_id}}": {
                "get": operation("How far a batch has come.", answers(STORED)), "parameters": one,
            },
            f"{self.prefix}/{{batch_id}}/cancel": {
                "post": operation("End it; what was answered is kept.", answers(SENT)), "parameters": one,
            },
        }  # fmt: skip

    async def serve_rest(self, request: Request, rest: list[str]) -> None:
        rows = self._running.rows
        if not rest:
            await (self._add(request) if request.method == b"POST" else self._list(request))
            return
        batch = await rows.find(rest[0][:64], request.identity.id)
        if batch is None:
            raise NotFound(f"No batch found with id '{rest[0][:64]}'.", param="id")
        if len(rest) == 2:
            if batch.has_ended:
                raise BadRequest(f"Cannot cancel a batch with status '{batch.state}'.", code="batch_ended")
            batch = await self._running.cancel(batch)
        answer(request, shown_batch(batch))

    async def _list(self, request: Request) -> None:
        query = query_of(request)
        most = limit_of(query, USUAL_LISTED, MOST_LISTED)
        rows = await self._running.rows.listed(request.identity.id, most=most + 1, after=query.get("after", "")[:64])
        answer(request, listed([shown_batch(row) for row in rows[:most]], has_more=len(rows) > most))

    async def _add(self, request: Request) -> None:
        body = _read(request)
        endpoint = body.get("endpoint")
        lines = [path for path, route in self._routes.items() if path.startswith("/v1/") and can_be_lines(route)]
        if not isinstance(endpoint, str) or endpoint not in lines:
            known = ", ".join(sorted(lines))
            raise BadRequest(f"'endpoint' must be one of {known}.", param="endpoint", code="invalid_value")
        window, window_s = body.get("completion_window"), window_of(body.get("completion_window"))
        metadata = metadata_of(body.get("metadata"))
        running, now_s = self._running, self._wall()
        not_before_s = not_before_of(body, metadata, now_s, window_s)
        keep_s = output_keep_of(body, running.settings.keep_s)
        key, head, file_id = request.identity, request.head, body.get("input_file_id")
        if not isinstance(file_id, str):
            raise BadRequest("'input_file_id' must name a file.", param="input_file_id", code="invalid_type")
        file = await running.rows.files.find(file_id[:64], key.id, now_s)
        if file is None or file.purpose != "batch":
            raise NotFound(f"No such File object: {file_id[:64]}", param="input_file_id")
        if await running.rows.count_open(key.id) >= running.settings.most:
            text = f"{running.settings.most} batches of this key have not ended yet (batches.most)."
            raise Overloaded(text, code="too_many_batches", retry_after_s=FULL_RETRY_S)
        if len(head.labels) > MOST_LABELS:
            raise BadRequest("The labels of a batch are too long.", code="invalid_value")
        profile = standing(self._pipeline.settings.house, key.profile, head.agent, head.profile, key.agent)
        batch = Batch(
            f"batch_{secrets.token_hex(12)}", key.id, profile.name, int(min(profile.boundary, Boundary(file.boundary))),
            head.agent, head.profile, head.labels, endpoint, file.id, str(window), keep_s, now_s,
            now_s + window_s, metadata=metadata, not_before_s=not_before_s,
        )  # fmt: skip
        batch = await running.rows.add(batch)
        running.take_in(batch)
        answer(request, shown_batch(batch))


def can_be_lines(route: Dialect | Foreign) -> bool:
    """Sounds and pictures have no place in a file of lines."""
    return isinstance(route, Foreign) or route.passed is None


def _read(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error.msg} at byte {error.pos}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return cast("dict[str, Any]", body)
