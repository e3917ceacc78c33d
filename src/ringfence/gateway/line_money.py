"""Money for lines that are in a batch of a provider: held when they are submitted, at the price of batches, and until
the provider has said what became of each. A hold of this kind outlives its process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import Failure
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import Price
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.money import Charge, KeyOf, Purse, key_or_gone

NOTHING = Usage()
PriceAt = Callable[[str, str, float], Price | None]
"""What a model of a provider, by its name there, cost at a moment in Unix time. None: nobody knows."""


class Held(NamedTuple):
    """One line."""

    row: HoldRow
    charge: Charge


class LineMoney:
    """Holds by their ids. Each ends once: whoever says again what became of a line is told False."""

    def __init__(self, purse: Purse, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` writes down what is pending."""
        self._purse = purse
        self._flush = flush
        self._total = 0
        self.held: dict[str, Held] = {}

    def most(self, call: Call, target: Target, tokens: tuple[int, int]) -> int:
        """Micro-dollars. Raises TargetFailed (unpriced)."""
        price = self._purse.price_for(call, target)
        return price.most(*tokens, is_batch=True) if price is not None else 0

    def leaves_room(self, call: Call, target: Target, most: int, planned: int) -> bool:
        """Whether no more than half of what is left of each budget is held for lines then: it may be held for a day,
        and others are to be served meanwhile. `planned` is for lines that are about to be held for."""
        assert call.decision is not None
        left = self._purse.left(call.key, call.agent, call.decision.profile, target.provider)
        return left is None or 2 * (self._total + planned + most) <= left + self._total

    async def hold(
        self, call: Call, target: Target, tokens: tuple[int, int], submission: str, line: int
    ) -> str:  # fmt: skip
        """The id of the hold, which is on the disk. Raises TargetFailed (over_budget, unpriced) and StoreFailed."""
        purse, decision = self._purse, call.decision
        assert decision is not None
        if purse.rows is None:
            raise Failure("There is no ledger here, so nothing is paid for.")
        price, most = purse.price_for(call, target), self.most(call, target, tokens)
        charge = purse.take(call.key, call.agent, decision.profile, target, most, price)
        row = HoldRow(
            charge.id, call.id, charge.at_s, call.key.id, decision.profile, call.agent, call.spoken, decision.model,
            target.name, target.provider, most, submission, line,
        )  # fmt: skip
        try:
            await purse.rows.hold(row)
        except BaseException:
            purse.let_go(charge)
            raise
        self._hold(Held(row, charge))
        return charge.id

    async def rows(self) -> list[HoldRow]:
        """All holds on the disk. Raises StoreFailed."""
        return await self._purse.rows.holds() if self._purse.rows is not None else []

    async def is_over(self, submission: str) -> bool:
        """Whether nothing is held for it on the disk either. Raises StoreFailed."""
        await self._flush()
        return not any(row.submission == submission for row in await self.rows())

    def restore(self, rows: Iterable[HoldRow], open_: Mapping[str, str], key_of: KeyOf, price_at: PriceAt) -> None:
        """After a start, and after `Purse.restore`: holds of what is under way at a provider stand as they stood.
        `open_` are the batches there, and the name that their model has there, by which `price_at` knows it."""
        purse = self._purse
        for row in rows:
            engine_model = open_.get(row.submission)
            if engine_model is not None and row.id not in self.held:
                key = key_or_gone(key_of, row.key_id)
                price = price_at(row.provider, engine_model, row.at_s)
                price = price.on(row.at_s) if price is not None else None
                target = Target(row.target, row.model, "", engine_model, Boundary.CLOUD, provider=row.provider)
                self._hold(Held(row, purse.held_again(row, target, key, price)))

    def settle(self, hold_id: str, status: int, outcome: str, usage: Usage | None) -> bool:
        """The line was answered. None used: nobody knows how much."""
        held = self._pop(hold_id)
        if held is None:
            return False
        row, charge = held
        rows, cost = self._purse.rows, charge.cost(usage, is_batch=True)
        self._purse.spend(charge, cost or 0)
        used = usage or NOTHING
        assert rows is not None
        rows.record(CallRow(
            row.call_id, row.at_s, row.key_id, row.profile, row.agent, row.dialect, row.model, row.target, row.provider,
            status, outcome, False, used.prompt_tokens, used.cached_tokens, used.cache_write_tokens,
            used.completion_tokens, used.reasoning_tokens, usage is None or used.estimated, cost, None, 0.0, 0.0,
            row.id,
        ))  # fmt: skip
        return True

    def release(self, hold_id: str) -> bool:
        """The provider has not answered it, and charges nothing: refused, expired or cancelled."""
        held = self._pop(hold_id)
        if held is not None:
            self._purse.release(held.charge)
        return held is not None

    def of(self, submission: str) -> list[Held]:
        """The lines of one batch that have no end yet."""
        return [held for held in self.held.values() if held.row.submission == submission]

    def _hold(self, held: Held) -> None:
        self.held[held.row.id] = held
        self._total += held.row.usd_micros

    def _pop(self, hold_id: str) -> Held | None:
        held = self.held.pop(hold_id, None)
        self._total -= held.row.usd_micros if held is not None else 0
        return held
