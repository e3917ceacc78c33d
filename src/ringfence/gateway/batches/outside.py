"""What is said to the egress process of batches of a provider, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint, Timeouts
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.client import batch_head, permit_line
from ringfence.egress.permit import issue
from ringfence.egress.pool import HeadedLine, Line, Pool
from ringfence.gateway.arriving import MAX_ANSWER_BYTES
from ringfence.gateway.cloud import UNANSWERED


class NotDone(Exception):
    """The provider, or the egress process, has said no: nothing came of it. `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unanswered(Exception):
    """Nobody knows whether it was done."""


class Order(NamedTuple):
    """In whose name something is asked: `id` is the batch's own here, `max_tokens` what one line may ask for."""

    id: str
    key: str
    profile: str
    provider: str
    model: str
    max_tokens: int = 1
    ability: Ability = Ability.CHAT
    allowed: Boundary = Boundary.CLOUD
    since_s: float | None = None
    """When its submission began, in Unix time."""


class _Whole:
    """The receiver of its line: what came, or None where it broke off."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._parts: list[bytes] = []
        self._size = 0
        self.body: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def on_piece(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_ANSWER_BYTES:
            self._parts.append(data)
        else:
            self._line.cancel()
            self._end(None)

    def on_end(self) -> None:
        self._end(b"".join(self._parts))

    def on_lost(self, reason: str) -> None:
        self._end(None)

    def _end(self, body: bytes | None) -> None:
        if not self.body.done():
            self.body.set_result(body)


class Outside:
    """Each question raises NotDone or Unanswered."""

    def __init__(self, pool: Pool, endpoint: Endpoint, timeouts: Callable[[], Timeouts]) -> None:
        self._pool = pool
        self.endpoint = endpoint
        self._timeouts = timeouts

    async def submit(self, order: Order, lines: bytes) -> dict[str, Any]:
        """The batch as it is there, begun with these lines."""
        return _batch(await self._ask(order, "", lines))

    async def find(self, order: Order) -> tuple[dict[str, Any] | None, bool]:
        """The batch that has our id there; and whether it may still be on its way to there."""
        told = await self._ask(order, "/find", orjson.dumps({"since_s": order.since_s}))
        found = told.get("found")
        return (_batch(found) if found is not None else None), told.get("is_leaving") is True

    async def look(self, order: Order, remote_id: str) -> dict[str, Any]:
        return _batch(await self._ask(order, "/look", orjson.dumps({"batch": remote_id})))

    async def cancel(self, order: Order, remote_id: str) -> None:
        await self._ask(order, "/cancel", orjson.dumps({"batch": remote_id}))

    async def lines(self, order: Order, file_id: str) -> bytes:
        text = (await self._ask(order, "/lines", orjson.dumps({"file": file_id}))).get("lines")
        if not isinstance(text, str):
            raise Unanswered
        return text.encode()

    async def forget(self, order: Order, file_id: str) -> None:
        await self._ask(order, "/forget", orjson.dumps({"file": file_id}))

    async def _ask(self, order: Order, what: str, body: bytes) -> dict[str, Any]:
        endpoint, answer_s = self.endpoint, self._timeouts().answer_s
        try:
            permit = issue(order.id, order.allowed, endpoint)
            line = await self._pool.dial(endpoint)
        except BoundaryRefused:
            raise NotDone("boundary_refused") from None
        except (OSError, TimeoutError):
            raise NotDone("egress") from None
        if line.transport.is_closing():
            raise NotDone("egress")
        said = permit_line(
            permit, hold=order.id, key=order.key, profile=order.profile, provider=order.provider, model=order.model,
            max_tokens=order.max_tokens, ability=order.ability,
        )  # fmt: skip
        head = b"%b%d\r\n\r\n" % (batch_head(endpoint, said, what), len(body))
        whole = _Whole(line)
        line.ask(whole, permit, head, body, 2 * answer_s, answer_s, keep=True)  # a file, and then its batch
        try:
            told = await whole.body
        except asyncio.CancelledError:
            line.cancel()
            raise
        if told is None:
            raise Unanswered
        return _read(line, told)


def _read(line: Line, told: bytes) -> dict[str, Any]:
    status = line.status()
    refused = line.header(b"x-egress-refused") if isinstance(line, HeadedLine) else None
    code = refused.decode("ascii", "replace") if refused is not None else str(status)
    if status != 200:
        if code in UNANSWERED or (refused is None and status >= 500):
            raise Unanswered
        raise NotDone(code)
    try:
        found: Any = orjson.loads(told)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Unanswered
    return cast("dict[str, Any]", found)


def _batch(found: Any) -> dict[str, Any]:
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not isinstance(fields.get("id"), str) or not isinstance(fields.get("status"), str):
        raise Unanswered
    return fields
