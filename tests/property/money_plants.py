"""Faults in the money fence, each put into its own code: to see that the property finds them."""

from __future__ import annotations

from typing import Any

from pytest import MonkeyPatch

from ringfence.core.errors import TargetFailed
from ringfence.core.ledger import CallRow, HoldRow, Paid
from ringfence.core.money import Period, Price
from ringfence.core.usage import Usage
from ringfence.gateway import money
from ringfence.gateway.call import Bill, Call
from ringfence.gateway.money import Charge, Purse
from ringfence.store.ledger import Ledger


def unchecked(patch: MonkeyPatch) -> None:
    """Money is held whether or not there is room for it."""

    def take(
        self: Purse, key: Any, agent: str, profile: str, target: Any, most: int, price: Price | None,
        bill: Bill | None = None,
    ) -> Charge:  # fmt: skip
        now_s = self._turned()
        scopes = self._scopes(key, agent, profile, target.provider)
        totals = [money._total(book, scope) for scope in scopes for _, book in self._now]
        for total in totals:
            total.held += most
        return Charge(now_s, target, most, price, totals, key, scopes, bill or Bill())

    patch.setattr(Purse, "take", take)


def checked_too_early(patch: MonkeyPatch) -> None:
    """Between the check and the hold there is a pause, in which others are checked."""
    real = Purse.take

    def take(self: Purse, *told: Any) -> Charge:
        charge = real(self, *told)
        money._let_go(charge)
        return charge

    async def hold(self: Ledger, row: HoldRow) -> None:
        await written(self, row)
        for total in held.pop(row.id, ()):
            total.held += row.usd_micros

    held: dict[str, Any] = {}
    made, written = Charge.__init__, Ledger.hold

    def init(self: Charge, *told: Any) -> None:
        made(self, *told)
        held[self.id] = self.totals

    patch.setattr(Charge, "__init__", init)
    patch.setattr(Purse, "take", take)
    patch.setattr(Ledger, "hold", hold)


def settled_twice(patch: MonkeyPatch) -> None:
    real = Purse.settle

    def settle(self: Purse, charge: Charge, usage: Usage | None) -> Paid:
        paid = real(self, charge, usage)
        for total in charge.totals:
            total.spent += paid.usd_micros or 0
        return paid

    patch.setattr(Purse, "settle", settle)


def written_twice(patch: MonkeyPatch) -> None:
    real = Ledger.record

    def record(self: Ledger, row: CallRow) -> None:
        real(self, row)
        real(self, row._replace(hold_id=None))

    patch.setattr(Ledger, "record", record)


def stuck(patch: MonkeyPatch) -> None:
    """What is released is held for ever."""
    patch.setattr(Purse, "release", lambda self, charge: self.rows.release(charge.id))


def stuck_on_disk(patch: MonkeyPatch) -> None:
    patch.setattr(Ledger, "release", lambda _self, _hold_id: None)


def stuck_when_cancelled(patch: MonkeyPatch) -> None:
    """Whoever goes while the hold is being written, leaves it behind."""

    async def hold(self: Purse, call: Call, target: Any, input_tokens: int, output_tokens: int) -> Charge:
        assert call.decision is not None and self.rows is not None
        price = self.rules.prices[target.provider, target.engine_model]
        most = price.most(input_tokens, output_tokens)
        charge = self.take(call.key, call.agent, call.decision.profile, target, most, price)
        try:
            await self.rows.hold(HoldRow(
                charge.id, call.id, charge.at_s, call.key.id, call.decision.profile, call.agent, "chat", "smart",
                target.name, target.provider, most,
            ))  # fmt: skip
        except Exception:
            money._let_go(charge)
            raise TargetFailed(target.name, "no_ledger", Exception()) from None  # type: ignore[arg-type]
        return charge

    patch.setattr(Purse, "hold", hold)


def in_memory_alone(patch: MonkeyPatch) -> None:
    """A call leaves before its hold is on the disk."""

    async def hold(_self: Ledger, _row: HoldRow) -> None:
        return None

    patch.setattr(Ledger, "hold", hold)


def free_losses(patch: MonkeyPatch) -> None:
    """What was never answered costs nothing."""
    patch.setattr(Purse, "lose", lambda self, _call, charge, _total_s: self.release(charge))


def free_dead(patch: MonkeyPatch) -> None:
    """A call whose process died costs nothing."""
    real = Purse.restore

    async def restore(self: Purse, _never_left: Any, key_of: Any) -> int:
        return await real(self, lambda holds: {hold.call_id for hold in holds}, key_of)

    patch.setattr(Purse, "restore", restore)


def forgotten_past(patch: MonkeyPatch) -> None:
    """After a start nothing is known of what was spent before."""

    async def spent_since(_self: Ledger, _since_s: float) -> list[Any]:
        return []

    patch.setattr(Ledger, "spent_since", spent_since)


def counted_twice(patch: MonkeyPatch) -> None:
    """The dead are written down before what was spent is added up."""

    async def restore(self: Purse, never_left: Any, key_of: Any) -> int:
        assert self.rows is not None
        dead = await self.rows.holds()
        free = never_left(dead)
        for hold in dead:
            if hold.call_id in free:
                self.rows.release(hold.id)
            else:
                self.rows.record(money._lost(hold))
        await self.rows.flush()  # type: ignore[attr-defined]
        found = await real(self, lambda _holds: set(), key_of)
        for hold in dead:
            if hold.call_id not in free:
                scopes = self._scopes(key_of(hold.key_id), hold.agent, hold.profile, hold.provider)
                self._count(hold.at_s, money.Counted(scopes, hold.usd_micros), self._clock())
        return found + len(dead)

    real = Purse.restore
    patch.setattr(Purse, "restore", restore)


def forgetful_clock(patch: MonkeyPatch) -> None:
    """A period that was left begins anew when the clock comes back to it."""
    real = Purse._turn

    def turn(self: Purse, now_s: float) -> None:
        for books in self._books.values():
            books.clear()
        real(self, now_s)

    patch.setattr(Purse, "_turn", turn)


def endless_days(patch: MonkeyPatch) -> None:
    """A day goes on until its month ends."""
    real = Purse._turn

    def turn(self: Purse, now_s: float) -> None:
        real(self, now_s)
        self._until_s = max(period.end_s(now_s, self.zone) for period in Period)

    patch.setattr(Purse, "_turn", turn)


def named_alone(patch: MonkeyPatch) -> None:
    """Whoever names a profile pays out of that one's budget, and out of no other's."""
    patch.setattr(money, "rests_on", lambda _agents, _key, _agent, profile: (profile,))


def forgotten_own(patch: MonkeyPatch) -> None:
    """After a start, what was spent under a profile that was named counts for that one alone."""
    real = Purse.restore

    async def restore(self: Purse, never_left: Any, _key_of: Any) -> int:
        return await real(self, never_left, lambda _key_id: None)

    patch.setattr(Purse, "restore", restore)


PLANTS = (
    unchecked, checked_too_early, settled_twice, written_twice, stuck, stuck_on_disk, stuck_when_cancelled,
    in_memory_alone, free_losses, free_dead, forgotten_past, counted_twice, forgetful_clock, endless_days,
    named_alone, forgotten_own,
)  # fmt: skip
