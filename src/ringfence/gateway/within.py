"""Calls that are made for another call's sake: under the same key, down the same path, no further than it may go."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure, NothingNow
from ringfence.gateway.call import Bill, Call
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.recording import Reply
from ringfence.gateway.request import Request

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline


class Within:
    """Makes them for `call`; each is written down by itself, with the id of the call and a number."""

    def __init__(self, pipeline: Pipeline, call: Call, at_most: Boundary, own_tool: str = "") -> None:
        self.out: Request | None = call.request
        self._pipeline = pipeline
        self._call = call
        self._at_most = at_most
        self._own_tool = own_tool
        self._asked = 0
        if call.bill is None:
            call.bill = Bill()

    async def ask(self, model: str, body: Body, *, stream: bool) -> tuple[Reply, bytes]:
        """As `Pipeline.complete`."""
        call, pipeline = self._call, self._pipeline
        inner = Call(
            self._next_id(), call.key, call.dialect, model, body, len(orjson.dumps(body)), stream, monotonic(),
            call.agent, call.named, call.labels, at_most=self._at_most, is_bare=call.dialect.check(body),
            urgency=call.urgency, may_load=call.may_load, spoken=call.spoken, own_tool=self._own_tool,
            within=call.id, request=self.out, asked=call.asked, said_in=call.said_in,
            bill=call.bill,
        )  # fmt: skip
        pipeline.running[inner.id] = inner
        try:
            return await pipeline.complete(inner)
        except NothingNow:  # the whole of it may wait
            pipeline.running.pop(inner.id, None)
            raise
        except Failure as failure:
            pipeline.record(inner, None, failure.status, failure.code or "error", None, 0.0)
            raise
        except asyncio.CancelledError:
            pipeline.record(inner, None, 499, "client_gone", None, 0.0)
            raise
        except Exception:
            pipeline.record(inner, None, 500, "internal_error", None, 0.0)
            raise

    def _next_id(self) -> str:
        """The caller's, with a number."""
        running = self._pipeline.running
        self._asked += 1
        inner = f"{self._call.id}.{self._asked}"
        return inner if inner not in running else f"{inner}.{self._pipeline.ids.next(self._call.started_at)}"
