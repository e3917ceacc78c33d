"""One line of a batch: what it says, the call that it becomes, and what becomes of that."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest, Failure
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.core.usage import Usage
from ringfence.gateway.batches.told import answered_line
from ringfence.gateway.call import Call
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.head import Head
from ringfence.gateway.parked_answer import Paper
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call
from ringfence.gateway.refusal import told
from ringfence.gateway.request import Request
from ringfence.gateway.route import Foreign, Route
from ringfence.store.batches import Batch, Used, Written
from ringfence.store.files import File, FileRows

READ_BYTES = 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """`number` is that of the line in the file, 1 for the first."""

    number: int
    custom_id: str
    body: dict[str, Any]
    said: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Line {self.number}>"

    @property
    def model(self) -> str:
        model = self.body.get("model")
        return model if isinstance(model, str) else ""

    def id(self, batch: Batch) -> str:
        """The same whenever it is written."""
        return f"batch_req_{hashlib.sha256(f'{batch.id} {self.number}'.encode()).hexdigest()[:24]}"


async def raw_lines(files: FileRows, file: File) -> AsyncIterator[tuple[int, bytes]]:
    """Each line that is not blank, with its number. Raises Unreadable."""
    number, part = 0, -1
    while found := await files.read(file, part, READ_BYTES):
        for part, text in found:  # noqa: B007 - the last one is where it goes on
            for raw in text.removesuffix(b"\n").split(b"\n"):
                number += 1
                if number == 1:
                    raw = raw.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
                if raw.strip():
                    yield number, raw


def read_line(number: int, raw: bytes) -> Line:
    """One that was checked before."""
    said = cast("dict[str, Any]", orjson.loads(raw))
    return Line(number, said["custom_id"], said["body"], said)


async def call_of(line: Line, batch: Batch, key: Key, route: Dialect | Foreign, call_id: str, reach: Boundary) -> Call:
    """As a caller would have made it under the key of the batch, and no further than `reach`. Raises Failure."""
    if line.body.get("stream"):
        raise BadRequest("A line of a batch cannot be streamed; leave out 'stream'.", param="stream")
    if line.body.get("background") and isinstance(route, Foreign):
        raise BadRequest("A line of a batch is in the background; leave out 'background'.", param="background")
    if is_deep(line.body):  # it could be read, and not be written again
        raise too_deep()
    asked = Request(cast("Any", Paper()), _head(batch), monotonic())
    asked.body, asked.identity = orjson.dumps(line.body), key
    if len(asked.body) > BIG_BODY_BYTES:
        await check_size(asked.body)
    if isinstance(route, Foreign):
        await route.fetch(asked)
    call = read_call(asked, route, call_id)
    call.at_most = min(call.at_most, reach)
    return call


def refused(line: Line, batch: Batch, route: Dialect | Foreign, failure: Failure, call_id: str) -> Written:
    """What is written of a call that ended with `failure`, in the shape of its dialect."""
    head = _head(batch)
    shape = route.told(failure, head, call_id) if isinstance(route, Route) else told(failure, head, call_id)
    status, _, body = shape
    return Written(line.number, False, answered_line(line.id(batch), line.custom_id, status, call_id, body))


def used(usage: Usage | None, body: bytes) -> Used:
    """What an answer took. How much of it was reasoning stands in `body` alone, where its dialect tells."""
    if usage is None:
        return Used()
    told: Any = cast("dict[str, Any]", orjson.loads(body)).get("usage")
    fields = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    details: Any = fields.get("completion_tokens_details") or fields.get("output_tokens_details")
    reasoned = cast("dict[str, Any]", details).get("reasoning_tokens") if isinstance(details, dict) else 0
    reasoning = reasoned if type(reasoned) is int else 0
    return Used(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, reasoning)


def _head(batch: Batch) -> Head:
    """What the caller said beside the text, when the batch was made."""
    head = Head(b"POST", [], is_http11=True, keep_alive=False)
    head.path, head.urgency = batch.endpoint, Urgency.BACKGROUND
    head.agent, head.profile, head.labels = batch.agent, batch.named, batch.labels
    return head
