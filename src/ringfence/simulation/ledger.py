"""In the place of `store/ledger.py`: what is held and spent, in memory; and the third fence, watched as it happens."""

from __future__ import annotations

from ringfence.core.catalog import Target
from ringfence.core.ledger import CallRow, HoldRow, Spent
from ringfence.core.money import Budget, Price, Rates, Scope
from ringfence.gateway.call import Call
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.simulation.record import Record
from ringfence.telemetry.events import Answered

RATES = Rates.of(3_000_000, 15_000_000)
A_DAY = Budget(day=5_000_000)
"""For the house: of busy days some calls are over it."""
EPOCH_S = 1_790_000_000
"""The first moment of a run, by the clocks of budgets."""


class SimulatedLedger:
    """Nothing leaves without a hold that stands, no hold ends twice, and no cap is exceeded."""

    def __init__(self, purse: Purse, record: Record, provider: str, model: str) -> None:
        self.standing: dict[str, HoldRow] = {}
        self._purse = purse
        self._record = record
        purse.rows = self
        purse.rules = MoneyRules(house=A_DAY, prices={(provider, model): Price(RATES)})

    async def hold(self, row: HoldRow) -> None:
        self.standing[row.id] = row
        self._look()

    def release(self, hold_id: str) -> None:
        self._ends(hold_id)

    def record(self, row: CallRow) -> None:
        if row.hold_id is not None:
            self._ends(row.hold_id)

    def told(self, event: object) -> None:
        """Of all that the path tells: a call that was paid for has ended."""
        if isinstance(event, Answered) and event.paid is not None:
            self._ends(event.paid.hold_id)

    async def spent_since(self, since_s: float) -> list[Spent]:
        return []

    async def holds(self) -> list[HoldRow]:
        return list(self.standing.values())

    def leaves(self, call: Call, target: Target) -> None:
        """A call is handed to a provider."""
        if target.provider and call.hold not in self.standing:
            self._record.broken("money is held before a call leaves", f"{call.id} left with no hold")

    def is_over(self) -> None:
        """All calls have ended."""
        if self.standing:
            self._record.broken("nothing stays held", f"{len(self.standing)} holds stand after the end")
        self._look()

    def _ends(self, hold_id: str) -> None:
        if self.standing.pop(hold_id, None) is None:
            self._record.broken("a hold ends once", f"{hold_id} does not stand")
        self._look()

    def _look(self) -> None:
        for one in self._purse.standings({}):
            if one.scope == Scope("house") and one.limit is not None and one.spent + one.held > one.limit:
                self._record.broken("spent and held within the cap", f"{one.spent} + {one.held} > {one.limit}")
