"""What a provider's batch has brought: answers are written down, and after that their money is settled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure
from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.gateway.batches.line import call_of, raw_lines, read_line
from ringfence.gateway.batches.live import Live
from ringfence.gateway.batches.outside import NotDone, Order, Outside, Unanswered
from ringfence.gateway.batches.rented_line import answer_in, results, usage_of, written
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.line_money import Held, LineMoney
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.route import Foreign
from ringfence.store.batches import BatchRows, Written
from ringfence.store.provider_batches import ProviderBatch
from ringfence.store.sealing import Unreadable
from ringfence.telemetry.events import BatchLineEnded

log = logging.getLogger("ringfence.batches")
RESULTS = ("output_file_id", "error_file_id")
FILES = ("input_file_id", *RESULTS)
Row = Mapping[str, Any]
AT_ONCE = 100


class Ends:
    """For `Rented`."""

    def __init__(
        self, pipeline: Pipeline, rows: BatchRows, money: LineMoney, outside: Outside,
        routes: Mapping[str, Dialect | Foreign], key_of: Callable[[str], Key | None],
    ) -> None:  # fmt: skip
        self._pipeline = pipeline
        self._rows = rows
        self._money = money
        self._outside = outside
        self._routes = routes
        self._key_of = key_of

    async def settle(self, one: ProviderBatch, order: Order, found: Row, live: Live | None) -> None:
        """What was answered is written down for its caller, and paid. What was not stays held. Raises NotDone,
        Unanswered and StoreFailed."""
        rows: dict[str, dict[str, Any]] = {}
        is_torn = False
        for name in RESULTS:
            if isinstance(found.get(name), str):
                part, is_worse = results(await self._outside.lines(order, found[name]))
                rows |= part
                is_torn |= is_worse
        held = {each.row.id: each for each in self._money.of(one.id)}
        answered = {hold: body for hold, row in rows.items() if (body := answer_in(row)) is not None and hold in held}
        cloud = self._pipeline.relay.clouds.get(one.provider)
        used = {hold: usage_of(cloud, body) for hold, body in answered.items()}
        if live is not None:
            used |= await self._write(
                live, {held[hold].row.line: (held[hold], body) for hold, body in answered.items()}
            )
        for hold, usage in used.items():
            self._money.settle(hold, 200, "ok", usage)
            if live is not None:
                _over(live, held[hold].row.line)
        if is_torn:  # what cannot be read may be an answer, and be charged for
            log.error("'%s' says something of batch %s that cannot be read: the most counts", one.provider, one.id)
            for hold in held.keys() - rows.keys():
                self._money.settle(hold, 200, "malformed", None)
                if live is not None:
                    _over(live, held[hold].row.line)

    async def _write(self, live: Live, answers: dict[int, tuple[Held, dict[str, Any]]]) -> dict[str, Usage | None]:
        """By their lines. What each took, by its hold."""
        batch, used = live.batch, dict[str, Usage | None]()
        route, key = self._routes.get(batch.endpoint), self._key_of(batch.key_id)
        file = await self._rows.files.find(batch.input_file_id, batch.key_id, 0.0)
        if route is None or key is None or file is None:  # the batch has failed, or is about to
            return used
        targets = {one.name: one for model in self._pipeline.settings.catalog.models.values() for one in model.targets}
        due: list[Written] = []
        try:
            async for number, raw in raw_lines(self._rows.files, file):
                if number not in answers or number in live.answered:
                    continue
                held, body = answers[number]
                cloud = self._pipeline.relay.clouds.get(held.row.provider)
                target = targets.get(held.row.target)
                model = target.model if target is not None else held.row.model
                if cloud is None:
                    continue
                try:
                    line = read_line(number, raw)
                    call = await call_of(line, batch, key, route, held.row.call_id, Boundary.CLOUD)
                    text, used[held.row.id] = written(line, batch, call, model, cloud, body)
                except Failure as failure:  # it is no answer, and is asked for again
                    log.warning("line %d of batch %s was answered with something else: %s", number, batch.id, failure)
                    continue
                due.append(text)
                if len(due) >= AT_ONCE:
                    await self._wrote(live, due)
                    due = []
        except Unreadable:
            log.error("the input of batch %s cannot be read any more", batch.id)
        await self._wrote(live, due)
        return used

    async def _wrote(self, live: Live, due: list[Written]) -> None:
        if not due:
            return
        await self._rows.write(live.batch, due)
        for one in due:
            live.answered.add(one.line)
            live.out.discard(one.line)
            self._pipeline.emit(BatchLineEnded("completed"))

    def lose(self, one: ProviderBatch, live: Live | None) -> None:
        """Nobody knows what became of it."""
        for held in self._money.of(one.id):
            self._money.settle(held.row.id, 499, "unanswered", None)
            if live is not None:
                _over(live, held.row.line)

    async def forget(self, order: Order, found: Mapping[str, object]) -> None:
        """Its texts are to be there no longer than they need. What cannot be done now is left to the provider."""
        for name in FILES:
            file_id = found.get(name)
            if isinstance(file_id, str):
                try:
                    await self._outside.forget(order, file_id)
                except (NotDone, Unanswered) as failed:
                    log.warning("a file of batch %s stays at '%s': %s", order.id, order.provider, failed)


def _over(live: Live, number: int) -> None:
    """It is at the provider no more; without an answer it is asked as others are."""
    live.out.discard(number)
    if number not in live.answered:
        live.direct.add(number)
