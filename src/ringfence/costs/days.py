"""[pure] Days of a time zone, made of quarters of an hour: what was paid, who answered, and what all of it would have
cost at one price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ringfence.core.energy import electricity_usd_micros
from ringfence.core.money import MILLION, Period, Price
from ringfence.core.spending import Slice
from ringfence.core.usage import Usage

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Day:
    """`providers` is what was paid to each. `elsewhere_usd_micros` is what its calls would have cost at one price: not
    those whose answers were kept, which nobody would have been asked again."""

    begins_s: int
    date: str
    calls: int = 0
    cost_usd_micros: int = 0
    unpriced_calls: int = 0
    local_tokens: int = 0
    cloud_tokens: int = 0
    kept_tokens: int = 0
    elsewhere_usd_micros: int = 0
    energy_j: float = 0.0
    providers: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def saved_usd_micros(self) -> int:
        """Less than nothing where the calls cost more than they would have."""
        return self.elsewhere_usd_micros - self.cost_usd_micros

    def told(self, usd_per_kwh: float | None) -> dict[str, Any]:
        """As JSON has it. `electricity_usd_micros` is null where nobody says what a kilowatt-hour costs."""
        electricity = None if usd_per_kwh is None else electricity_usd_micros(self.energy_j, usd_per_kwh)
        return {
            "calls": self.calls, "cost_usd_micros": self.cost_usd_micros, "unpriced_calls": self.unpriced_calls,
            "local_tokens": self.local_tokens, "cloud_tokens": self.cloud_tokens, "kept_tokens": self.kept_tokens,
            "elsewhere_usd_micros": self.elsewhere_usd_micros, "saved_usd_micros": self.saved_usd_micros,
            "energy_j": self.energy_j, "electricity_usd_micros": electricity, "providers": self.providers,
        }  # fmt: skip

    def add(self, one: Slice, price: Price) -> None:
        """A part of this day."""
        self.calls += one.calls
        self.cost_usd_micros += one.cost_usd_micros
        self.unpriced_calls += one.unpriced_calls
        self.energy_j += one.energy_j
        if one.is_kept:
            self.kept_tokens += one.tokens
            return
        self.elsewhere_usd_micros += cost_at(price, one)
        if not one.provider:
            self.local_tokens += one.tokens
            return
        self.cloud_tokens += one.tokens
        self.providers[one.provider] = self.providers.get(one.provider, 0) + one.cost_usd_micros


def cost_at(price: Price, one: Slice) -> int:
    """What its calls would have cost. Which of a price's tiers holds is told by the mean length of their prompts."""
    usage = Usage(
        one.input_tokens, one.output_tokens, one.cached_tokens, cache_write_tokens=one.cache_write_tokens
    )  # fmt: skip
    return -(-price.rates_for(one.input_tokens // max(1, one.calls)).cost(usage) // MILLION)


def days_of(slices: Iterable[Slice], since_s: float, now_s: float, zone: ZoneInfo, price: Price) -> list[Day]:
    """Every day from that of `since_s` to that of `now_s`, also those without a call."""
    found: list[Day] = []
    at_s = Period.DAY.start_s(since_s, zone)
    while at_s <= now_s:
        found.append(Day(at_s, datetime.fromtimestamp(at_s, UTC).astimezone(zone).date().isoformat()))
        at_s = Period.DAY.end_s(at_s, zone)
    rest = iter(found)
    day = next(rest, None)
    following = next(rest, None)
    for one in sorted(slices):
        while following is not None and one.start_s >= following.begins_s:
            day, following = following, next(rest, None)
        if day is not None and one.start_s >= day.begins_s:
            day.add(one, price)
    return found


def last_days(wanted: int, now_s: float, zone: ZoneInfo) -> list[tuple[int, int]]:
    """When each of so many days begins and ends, the earliest first, the one under way last."""
    found: list[tuple[int, int]] = []
    at_s = now_s
    for _ in range(wanted):
        begins_s = Period.DAY.start_s(at_s, zone)
        found.append((begins_s, Period.DAY.end_s(at_s, zone)))
        at_s = begins_s - 1
    return found[::-1]


def total(days: Sequence[Day], since_s: float = 0) -> Day:
    """Of the days that began at `since_s` or later; it begins with the first of them."""
    wanted = [one for one in days if one.begins_s >= since_s]
    if not wanted:
        return Day(int(since_s), "")
    sums = Day(wanted[0].begins_s, wanted[0].date)
    for one in wanted:
        sums.calls += one.calls
        sums.cost_usd_micros += one.cost_usd_micros
        sums.unpriced_calls += one.unpriced_calls
        sums.local_tokens += one.local_tokens
        sums.cloud_tokens += one.cloud_tokens
        sums.kept_tokens += one.kept_tokens
        sums.elsewhere_usd_micros += one.elsewhere_usd_micros
        sums.energy_j += one.energy_j
        for name, micros in one.providers.items():
            sums.providers[name] = sums.providers.get(name, 0) + micros
    return sums


def sparkline(amounts: Sequence[int]) -> str:
    """One block for each, the highest for the most; what is nothing is a space, so that a little can be seen."""
    most = max(amounts, default=0)
    return "".join(
        BLOCKS[min(len(BLOCKS) - 1, amount * len(BLOCKS) // (most + 1))] if amount > 0 else " " for amount in amounts
    )
