"""Lines that go to a provider as a batch of its own, for half the price: gathered, submitted, looked after, settled.

What is written down, and when, makes each step one that may be the last of its process: the batch before the holds of
its lines, these before a byte leaves, answers before their holds end, and its end when no hold of it is left. After a
start each is found at the provider by its id, or was never made. No line is in two batches, or asked beside one.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from time import time
from typing import Any

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure, TargetFailed
from ringfence.core.identity import Key
from ringfence.core.ledger import HoldRow
from ringfence.gateway.batches.line import Line
from ringfence.gateway.batches.live import Live
from ringfence.gateway.batches.outside import NotDone, Order, Outside, Unanswered
from ringfence.gateway.batches.rented_ends import Ends
from ringfence.gateway.batches.rented_line import Ready, readied
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.line_money import LineMoney, PriceAt
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.route import Foreign
from ringfence.store.failure import StoreFailed
from ringfence.store.provider_batches import CANCELLING, ENDED, SUBMITTED, ProviderBatch, ProviderBatchRows

log = logging.getLogger("ringfence.batches")
DAY_S = 86_400.0
KEPT_S = 30 * DAY_S
MOST_LINES = 500
MOST_BYTES = 8 * 1024 * 1024
MOST_ANSWERED_BYTES = 12 * 1024 * 1024
"""Of one batch there: what its answers come to, at the most, is fetched in one piece."""
LINE_BYTES, TOKEN_BYTES = 2048, 6
"""Of an answer, around its text and a token of it."""
SURE_S = 60.0
"""So long after it was begun, one that is not found there was never made."""
GRACE_S = DAY_S
"""So long after it should have ended, a provider that tells nothing of it is waited for no more."""
TERMINAL = frozenset(("completed", "failed", "expired", "cancelled"))


class Take(Enum):
    """What becomes of a line that is offered."""

    TAKEN = "taken"
    LATER = "later"
    NO = "no"
    """It is asked as every other call is."""


@dataclass(slots=True)
class Group:
    """Lines of one batch that leave together."""

    ready: list[Ready] = field(default_factory=list[Ready])
    bytes_out: int = 0
    bytes_in: int = 0

    def add(self, ready: Ready) -> None:
        self.ready.append(ready)
        self.bytes_out += len(ready.body)
        self.bytes_in += LINE_BYTES + TOKEN_BYTES * ready.most.output_tokens

    @property
    def is_full(self) -> bool:
        return (
            len(self.ready) >= MOST_LINES
            or self.bytes_out >= MOST_BYTES
            or self.bytes_in >= MOST_ANSWERED_BYTES
        )  # fmt: skip


Groups = dict[tuple[str, ...], Group]


class Rented:
    """`live` are the batches under way, which `tell` lets look again; `wall` is Unix time. `never_left` says of holds
    which calls are surely none that left."""

    look_every_s = 60.0

    def __init__(
        self, pipeline: Pipeline, rows: ProviderBatchRows, money: LineMoney, outside: Outside, ends: Ends,
        never_left: Callable[[list[HoldRow]], set[str]], wall: Callable[[], float] = time,
    ) -> None:  # fmt: skip
        self.money = money
        self.open: dict[str, ProviderBatch] = {}
        self.live: Mapping[str, Live] = {}
        self.tell: Callable[[], None] = lambda: None
        self._pipeline = pipeline
        self._rows = rows
        self._outside = outside
        self._ends = ends
        self._never_left = never_left
        self._wall = wall
        self._groups: defaultdict[str, Groups] = defaultdict(dict)
        self._planned: dict[str, int] = {}
        """Money for lines that are gathered and not held for, by batch."""
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- coming in and going ------------------------------------------------------------------------------------------

    async def read(self) -> frozenset[str]:
        """After a start, before money is counted: ids of what is under way at providers. Raises StoreFailed."""
        self.open = {one.id: one for one in await self._rows.open()}
        return frozenset(self.open)

    async def restore(self, key_of: Callable[[str], Key | None], price_at: PriceAt) -> None:
        """After money was counted: what is held for lines there stands as it stood. Raises StoreFailed."""
        models = {one.id: one.model for one in self.open.values()}
        self.money.restore(await self.money.rows(), models, key_of, price_at)

    def took_in(self, live: Live) -> None:
        """A batch goes on: which of its lines are at a provider."""
        ids = [one.id for one in self.open.values() if one.batch_id == live.batch.id]
        live.out.update(held.row.line for one in ids for held in self.money.of(one))

    def resume(self) -> None:
        """All batches are taken in: look after what is under way."""
        for one in self.open.values():
            self._begin_following(one)

    def wake(self) -> None:
        """Something is to end: look now."""
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        """All goes on after the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- lines that may go --------------------------------------------------------------------------------------------

    def may_take(self, live: Live, number: int) -> bool:
        """Whether its batch has a day or more, and more than half of that left."""
        if number in live.direct or not any(cloud.has_batches for cloud in self._pipeline.relay.clouds.values()):
            return False
        batch = live.batch
        return batch.expires_s - batch.created_s >= DAY_S and not live.is_late(self._wall())

    async def take(self, live: Live, line: Line, key: Key, route: Dialect | Foreign, call_id: str) -> Take:
        """Gather it where it may go."""
        ready = await readied(
            self._pipeline, line, live.batch, key, route, live.reach(line.number), call_id
        )  # fmt: skip
        if ready is None or ready.call.decision is None:
            return Take.NO
        try:
            most = self.money.most(ready.call, ready.target, ready.most[:2])
        except TargetFailed:
            return Take.NO
        planned = sum(self._planned.values())
        if not self.money.leaves_room(ready.call, ready.target, most, planned):
            return Take.LATER if self.money.held or planned else Take.NO
        batch_id, target = live.batch.id, ready.target
        self._planned[batch_id] = self._planned.get(batch_id, 0) + most
        named = (target.provider, target.engine_model, ready.call.dialect.ability, ready.call.decision.profile)
        group = self._groups[batch_id].setdefault(named, Group())
        group.add(ready)
        live.out.add(line.number)
        if group.is_full:
            await self.send(live)
        return Take.TAKEN

    async def send(self, live: Live) -> bool:
        """Submit what is gathered of this batch; whether that was anything."""
        groups = self._groups.pop(live.batch.id, {})
        self._planned.pop(live.batch.id, None)
        sent = bool(groups)
        try:
            while groups:
                await self._submit(live, groups.pop(next(iter(groups))).ready)
        finally:  # what did not come to its turn is offered again
            for group in groups.values():
                live.out.difference_update(each.number for each in group.ready)
        return sent

    def drop(self, live: Live) -> None:
        """It is to stop: what is gathered does not go."""
        self._planned.pop(live.batch.id, None)
        for group in self._groups.pop(live.batch.id, {}).values():
            live.out.difference_update(each.number for each in group.ready)

    # -- submitting ---------------------------------------------------------------------------------------------------

    async def _submit(self, live: Live, ready: list[Ready]) -> None:
        target, now_s = ready[0].target, self._wall()
        one = ProviderBatch(
            f"pb_{secrets.token_hex(12)}", live.batch.id, target.provider, target.engine_model, now_s, now_s + DAY_S
        )
        is_over = False
        try:
            await self._rows.add(one)
            self.open[one.id] = one
            is_over = await self._sent(live, one, ready)
        finally:
            held = {each.row.line for each in self.money.of(one.id)}
            live.out.difference_update({each.number for each in ready} - held)
            if one.id in self.open and not is_over:
                self._begin_following(self.open[one.id])

    async def _sent(self, live: Live, one: ProviderBatch, ready: list[Ready]) -> bool:
        """Whether it has ended already. Raises StoreFailed."""
        holds = await self._held(one, ready)
        lines, allowed = self._lines(live, holds)
        if not lines:
            return await self._end(one, {})
        first = holds[0][1].call
        assert first.decision is not None
        order = Order(
            one.id, first.key.id, first.decision.profile, one.provider, one.model, ready[0].max_tokens,
            first.dialect.ability, allowed,
        )  # fmt: skip
        try:
            found = await self._outside.submit(order, b"".join(lines))
        except NotDone as refused:
            log.warning("'%s' takes no batch of %d lines: %s", one.provider, len(lines), refused)
            return await self._end(one, {})
        except Unanswered:
            log.warning("whether '%s' has a batch of %d lines is not known", one.provider, len(lines))
            return False
        await self._changed(one, SUBMITTED, str(found["id"]))
        log.info("%d lines of batch %s went to '%s' as a batch", len(lines), live.batch.id, one.provider)
        return False

    async def _held(self, one: ProviderBatch, ready: list[Ready]) -> list[tuple[str, Ready]]:
        """Those of them for which there is money now, with their holds, on the disk. The others wait."""
        found = await asyncio.gather(
            *(self.money.hold(each.call, each.target, each.most[:2], one.id, each.number) for each in ready),
            return_exceptions=True,
        )
        for failed in found:
            if isinstance(failed, BaseException) and not isinstance(failed, TargetFailed | StoreFailed):
                raise failed
        return [(hold, each) for hold, each in zip(found, ready, strict=True) if isinstance(hold, str)]

    def _lines(self, live: Live, holds: list[tuple[str, Ready]]) -> tuple[list[bytes], Boundary]:
        """What is said to egress, of those that may leave by the settings of this moment, and how far all of them may;
        the holds of the others end, and they are asked as others are."""
        lines: list[bytes] = []
        allowed = Boundary.CLOUD
        for hold, each in holds:
            try:
                permit = self._pipeline.permit(each.call, each.settings, self._outside.endpoint)
            except Failure:
                self.money.release(hold)
                self._direct(live, each.number)
                continue
            allowed = min(allowed, permit.allowed)
            said = {"call": each.call.id, "hold": hold, "body": orjson.Fragment(each.body)}
            lines.append(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
        return lines, allowed

    # -- what is under way --------------------------------------------------------------------------------------------

    def _begin_following(self, one: ProviderBatch) -> None:
        task = asyncio.get_running_loop().create_task(self._follow(one), name="a batch of a provider")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, one: ProviderBatch) -> None:
        """Until it has ended, and each of its lines has."""
        while True:
            news = self._news  # of what comes while it is looked at, too
            try:
                if await self._looked(one):
                    return
            except (NotDone, Unanswered) as failed:
                log.info("batch %s at '%s' cannot be looked at now: %s", one.id, one.provider, failed)
                if self._wall() > one.expires_s + GRACE_S:
                    await self._gave_up(one)
            except StoreFailed as failed:
                log.error("batch %s at '%s' cannot go on now: %s", one.id, one.provider, failed)
            except Exception:
                log.exception("batch %s at '%s' cannot be settled now", one.id, one.provider)
            if one.id not in self.open:
                return
            one = self.open[one.id]
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), self.look_every_s)

    async def _looked(self, one: ProviderBatch) -> bool:
        """Whether nothing more is to come of it. Raises NotDone, Unanswered and StoreFailed."""
        held, order = self.money.of(one.id), self._order(one)
        if not one.remote_id:
            if not held:
                return await self._end(one, {})
            found, is_leaving = await self._outside.find(order)
            if found is None:
                return not is_leaving and self._was_never_made(one) and await self._end(one, {}, is_again=True)
            one = await self._changed(one, SUBMITTED, str(found["id"]))
        found = await self._outside.look(order, one.remote_id)
        if found["status"] not in TERMINAL and held and one.state != CANCELLING and self._is_to_stop(one):
            one, found = await self._called_back(one, order)
        if found["status"] not in TERMINAL:
            return False
        if held:
            await self._ends.settle(one, order, found, self.live.get(one.batch_id))
        return await self._end(one, found)

    async def _called_back(self, one: ProviderBatch, order: Order) -> tuple[ProviderBatch, dict[str, Any]]:
        """How it is there after that. Raises NotDone and Unanswered."""
        try:
            await self._outside.cancel(order, one.remote_id)
        except NotDone:  # so it is said of one that has ended since it was looked at, too
            found = await self._outside.look(order, one.remote_id)
            if found["status"] not in TERMINAL:
                raise
            return one, found
        one = await self._changed(one, CANCELLING)
        return one, await self._outside.look(order, one.remote_id)

    async def _gave_up(self, one: ProviderBatch) -> None:
        """Nobody knows what became of it, and that is waited for no more."""
        log.error("'%s' tells nothing of batch %s, so all that it may have cost counts", one.provider, one.id)
        self._ends.lose(one, self.live.get(one.batch_id))
        try:
            await self._end(one, {})
        except StoreFailed as failed:
            log.error("the end of batch %s cannot be written down now: %s", one.id, failed)

    def _was_never_made(self, one: ProviderBatch) -> bool:
        if self._wall() - one.created_s >= SURE_S:
            return True
        rows = [held.row for held in self.money.of(one.id)]
        return {row.call_id for row in rows} <= self._never_left(rows)

    def _is_to_stop(self, one: ProviderBatch) -> bool:
        """Its batch has ended or is to end, or it needs the time that is left to ask the lines itself."""
        live = self.live.get(one.batch_id)
        if live is None or live.stop:
            return True
        begun_s = max(live.batch.created_s, live.batch.not_before_s)
        return self._wall() >= begun_s + 0.75 * (live.batch.expires_s - begun_s)

    async def _end(self, one: ProviderBatch, found: Mapping[str, object], *, is_again: bool = False) -> bool:
        """What is still held for it comes free, and those lines are asked as others are; where `is_again`, they may go
        to a provider once more. Whether it has ended on the disk, too: not before its rows are there."""
        live = self.live.get(one.batch_id)
        for held in self.money.of(one.id):
            self.money.release(held.row.id)
            if live is not None and is_again:
                live.out.discard(held.row.line)
            elif live is not None:
                self._direct(live, held.row.line)
        self.tell()
        if not await self.money.is_over(one.id):
            return False
        await self._ends.forget(self._order(one), found)
        await self._rows.change(one.id, ENDED)
        self.open.pop(one.id, None)
        return True

    async def _changed(self, one: ProviderBatch, state: str, remote_id: str | None = None) -> ProviderBatch:
        changed = replace(one, state=state, remote_id=remote_id or one.remote_id)
        self.open[one.id] = changed
        try:
            await self._rows.change(one.id, state, remote_id)
        except StoreFailed as failed:  # after a start it is found by its id, as any whose answer got lost
            log.error("that batch %s is %s cannot be written down: %s", one.id, state, failed)
        return changed

    def _order(self, one: ProviderBatch) -> Order:
        held = self.money.of(one.id)
        key, profile = (held[0].row.key_id, held[0].row.profile) if held else ("-", "-")
        return Order(one.id, key, profile, one.provider, one.model, since_s=one.created_s)

    def _direct(self, live: Live, number: int) -> None:
        live.direct.add(number)
        live.out.discard(number)

    async def prune(self) -> None:
        """Forgets batches that ended long ago. Raises StoreFailed."""
        await self._rows.prune(self._wall() - KEPT_S)
