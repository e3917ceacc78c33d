"""Parked requests, live: who waits, whose turn it is, and what becomes of each.

A caller that waits is served on its own connection; a ticket is served here, and its answer kept. Both wait in one
queue (routing/waiting.py), and both take the path of every other call (`Pipeline.complete`) when their turn comes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from time import monotonic, time
from typing import Any

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import (
    EngineFailed,
    Failure,
    Forbidden,
    Gone,
    NotAuthenticated,
    NothingNow,
    Overloaded,
    RateLimited,
    TargetUnavailable,
)
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.parked_answer import Noted, Recorder, Told
from ringfence.gateway.parked_endings import Endings
from ringfence.gateway.parked_outlook import Outlook
from ringfence.gateway.parked_pending import Pending, call_of, too_late
from ringfence.gateway.parked_wishes import ParkingSettings, Wishes, read_wishes
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.request import Request
from ringfence.gateway.route import Foreign
from ringfence.gateway.step import Run, Waiter
from ringfence.gateway.thinking.thinking import AnyReply
from ringfence.routing.rules import PARK_RETRY_S
from ringfence.routing.waiting import Place, Waiting, left_s, put_off_s
from ringfence.store.failure import StoreFailed
from ringfence.store.parked import CANCELLED, DONE, EXPIRED, FAILED, UNREADABLE, Ending, Parked, ParkedRows
from ringfence.store.sealing import Unreadable
from ringfence.telemetry.events import CallParked, ParkedEnded

log = logging.getLogger("ringfence.parking")
MOST_BYTES = 1024**3
"""Of sealed requests on disk."""
PRUNE_EVERY_S = 600.0
NOT_NOW = (TargetUnavailable, Overloaded, RateLimited, Forbidden)
"""Of one that is parked: it goes on waiting. What is forbidden now, by an open wall or a profile that is gone, was not
when it was parked."""
WHOLE = frozenset(("ok", "engine_error"))


class Parking:
    """Give it a second now and then (`tick`), and tell it when something came back (`look`)."""

    def __init__(
        self,
        pipeline: Pipeline,
        rows: ParkedRows,
        dialects: dict[str, Dialect | Foreign],
        key_of: Callable[[str], Key | None],
        *,
        now: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        """`now` is what waiting is measured by; `wall` is only for what is written down, and for a restart."""
        self.settings = ParkingSettings()
        self.rows = rows
        self.waiting = Waiting(self.settings.most)
        self.kept: dict[str, Pending] = {}
        self._pipeline = pipeline
        self._dialects = dialects
        self._key_of = key_of
        self._now = now
        self._wall = wall
        self._coming = 0
        self._held_bytes = {True: 0, False: 0}
        """Of tickets on disk, and of callers that wait in memory."""
        self._is_looking = self._is_look_due = self._is_closed = False
        self._in_flight: Counter[str] = Counter()
        self._limited: dict[str, float] = {}
        """Key id -> when a key that has used up what it may is tried again."""
        self.endings = Endings(rows)
        self._unwritten: list[Waiter[None]] = []
        self.outlook = Outlook(self.waiting, self._slots_for, now)
        self._prune_s = 0.0

    # -- coming in ----------------------------------------------------------------------------------------------------

    async def wait(self, request: Request, call: Call) -> tuple[AnyReply, bytes] | None:
        """Its answer, when its turn has come; None when its caller took a ticket. Raises Failure."""
        wishes = read_wishes(request.head, self.settings, self._wall())
        self.waiting.most = self.settings.most
        most_bytes = MOST_BYTES if wishes.wants_ticket else self.settings.most_body_bytes
        if (
            self._is_closed
            or len(self.waiting) + self._coming >= self.settings.most
            or self._held_bytes[wishes.wants_ticket] + call.body_bytes > most_bytes
        ):
            raise Overloaded(
                f"Nothing can serve '{call.model}' now, and as many requests as may wait do so already.",
                code="queue_full", retry_after_s=PARK_RETRY_S,
            )  # fmt: skip
        self._coming += 1
        self._held_bytes[wishes.wants_ticket] += call.body_bytes
        try:
            row = await self._write_down(call, wishes)
        finally:
            self._coming -= 1
            self._held_bytes[wishes.wants_ticket] -= call.body_bytes
        if not wishes.wants_ticket:
            return await self._served(self._take_in(row, call, wishes.deadline_s), request)
        without_text = call_of(row, call.key, self._dialects[row.dialect], self._now())
        without_text.may_load, without_text.matched = call.may_load, call.matched
        self._take_in(row, without_text, wishes.deadline_s)
        self._give_ticket(row, request, call.id)
        return None

    async def _write_down(self, call: Call, wishes: Wishes) -> Parked:
        settings = self._pipeline.settings
        profile = settings.profile_of(call)
        boundary = profile.boundary
        if boundary is not Boundary.HOST:
            boundary = min(boundary, (await self._pipeline.tightest_in_turns(call, settings)).reach)
        now_s = self._wall()
        row = Parked(
            f"parked-{secrets.token_hex(10)}", call.key.id, profile.name, int(boundary), int(call.urgency), call.model,
            call.spoken, call.agent, call.named, call.stream, call.body_bytes, wishes.wants_ticket, now_s,
            now_s + wishes.deadline_s, not_before_s=wishes.not_before_s,
        )  # fmt: skip
        call.at_most = min(call.at_most, boundary)
        asked = call.body if call.asked is None else call.asked
        text = orjson.dumps({"body": asked, "labels": call.labels}) if wishes.wants_ticket else None
        try:
            row = await self.rows.add(row, text)
        except StoreFailed as failed:
            log.error("a request cannot be parked: %s", failed)
            raise TargetUnavailable(
                f"Nothing can serve '{call.model}' now, and it cannot be parked: the gateway's log says why.",
                code="not_parked", retry_after_s=PARK_RETRY_S,
            ) from None  # fmt: skip
        except asyncio.CancelledError:  # what was begun is written, and this after it
            self.endings.add(Ending(row, CANCELLED, self._wall()))
            raise
        self._pipeline.emit(CallParked(call.urgency.name.lower(), wishes.wants_ticket))
        return row

    def _take_in(self, row: Parked, call: Call, left_s: float) -> Pending:
        now_s = self._now()
        want = (call.model, row.dialect, row.key_id, call.agent, call.named, row.boundary)
        place = Place(row.id, row.number, Urgency(row.urgency), want, now_s, now_s + left_s)
        if row.not_before_s:
            place.not_before_s = now_s + put_off_s(row.parked_s, row.not_before_s, self._wall())
        kept = self.kept[row.id] = Pending(row, call, now_s)
        self._held_bytes[row.ticketed] += row.body_bytes
        self.waiting.add(place)
        self.look_soon()
        return kept

    def _give_ticket(self, row: Parked, request: Request, call_id: str) -> None:
        head = (
            f"x-request-id: {call_id}\r\nlocation: /v1/parked/{row.id}\r\npreference-applied: respond-async\r\n"
            f"content-type: application/json\r\nretry-after: {self.outlook.poll_s(row.id)}\r\n"
        )
        request.answer(202, head.encode(), orjson.dumps(self.outlook.shown(row)))

    async def restore(self) -> None:
        """After a start: take in what waits on disk."""
        try:
            found = await self.rows.restore(self._wall())
        except StoreFailed as failed:
            log.error("what was parked cannot be read: %s", failed)
            return
        for row in found:
            key = self._key_of(row.key_id)
            try:
                call = call_of(row, key or Key(row.key_id, ""), self._dialects[row.dialect], self._now())
                self._take_in(row, call, left_s(row.parked_s, row.deadline_s, self._wall()))
            except (KeyError, TypeError, ValueError):  # damaged: the others are served all the same
                log.error("parked request %s cannot be read: its row was changed", row.id)
                self.endings.add(Ending(row, UNREADABLE, self._wall()))
        if found:
            log.info("%d parked requests were found", len(found))

    # -- whose turn it is ---------------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        if self.kept and not self._is_look_due:
            self._is_look_due = True
            asyncio.get_running_loop().call_soon(self.look)

    def look(self) -> None:
        """Let go whoever can be served now: something came back, or became free."""
        self._is_look_due = False
        if self._is_looking or self._is_closed:
            return
        self._is_looking = True
        try:
            while (place := self.waiting.next(self._now(), self._takes_target)) is not None:
                self._go(self.kept[place.id])
        finally:
            self._is_looking = False

    def _takes_target(self, place: Place) -> bool:
        kept = self.kept[place.id]
        if self._limited.get(kept.row.key_id, float("-inf")) > self._now():
            return False
        kept.target = self._target(kept.call)
        if place.urgency is Urgency.BACKGROUND and kept.target and kept.target.name in self._pipeline.admission.slowed:
            kept.target = None  # its device is too hot or too busy
        if kept.target is not None:
            self._in_flight[kept.target.name] += 1
            kept.goes_to(self._pipeline.health.of(kept.target))
        return kept.target is not None

    def _target(self, call: Call, *, even_busy: bool = False) -> Target | None:
        """One that would serve the call now, or next where it is busy, as far as can be told without its text."""
        try:
            decision = self._pipeline.foreseen(call)
        except Failure:
            return None
        free = (one for one in decision.chain.targets if even_busy or self._in_flight[one.name] < one.slots)
        return next((target for target in free if self._is_there(target, call)), None)

    def _is_there(self, target: Target, call: Call) -> bool:
        if not self._pipeline.health.is_usable(target):
            return False
        if call.urgency is Urgency.BACKGROUND and self._pipeline.quotas.rests(target):
            return False
        if self._pipeline.placement.is_here(target):
            return True
        if call.may_load:
            self._pipeline.placement.missed(target, call.urgency)
        return False

    def _go(self, kept: Pending) -> None:
        if kept.row.ticketed:
            kept.run = Run(self._serve(kept))
            kept.run.step()
        else:
            kept.turn.wake(None)

    def _back(self, kept: Pending) -> None:
        """It could not be served after all."""
        self._free(kept)
        if kept.row.id in self.kept:
            self.waiting.put_back(kept.row.id, self._now())
            self.look_soon()

    def _free(self, kept: Pending) -> None:
        if kept.target is not None:
            self._in_flight[kept.target.name] -= 1
            kept.target = None

    # -- being served -------------------------------------------------------------------------------------------------

    async def _served(self, kept: Pending, request: Request) -> tuple[AnyReply, bytes]:
        """Of a caller that waits on its connection."""
        call = kept.call
        try:
            if call.stream:
                kept.told.append(Told(request, call.id))
                self.outlook.tell(kept)
            while True:
                failure = await kept.turn
                if failure is not None:
                    raise failure
                kept.turn = Waiter()
                began_s = self._now()
                try:
                    call.failed_at = ()
                    reply, head = await self._pipeline.begin(call)
                except NOT_NOW as failure:
                    self._not_now(kept, failure)
                    self._back(kept)
                    continue
                self._count(kept, began_s)
                self._over(kept, DONE, 200)
                return reply, head
        except asyncio.CancelledError:
            self._over(kept, CANCELLED)
            raise
        except Failure as failure:
            self._over(kept, FAILED, failure.status)
            raise
        except Exception:  # a fault of ours
            self._over(kept, FAILED, 500)
            raise

    def _not_now(self, kept: Pending, failure: Failure) -> None:
        """Why it goes on waiting, for the next time; raises what its caller is told where it is of no use."""
        if isinstance(failure, RateLimited):
            self._limited[kept.row.key_id] = self._now() + (failure.retry_after_s or 1.0)
        broke, target = failure.broke if isinstance(failure, NothingNow) else None, kept.target
        if broke is not None and target is not None and kept.is_broken_again(self._pipeline.health.of(target)):
            raise broke

    async def _serve(self, kept: Pending) -> None:
        """Of a ticket: the answer is kept, and nobody is told before it is written down."""
        began_s, row = self._now(), kept.row
        try:
            call = await self.read_back(kept)
            if call is None:
                return
            recorder = Recorder(call.voice)
            state = await self._record(kept, call, recorder)
            if state:
                status, head = recorder.answered
                self._count(kept, began_s)
                await self._keep(row, state, status, head + b"\r\n" + recorder.body)
                self._over(kept, state, write=False)
                return
            kept.call.matched = call.matched
        except asyncio.CancelledError:
            return  # whoever cancelled it says what becomes of it
        except StoreFailed as failed:
            log.error("a parked request cannot be read now: %s", failed)
        except Exception:
            log.exception("parked request %s failed inside the gateway", row.id)
            if kept.is_broken_again():
                self._over(kept, FAILED, 500)
        self._back(kept)

    async def _keep(self, row: Parked, state: str, status: int, answer: bytes) -> None:
        """Written down as soon as can be: it is not made again for want of a disk. Until then it keeps its place at its
        target, so that no more answers wait here than are made at once."""
        while True:
            try:
                await self.rows.end(row, state, self._wall(), status, answer)
            except StoreFailed as failed:
                log.error("the answer to a parked request cannot be written down, and is tried again: %s", failed)
                again: Waiter[None] = Waiter()
                self._unwritten.append(again)
                await again
            else:
                return

    async def read_back(self, kept: Pending) -> Call | None:
        """The call as it was parked, under its key as that is now. None when it has come to its end instead."""
        row = kept.row
        key = self._key_of(row.key_id)
        if key is None:
            self._over(kept, CANCELLED)
            return None
        try:
            text: dict[str, Any] = orjson.loads(await self.rows.text(row))
        except Unreadable:
            log.error("parked request %s cannot be opened: its seal has another key, or it was changed", row.id)
            self._over(kept, UNREADABLE)
            return None
        return call_of(row, key, self._dialects[row.dialect], self._now(), text["body"], text["labels"])

    async def _record(self, kept: Pending, call: Call, recorder: Recorder) -> str:
        """The state that it ends in; empty when it is to wait again."""
        pipeline = self._pipeline
        if call.id in pipeline.running:  # a caller may have taken its name
            call.id = pipeline.ids.next(call.started_at)
        pipeline.running[call.id] = call
        try:
            try:
                reply, head = await pipeline.begin(call)
            except NOT_NOW as failure:
                self._not_now(kept, failure)
                raise
            noted = reply.held = Noted(reply.held)  # type: ignore[arg-type]
            reply.send(recorder, head)
            await recorder.done
        except NOT_NOW:
            pipeline.running.pop(call.id, None)
            return ""
        except Failure as failure:
            recorder.fail(failure, call.id)
            pipeline.record(call, None, failure.status, failure.code or "error", None, 0.0)
            return FAILED
        except BaseException:
            if recorder.on_gone is not None:
                recorder.on_gone()
            pipeline.record(call, None, 499, "client_gone", None, 0.0)
            raise
        if noted.outcome not in WHOLE and not kept.is_broken_again():
            return ""
        if recorder.is_too_long:
            recorder.fail(EngineFailed("The answer is longer than can be kept."), call.id)
        return DONE if recorder.answered[0] < 400 else FAILED

    # -- coming to an end ---------------------------------------------------------------------------------------------

    def _over(self, kept: Pending, state: str, status: int | None = None, *, write: bool = True) -> None:
        """However it ended. Only the first call counts."""
        self._free(kept)
        row = kept.row
        if self.kept.pop(row.id, None) is None:
            return
        self._held_bytes[row.ticketed] -= row.body_bytes
        self.waiting.remove(row.id)
        if write:
            self.endings.add(Ending(row, state, self._wall(), status))
        self._pipeline.emit(ParkedEnded(state, self._now() - kept.since_s))
        for waiter in list(kept.ended):
            waiter.wake(None)
        self.look_soon()

    def _turn_away(self, kept: Pending, state: str, failure: Failure) -> None:
        """It will not be served. A caller that waits is told so; a ticket that is being served is stopped."""
        run, turn = kept.run, kept.turn
        self._over(kept, state, failure.status)
        if run is not None:
            run.cancel()
        turn.wake(failure)

    def cancel(self, parked_id: str) -> bool:
        """On somebody's word; False when it does not wait any more."""
        kept = self.kept.get(parked_id)
        if kept is not None:
            self._turn_away(kept, CANCELLED, Gone("This request was cancelled while it was parked."))
        return kept is not None

    async def tick(self) -> None:
        """Every second: deadlines, keys that are no longer valid, and word to those who wait."""
        now_s = self._now()
        self.outlook.look_anew()
        self.endings.write()
        unwritten, self._unwritten = self._unwritten, []
        for again in unwritten:
            again.wake(None)
        for place in self.waiting.expired(now_s):
            self._turn_away(self.kept[place.id], EXPIRED, too_late())
        valid = {key_id: self._key_of(key_id) is not None for key_id in {k.row.key_id for k in self.kept.values()}}
        for kept in [kept for kept in self.kept.values() if not valid[kept.row.key_id]]:
            self._turn_away(kept, CANCELLED, NotAuthenticated("The key of this request is no longer valid."))
        self.look()
        for kept in list(self.kept.values()):
            self.outlook.tell(kept)
        if now_s >= self._prune_s:
            self._prune_s = now_s + PRUNE_EVERY_S
            await self.rows.prune(self._wall())

    async def close(self) -> None:
        """Callers that wait are told to come again; tickets go on waiting, on disk, for the next start."""
        self._is_closed = True
        for kept in list(self.kept.values()):
            if kept.row.ticketed:
                self.kept.pop(kept.row.id, None)
                if kept.run is not None:
                    kept.run.cancel()
                for waiter in list(kept.ended):
                    waiter.wake(None)
            else:
                stopping = TargetUnavailable("The gateway is being stopped.", retry_after_s=PARK_RETRY_S)
                self._turn_away(kept, CANCELLED, stopping)
        await self.endings.settled()

    # -- what is told -------------------------------------------------------------------------------------------------

    def follow(self, kept: Pending, told: Told, ended: Waiter[None]) -> None:
        """Somebody who holds its ticket is told how it stands, and then that it has ended."""
        kept.ended.append(ended)
        kept.told.append(told)
        self.outlook.tell(kept)

    def _slots_for(self, parked_id: str) -> int:
        """How many like it are served at a time now; 0 while there is nowhere to go."""
        kept = self.kept.get(parked_id)
        target = self._target(kept.call, even_busy=True) if kept is not None else None
        return target.slots if target is not None else 0

    def _count(self, kept: Pending, began_s: float) -> None:
        self.waiting.served(began_s - kept.since_s, self._now() - began_s)
