"""[pure] Money in whole micro-dollars: what a call costs, the most that it can cost, and caps over days, weeks, months.

A rate is micro-dollars per million tokens, so that $3 per million tokens is 3,000,000: the way providers write their
prices down. Every cost is rounded up to the next micro-dollar: what is held is never less than what is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ringfence.core.usage import Usage

USD_MICROS = 1_000_000
MILLION = 1_000_000
MOST_USD = 10_000_000


class Rates(NamedTuple):
    """Micro-dollars per million tokens. `cached` are tokens that the provider read from its cache, `cache_write` those
    that it wrote to it, `input` all others of the prompt."""

    input: int
    output: int
    cached: int
    cache_write: int

    @classmethod
    def of(cls, input: int, output: int, cached: int | None = None, cache_write: int | None = None) -> Rates:
        """Where the cache has no price of its own, its tokens cost what others of the prompt do."""
        return cls(input, output, input if cached is None else cached, input if cache_write is None else cache_write)

    def cost(self, usage: Usage) -> int:
        """In micro-dollars, rounded up."""
        cached, written = max(0, usage.cached_tokens), max(0, usage.cache_write_tokens)
        fresh = max(0, usage.prompt_tokens - cached - written)
        parts = (
            fresh * self.input + cached * self.cached + written * self.cache_write
            + max(0, usage.completion_tokens) * self.output
        )  # fmt: skip
        return -(-parts // MILLION)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model of a provider costs. In `tiers`, each with the number of prompt tokens beyond which it holds for
    all tokens of the call, in ascending order. `batch_percent` is what a call through the provider's batches costs of
    that. `source` says where it is from, and of which day it is.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    batch_percent: int = 100
    source: str = ""

    def rates_for(self, prompt_tokens: int) -> Rates:
        found = self.rates
        for above, rates in self.tiers:
            if prompt_tokens > above:
                found = rates
        return found

    def cost(self, usage: Usage, *, is_batch: bool = False) -> int:
        """Of a call that used so much, in micro-dollars."""
        whole = self.rates_for(usage.prompt_tokens).cost(usage)
        return -(-whole * self.batch_percent // 100) if is_batch else whole

    def most(self, input_tokens: int, output_tokens: int, *, is_batch: bool = False) -> int:
        """The most that a call of at most so many tokens can cost, in micro-dollars: each token of the prompt at what
        the dearest costs."""
        dearest = 0
        for rates in (self.rates, *(rates for above, rates in self.tiers if input_tokens > above)):
            of_input = max(rates.input, rates.cached, rates.cache_write)
            dearest = max(dearest, -(-(input_tokens * of_input + output_tokens * rates.output) // MILLION))
        return -(-dearest * self.batch_percent // 100) if is_batch else dearest


class Period(Enum):
    """Members are named as settings name them."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def start_s(self, now_s: float, zone: ZoneInfo) -> int:
        """When the one in which `now_s` lies began, by the clocks of `zone`. Weeks begin on Mondays."""
        now = datetime.fromtimestamp(now_s, UTC).astimezone(zone)
        day = datetime(now.year, now.month, now.day, tzinfo=zone)
        if self is Period.WEEK:
            day = _midnight(day - timedelta(days=day.weekday()), zone)
        elif self is Period.MONTH:
            day = day.replace(day=1)
        return int(day.timestamp())

    def end_s(self, now_s: float, zone: ZoneInfo) -> int:
        """When the one in which `now_s` lies ends, and the next begins."""
        begun = datetime.fromtimestamp(self.start_s(now_s, zone), UTC).astimezone(zone)
        days = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 32}[self]
        later = _midnight(datetime(begun.year, begun.month, begun.day, tzinfo=zone) + timedelta(days=days), zone)
        return int((later.replace(day=1) if self is Period.MONTH else later).timestamp())


def starts(now_s: float, zone: ZoneInfo) -> dict[str, float]:
    """When the periods under way began, by their names."""
    return {period.value: period.start_s(now_s, zone) for period in Period}


def _midnight(at: datetime, zone: ZoneInfo) -> datetime:
    return datetime(at.year, at.month, at.day, tzinfo=zone)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent, in micro-dollars: in a day, a week, a month, and on one call. None: no cap. From
    `soft_percent` of a cap on, what is free of charge goes first."""

    day: int | None = None
    week: int | None = None
    month: int | None = None
    call: int | None = None
    soft_percent: int = 80

    def cap(self, period: Period) -> int | None:
        return self.day if period is Period.DAY else self.week if period is Period.WEEK else self.month

    @property
    def is_capped(self) -> bool:
        return not self.day is self.week is self.month is self.call is None


NO_BUDGET = Budget()


class Scope(NamedTuple):
    """Whose money it is: `kind` is house, profile, key or provider; the house has no name."""

    kind: str
    name: str = ""


HOUSE = Scope("house")


def micros(text: str) -> int:
    """Of US dollars as people write them, such as 5, 0.25 or $12. ValueError says what is wrong."""
    try:
        usd = Decimal(text.strip().removeprefix("$"))
        found = int(usd * USD_MICROS) if usd.is_finite() and 0 <= usd <= MOST_USD else -1
    except InvalidOperation:
        found = -1
    if found < 0:
        raise ValueError(f"a number of US dollars, such as 5 or 0.25, not '{text[:40]}'")
    return found


def caps_in_words(caps: Mapping[str, int | None]) -> str:
    """Of a budget by its fields, such as '$5.00 a day, $0.10 a call'; empty where nothing is capped."""
    found = [(name, caps.get(name)) for name in ("day", "week", "month", "call")]
    return ", ".join(f"{dollars(cap)} a {name}" for name, cap in found if cap is not None)


def dollars(micros: int) -> str:
    """Such as $12.34; below a cent with as many places as it takes."""
    if micros % 10_000 == 0 or abs(micros) >= USD_MICROS:
        return f"${micros / USD_MICROS:,.2f}"
    return f"${micros / USD_MICROS:.6f}".rstrip("0")
