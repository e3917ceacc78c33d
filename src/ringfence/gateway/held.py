"""What a call holds from its first target until its reply has ended."""

from __future__ import annotations

from typing import Protocol

from ringfence.core.catalog import Target
from ringfence.core.ports import Leased
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.count import UNMEASURED, Meter, chat_bound
from ringfence.gateway.lane import Asking, Lane
from ringfence.gateway.limits import Hold
from ringfence.gateway.money import Charge, Purse, may_have_cost
from ringfence.gateway.reported import By, Counted, Reported
from ringfence.routing.health import Health

LEAST_BOUND = UNMEASURED.base + UNMEASURED.message
"""No bound of messages is less."""
ENDED_BY_US = frozenset(("ok", "client_gone"))
"""Outcomes with which an estimate is a fair price. What broke off may have gone on at the provider, unseen."""


class Records(Protocol):
    """Who is told how a call ended."""

    reported: Reported
    health: Health
    money: Purse

    def record(
        self, call: Call, target: Target | None, status: int, outcome: str, usage: Usage | None, first_at: float
    ) -> None:
        """Write it down, once."""
        ...

    def unanswered(self, call: Call, charge: Charge) -> None:
        """It went to a provider, and nobody knows what that cost."""
        ...


class Held(Hold):
    """What a call holds while it runs: tokens, a place, a lease, money. Given back together, exactly once."""

    __slots__ = ("_call", "_records", "asking", "charge", "lease", "place", "target", "weight")

    def __init__(self, records: Records, call: Call) -> None:
        self._records = records
        self._call = call
        self.allowance = None
        self.tokens = 0
        self.place: Lane | None = None
        self.asking: Asking | None = None
        """Where it stood in the queue for the place; None where it did not have to look."""
        self.weight = 0
        """Tokens, in and out, of the call in its place; at most so many."""
        self.lease: Leased | None = None
        self.target: Target | None = None
        self.charge: Charge | None = None
        """Of the one target that it is at, where that is paid for."""

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        """The reply has ended: settle, give back, write down."""
        self.let_go()
        self.settle(usage)
        call, target = self._call, self.target
        if self.charge is not None:
            charge, self.charge = self.charge, None
            call.hold = ""
            is_guess = usage is not None and usage.estimated and outcome not in ENDED_BY_US
            call.paid = self._records.money.settle(charge, None if is_guess else usage)
            if usage is not None and not usage.estimated:
                self._records.money.thoughts.heard(charge.target, usage)
        self._records.health.ended(target, outcome)
        if outcome == "ok" and usage is not None and target is not None:
            if call.is_rough and usage[0] > LEAST_BOUND:  # the closer bound may tell more
                call.counted, call.is_rough = Counted(chat_bound(call.body, Meter()) or 0, By.BOUND), False
            size = 0 if call.media_bytes else call.sent_bytes or call.body_bytes  # images teach nothing about texts
            self._records.reported.take((call.id, target.name, size, call.counted, usage))
        self._records.record(call, target, status, outcome, usage, first_at)

    def release(self, usage: Usage | None, ended: BaseException | None = None) -> None:
        """Give everything back. `usage` None: nothing was generated. `ended` is what it ended with."""
        self.let_go()
        self.unpaid(ended)
        self.settle(usage)

    def lighten(self, weight: int) -> None:
        """The call was weighed."""
        if self.place is not None and self.place.kv_tokens is None and weight < self.weight:
            self.place.lighten(self.weight - weight)
            self.weight = weight

    def move_on(self, failed: BaseException | None = None) -> None:
        """To another target, where it stands in no queue yet."""
        self.let_go()
        self.unpaid(failed)
        self.asking = None

    def unpaid(self, ended: BaseException | None) -> None:
        """No answer came of what was paid for. Where it may have left, it may have cost all that was held."""
        if self.charge is None:
            return
        charge, self.charge = self.charge, None
        self._call.hold = ""
        if ended is not None and may_have_cost(ended):
            self._records.unanswered(self._call, charge)
        else:
            self._records.money.release(charge)

    def let_go(self) -> None:
        """Give back what belongs to one target: last taken, first given back."""
        lease, place = self.lease, self.place
        if lease is not None:
            self.lease = None
            lease.release()
        if place is not None:
            self.place = None
            asking = self.asking
            place.leave(self.weight, asking.entered_s if asking is not None else self._call.started_at)
