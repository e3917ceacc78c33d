"""Batches, live: lines are begun when nobody else is kept waiting by them, and what they are answered is written, once.

Each batch has a task that goes through its input; each line takes the path of every other call (`Pipeline.begin`). A
line that cannot be served now is left for the next time through. After a restart all goes on with what is not written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic, time

from ringfence.core.errors import (
    EngineFailed,
    Failure,
    Forbidden,
    ModelNotFound,
    Overloaded,
    RateLimited,
    TargetUnavailable,
)
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.gateway.batches.checking import check, error
from ringfence.gateway.batches.line import Line, call_of, raw_lines, read_line, refused, used
from ringfence.gateway.batches.live import Going, Live
from ringfence.gateway.batches.pauses import Pauses
from ringfence.gateway.batches.rented import Rented, Take
from ringfence.gateway.batches.settings import BatchSettings
from ringfence.gateway.batches.told import answered_line, missed_line
from ringfence.gateway.batches.writing import Writing
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.parked_answer import Noted, Recorder
from ringfence.gateway.pipeline import Pipeline, fault
from ringfence.gateway.reply import Answer
from ringfence.gateway.route import Foreign
from ringfence.store.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    Batch,
    BatchRows,
    Written,
)
from ringfence.store.failure import StoreFailed
from ringfence.store.files import File
from ringfence.store.sealing import Unreadable
from ringfence.telemetry.events import BatchEnded, BatchLineEnded

log = logging.getLogger("ringfence.batches")
NOT_NOW = (TargetUnavailable, Overloaded, RateLimited, Forbidden)
"""Of a line: it waits. What is forbidden now, by an open wall or a profile that is gone, was not when it was made."""
RETRY_S = 1.0
PRUNE_EVERY_S = 600.0
MISSED = {
    EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
    CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was executed."),
}
MOST_LATER = 100
"""Lines that broke before and wait until all others had their turn; of more than that, the rest take theirs."""
FILLED = 500
"""Lines that are written at a time where none was asked."""


class Running:
    """Give it a second now and then (`tick`), and tell it when something came back (`look_anew`)."""

    def __init__(
        self,
        pipeline: Pipeline,
        rows: BatchRows,
        routes: Mapping[str, Dialect | Foreign],
        key_of: Callable[[str], Key | None],
        *,
        now: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        """`now` is what pauses are measured by; `wall` is for what is written down, and for deadlines and hours."""
        self.settings = BatchSettings()
        self.rows = rows
        self.rented: Rented | None = None
        """Takes lines that may go to a provider as a batch of its own."""
        self.live: dict[str, Live] = {}
        self.is_waiting: Callable[[Call], bool] = lambda _call: False
        """Whether a call that is under way only waits, and keeps no target busy."""
        self._going: set[Going] = set()
        self._pipeline = pipeline
        self._routes = routes
        self._key_of = key_of
        self._now = now
        self._wall = wall
        self._pauses = Pauses()
        self._writing = Writing(rows)
        self._busy_until_s = 0.0
        self._news = asyncio.Event()
        self._prune_s = 0.0
        self._is_closed = False

    @property
    def lines_going(self) -> int:
        return len(self._going)

    # -- coming in and going ------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """After a start: go on with what had not ended."""
        try:
            found = await self.rows.open(self._wall())
        except StoreFailed as failed:
            log.error("batches cannot be read: %s", failed)
            return
        for batch in found:
            self.take_in(batch)
        if self.rented is not None:
            self.rented.live, self.rented.tell = self.live, self._tell
            self.rented.resume()
        if found:
            log.info("%d batches go on", len(found))

    def take_in(self, batch: Batch) -> None:
        live = self.live[batch.id] = Live(batch)
        if batch.state == CANCELLING:
            live.stop = CANCELLED
        if self.rented is not None:
            self.rented.took_in(live)
        self._pipeline.comes_first = self._make_room
        live.task = asyncio.get_running_loop().create_task(self._work(live), name="a batch")

    async def cancel(self, batch: Batch) -> Batch:
        """What was answered until now is kept."""
        batch = await self.rows.cancel(batch, self._wall())
        if (live := self.live.get(batch.id)) is not None:
            self._stop(live, CANCELLED)
        return batch

    async def tick(self) -> None:
        """Every second: deadlines, keys that are no longer valid, and whoever may go now."""
        wall_s = self._wall()
        for live in list(self.live.values()):
            if self._key_of(live.batch.key_id) is None:
                live.errors = live.errors or (error("key_not_valid", "The key that made this batch is not valid."),)
                self._stop(live, FAILED)
            elif wall_s >= live.batch.expires_s:
                self._stop(live, EXPIRED)
        self._tell()
        if self._now() >= self._prune_s:
            self._prune_s = self._now() + PRUNE_EVERY_S
            await self.rows.files.prune(wall_s)
            await self.rows.prune(wall_s)
            if self.rented is not None:
                await self.rented.prune()

    def look_anew(self) -> None:
        """Something came back, or was changed."""
        self._pauses.clear()
        self._tell()

    async def close(self) -> None:
        """What is under way is stopped, and begun again after the next start."""
        self._is_closed = True
        tasks = [live.task for live in self.live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        for going in list(self._going):
            going.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.rented is not None:
            await self.rented.close()
        await self._writing.close()

    def _stop(self, live: Live, state: str) -> None:
        if not live.stop and live.out and self.rented is not None:
            self.rented.wake()
        live.stop = live.stop or state
        for going in list(live.going.values()):
            going.stop()
        self._tell()

    # -- whose turn it is ---------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Whoever waits looks again."""
        self._news.set()
        self._news = asyncio.Event()

    def _make_room(self, call: Call) -> None:
        """A call of a higher class comes: lines that keep its machine busy are stopped, and begun anew later."""
        if not self.settings.quiet_s:
            return
        self._busy_until_s = self._now() + self.settings.quiet_s
        wall_s, under_way = self._wall(), self._pipeline.running.values()
        for going in list(self._going):
            if not going.live.is_late(wall_s) and going.stands_in_the_way_of(call, under_way):
                going.stop()

    def _is_busy(self) -> bool:
        """Whether somebody who comes first is served, or was just now."""
        quiet_s, now_s = self.settings.quiet_s, self._now()
        if not quiet_s:
            return False
        for call in self._pipeline.running.values():
            if call.urgency is not Urgency.BACKGROUND and call.decision is not None and not self.is_waiting(call):
                self._busy_until_s = now_s + quiet_s
                break
        return now_s < self._busy_until_s

    def _may_begin(self, live: Live) -> bool:
        if self._is_closed or len(self._going) >= self.settings.at_once:
            return False
        return self._is_time(live) and (live.is_late(self._wall()) or not self._is_busy())

    def _is_time(self, live: Live) -> bool:
        wall_s, hours = self._wall(), self.settings.hours
        return wall_s >= live.batch.not_before_s and (hours is None or hours.at(wall_s)[0])

    # -- one batch ----------------------------------------------------------------------------------------------------

    async def _work(self, live: Live) -> None:
        while True:
            try:
                await self._worked(live)
            except StoreFailed as failed:
                log.error("batch %s cannot go on now: %s", live.batch.id, failed)
                await asyncio.sleep(RETRY_S)
                continue
            except Unreadable:
                log.error("batch %s cannot be read: its seal has another key, or it was changed", live.batch.id)
                await self._end(live, FAILED, error("file_unreadable", "The input file cannot be read any more."))
            except Exception:
                log.exception("batch %s failed inside the gateway", live.batch.id)
                await self._end(live, FAILED, error("internal_error", "The gateway failed on this batch."))
            break
        self.live.pop(live.batch.id, None)
        if not self.live:
            self._pipeline.comes_first = None

    async def _worked(self, live: Live) -> None:
        """From wherever it stands to its end."""
        batch = live.batch
        file = await self.rows.files.find(batch.input_file_id, batch.key_id, 0.0)
        if file is None:
            raise Unreadable
        if not batch.output_file_id and not live.stop and not await self._checked(live, file):
            return
        live.answered = await self.rows.answered(live.batch)
        while not live.stop and len(live.answered) < live.batch.total:
            await self._go_through(live, file)
        if self.rented is not None:
            self.rented.drop(live)
        while live.going or live.out:
            await self._news.wait()
        if live.stop in MISSED and live.batch.output_file_id:
            await self._fill(live, file)
        await self._end(live, live.stop or COMPLETED)

    async def _end(self, live: Live, state: str, *errors: dict[str, object]) -> None:
        live.batch = ended = await self.rows.end(live.batch, state, self._wall(), errors or live.errors)
        self._pipeline.emit(BatchEnded(ended.state, ended.completed, ended.failed, self._wall() - ended.created_s))

    async def _checked(self, live: Live, file: File) -> bool:
        """Whether there is nothing wrong with its input; else it has ended."""
        batch, key = live.batch, self._key_of(live.batch.key_id)
        route = self._routes.get(batch.endpoint)
        if key is None or route is None:
            await self._end(live, FAILED, error("key_not_valid", "The key that made this batch is not valid."))
            return False
        found = await check(self._pipeline, self.rows.files, file, batch, route, key, self.settings.most_lines)
        if found.errors:
            await self._end(live, FAILED, *found.errors)
            return False
        model = found.models.pop() if len(found.models) == 1 else ""
        live.batch = await self.rows.begin(batch, found.total, found.reaches, self._wall(), model)
        return True

    async def _go_through(self, live: Live, file: File) -> None:
        """Once through the input: begin each line that is not answered, and that something may serve."""
        begun = 0
        later: list[Line] = []
        async for number, raw in raw_lines(self.rows.files, file):
            if number in live.answered or number in live.going or number in live.out:
                continue
            line = read_line(number, raw)
            if live.has_broken(number) and len(later) < MOST_LATER:
                later.append(line)
            else:
                begun += await self._begins(live, line)
            if live.stop:
                return
        for line in later:
            begun += await self._begins(live, line)
        if self.rented is not None:
            await self.rented.send(live)
        while (live.going or live.is_all_out) and not live.stop:
            await self._news.wait()
        if not begun and not live.stop and len(live.answered) < live.batch.total:
            await self._news.wait()

    async def _begins(self, live: Live, line: Line) -> bool:
        """Begin a line when it may; False where it is to wait for another time."""
        if self._pauses.holds(live.batch.key_id, line.model, self._now()):
            return False
        if self.rented is not None and self.rented.may_take(live, line.number):
            taken = await self._offered(self.rented, live, line)
            if taken is not Take.NO:
                return taken is Take.TAKEN
        while not live.stop and not self._may_begin(live):
            await self._news.wait()
        if not live.stop:
            self._go(live, line)
        return not live.stop

    async def _offered(self, rented: Rented, live: Live, line: Line) -> Take:
        """Whether a provider takes it, in a batch of its own."""
        while not live.stop and not self._is_time(live):
            await self._news.wait()
        key = self._key_of(live.batch.key_id)
        if live.stop or key is None:
            return Take.LATER
        route, call_id = self._routes[live.batch.endpoint], self._pipeline.ids.next(self._now())
        taken = await rented.take(live, line, key, route, call_id)
        if taken is Take.LATER:  # as much as may be is held for those that are there
            self._pauses.hold(live.batch.key_id, line.model, self._now())
        return taken

    async def _fill(self, live: Live, file: File) -> None:
        """Say of each line that was not asked why not."""
        code, message = MISSED[live.stop]
        missed: list[Written] = []
        async for number, raw in raw_lines(self.rows.files, file):
            if number in live.answered:
                continue
            line = read_line(number, raw)
            missed.append(Written(number, False, missed_line(line.id(live.batch), line.custom_id, code, message)))
            if len(missed) >= FILLED:
                await self._wrote(live, missed)
                missed = []
        await self._wrote(live, missed)

    async def _wrote(self, live: Live, missed: list[Written]) -> None:
        if missed:
            await self.rows.write(live.batch, missed)
            live.answered.update(one.line for one in missed)
            for _ in missed:
                self._pipeline.emit(BatchLineEnded(live.stop))

    # -- one line -----------------------------------------------------------------------------------------------------

    def _go(self, live: Live, line: Line) -> None:
        going = live.going[line.number] = Going(live, line)
        self._going.add(going)
        going.start(self._serve(going))

    async def _serve(self, going: Going) -> None:
        live, line = going.live, going.line
        try:
            written = await self._ask(going)
            if written is not None:
                going.is_writing = True
                await self._writing.write(live.batch, written)
                live.answered.add(line.number)
                self._pipeline.emit(BatchLineEnded("completed" if written.is_answer else "failed"))
        except asyncio.CancelledError:
            pass  # whoever stopped it says what becomes of it
        except Exception:
            log.exception("line %d of batch %s failed inside the gateway", line.number, live.batch.id)
            self._pauses.hold(live.batch.key_id, line.model, self._now())
        finally:
            live.going.pop(line.number, None)
            self._going.discard(going)
            self._tell()

    async def _ask(self, going: Going) -> Written | None:
        """What is to be written of it; None where it is to be asked again."""
        live, line, pipeline = going.live, going.line, self._pipeline
        batch, route = live.batch, self._routes[live.batch.endpoint]
        key = self._key_of(batch.key_id)
        if key is None:
            return None
        call_id = pipeline.ids.next(self._now())
        call: Call | None = None
        try:
            call = going.call = await call_of(line, batch, key, route, call_id, live.reach(line.number))
            pipeline.running[call_id] = call
            return await self._answered(going, call)
        except Failure as failure:
            if self._waits(live, line, failure):
                return None
            if call is not None:
                pipeline.record(call, None, failure.status, failure.code or "error", None, 0.0)
            return refused(line, batch, route, failure, call_id)
        except Exception:  # a fault of ours
            if not live.gives_up(line.number, is_ours=True):
                raise
            return refused(line, batch, route, fault(call, call_id), call_id)
        finally:
            pipeline.running.pop(call_id, None)

    async def _answered(self, going: Going, call: Call) -> Written:
        """Raises Failure."""
        live, line = going.live, going.line
        reply, head = await self._pipeline.begin(call)
        noted = reply.held = Noted(reply.held)  # type: ignore[arg-type]
        recorder = Recorder(call.voice)
        recorder.paper.is_gone = type(reply) is not Answer
        reply.send(recorder, head)
        if recorder.paper.is_gone:
            raise EngineFailed("The engine was asked for one answer, and sent a stream.")
        if noted.outcome != "ok" or recorder.is_too_long:
            raise EngineFailed("The answer is longer than can be kept.")
        self._pauses.served(live.batch.key_id, line.model)
        live.served += 1
        text = answered_line(line.id(live.batch), line.custom_id, recorder.answered[0], call.id, recorder.body)
        return Written(line.number, True, text, used(noted.usage, recorder.body))

    def _waits(self, live: Live, line: Line, failure: Failure) -> bool:
        """Whether it is not the line's fault, so that it is tried again."""
        is_gone = isinstance(failure, ModelNotFound) and line.model not in self._pipeline.settings.catalog.names
        is_at_fault = failure.code == "model_not_allowed" or not (is_gone or isinstance(failure, NOT_NOW))
        is_final = failure.status < 500 or failure.should_retry is False
        if is_at_fault and (is_final or live.gives_up(line.number)):
            return False
        self._pauses.hold(live.batch.key_id, line.model, self._now(), failure.retry_after_s)
        return True
