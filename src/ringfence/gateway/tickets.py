"""/v1/parked: what became of a request whose caller took a ticket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ringfence.core.errors import Gone, NotFound, TargetUnavailable
from ringfence.gateway.desk import AsyncDesk, query_of
from ringfence.gateway.openapi import LOOKED_AT, STATUSES, answers, in_path, operation
from ringfence.gateway.parked_answer import Told
from ringfence.gateway.parked_pending import too_late
from ringfence.gateway.parking import Parking
from ringfence.gateway.refusal import JSON_HEAD, retold
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK
from ringfence.gateway.step import Waiter
from ringfence.store.parked import CANCELLED, EXPIRED, UNREADABLE, WAITING, Parked
from ringfence.store.sealing import Unreadable

PREFIX = "/v1/parked/"
METHODS = (*LOOK, b"DELETE")


class Tickets(AsyncDesk):
    """Answers the holders of tickets. Whose ticket it is not, for that caller there is none."""

    what = "a ticket"

    def __init__(self, parking: Parking) -> None:
        self._parking = parking

    def methods(self, path: str) -> tuple[bytes, ...]:
        return METHODS if path.startswith(PREFIX) else ()

    def described(self) -> Mapping[str, Any]:
        looked = operation("What became of a parked request: its answer, or how long it may take.",
                           answers(STATUSES, 202, 410))  # fmt: skip
        ended = operation("Give it up.", answers(LOOKED_AT, 503))
        return {f"{PREFIX}{{ticket}}": {"get": looked, "delete": ended, "parameters": [in_path("ticket")]}}

    async def attend(self, request: Request, call_id: str) -> None:
        row = await self._find(request)
        if request.method == b"DELETE":
            await self._cancel(request, row)
        elif query_of(request).get("stream") == "true":
            await self._follow(request, row)
        elif row.state == WAITING:
            head = JSON_HEAD + b"retry-after: %d\r\n" % self._parking.outlook.poll_s(row.id)
            request.answer(202, head, orjson.dumps(self._parking.outlook.shown(row)))
        else:
            head, body = await self._result(row)
            request.answer(*retold(row.status or 200, head, body, request.head))

    async def _find(self, request: Request) -> Parked:
        parked_id = request.path.removeprefix(PREFIX)
        kept = self._parking.kept.get(parked_id)
        row = kept.row if kept is not None else await self._parking.rows.find(parked_id[:64])
        if row is None or not row.ticketed or row.key_id != request.identity.id:
            raise NotFound("There is no such ticket, or none any more, for this key.")
        return row

    async def _cancel(self, request: Request, row: Parked) -> None:
        self._parking.cancel(row.id)
        await self._parking.endings.settled()
        found = await self._parking.rows.find(row.id)
        request.answer(200, JSON_HEAD, orjson.dumps(self._parking.outlook.shown(found or row)))

    async def _follow(self, request: Request, row: Parked) -> None:
        """Wait for the answer on a stream, and send it there."""
        told = Told(request, "")
        kept = self._parking.kept.get(row.id)
        if kept is not None:
            ended: Waiter[None] = Waiter()
            self._parking.follow(kept, told, ended)
            try:
                await ended
            finally:
                kept.told.remove(told)
                kept.ended.remove(ended)
            await self._parking.endings.settled()
            row = await self._parking.rows.find(row.id) or row
        if row.state == WAITING:
            raise TargetUnavailable("The gateway is being stopped; the request stays parked.", retry_after_s=5)
        head, body = await self._result(row)
        if b"text/event-stream" not in head:
            body = b"data: %b\n\ndata: [DONE]\n\n" % body.translate(None, b"\r\n")  # an event is one line
        request.write(body)
        request.finish()

    async def _result(self, row: Parked) -> tuple[bytes, bytes]:
        """Raises the Failure that its caller is told instead."""
        if row.state == EXPIRED:
            raise too_late()
        if row.state == CANCELLED:
            raise Gone("This request was cancelled while it was parked.")
        try:
            if row.state == UNREADABLE:
                raise Unreadable
            return await self._parking.rows.result(row)
        except Unreadable:
            raise Gone(
                "This request cannot be read any more: the key of what was parked is lost. Ask again.",
                code="parked_unreadable",
            ) from None
