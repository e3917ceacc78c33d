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
MOST_MICROS = MOST_USD * USD_MICROS
"""That one call is believed to have cost, whatever a provider reports: sums of such rows stay within 64 bits."""
DAY_S = 86_400


class Rates(NamedTuple):
    """Micro-dollars per million tokens. `cached` are tokens that the provider read from its cache, `cache_write` those
    that it wrote to it, `cache_write_1h` those that it is to keep for an hour, `input` all others of the prompt."""

    input: int
    output: int
    cached: int
    cache_write: int
    cache_write_1h: int

    @classmethod
    def of(
        cls, input: int, output: int, cached: int | None = None, cache_write: int | None = None,
        cache_write_1h: int | None = None,
    ) -> Rates:  # fmt: skip
        """Where the cache has no price of its own, its tokens cost what others of the prompt do."""
        written = input if cache_write is None else cache_write
        return cls(
            input, output, input if cached is None else cached, written,
            written if cache_write_1h is None else cache_write_1h,
        )  # fmt: skip

    def cost(self, usage: Usage) -> int:
        """In millionths of a micro-dollar. More is never counted of a prompt than it has tokens."""
        prompt = max(0, usage.prompt_tokens)
        cached = min(max(0, usage.cached_tokens), prompt)
        written = min(max(0, usage.cache_write_tokens), prompt - cached)
        long = min(max(0, usage.cache_write_1h_tokens), written)
        return (
            (prompt - cached - written) * self.input + cached * self.cached + (written - long) * self.cache_write
            + long * self.cache_write_1h + max(0, usage.completion_tokens) * self.output
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Price:
    """What a model of a provider costs. In `tiers`, each with the number of prompt tokens beyond which it holds for
    all tokens of the call, in ascending order. `batch_percent` is what a call through the provider's batches costs of
    that, `batch` what it costs where that is no percentage. `source` says where it is from, and of which day it is.

    `per_call` is added to each call. `media` is the price of a call with sound, an image or a video, where their tokens
    have prices of their own. `hours` are prices by the time of day, the last that holds counts. `later` are those of
    days to come: the moment in Unix time from which on each holds, and it, in ascending order.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    batch_percent: int = 100
    source: str = ""
    per_call: int = 0
    batch: Price | None = None
    media: Price | None = None
    hours: tuple[Hours, ...] = ()
    later: tuple[tuple[int, Price], ...] = ()

    def rates_for(self, prompt_tokens: int) -> Rates:
        found = self.rates
        for above, rates in self.tiers:
            if prompt_tokens > above:
                found = rates
        return found

    def on(self, now_s: float, *, has_media: bool = False) -> Price:
        """What holds for a call that is sent now; the hours of the day are still in it."""
        found = self
        for since_s, price in self.later:
            if now_s >= since_s:
                found = price
        return found.media if has_media and found.media is not None else found

    def cost(self, usage: Usage, *, is_batch: bool = False, span: tuple[float, float] | None = None) -> int:
        """Of a call that used so much, in micro-dollars, rounded up. `span` is when it began and ended, in Unix time:
        where the price changed in between, the dearer one counts. None: at the dearest hour."""
        dearest = 0
        for price in self._within(span):
            priced, percent = price._for_batch() if is_batch else (price, 100)
            whole = -(-priced.rates_for(usage.prompt_tokens).cost(usage) // MILLION) + priced.per_call
            dearest = max(dearest, -(-whole * percent // 100))
        return dearest

    def most(self, input_tokens: int, output_tokens: int, *, is_batch: bool = False, for_an_hour: bool = True) -> int:
        """The most that a call of at most so many tokens can cost, in micro-dollars: each token of the prompt at what
        the dearest costs, at the dearest hour. Unless `for_an_hour`, no cache is asked to keep any so long."""
        dearest = 0
        for price in self._within(None):
            priced, percent = price._for_batch() if is_batch else (price, 100)
            for rates in (priced.rates, *(rates for above, rates in priced.tiers if input_tokens > above)):
                of_input = max(rates.input, rates.cached, rates.cache_write, rates.cache_write_1h * for_an_hour)
                whole = -(-(input_tokens * of_input + output_tokens * rates.output) // MILLION) + priced.per_call
                dearest = max(dearest, -(-whole * percent // 100))
        return dearest

    def _for_batch(self) -> tuple[Price, int]:
        return (self, self.batch_percent) if self.batch is None else (self.batch, 100)

    def _within(self, span: tuple[float, float] | None) -> list[Price]:
        """All that hold at some moment of it."""
        if not self.hours:
            return [self]
        if span is None or span[1] - span[0] >= DAY_S:
            return [self, *(one.price for one in self.hours)]
        begun_s, ended_s = span
        moments = [begun_s, ended_s]
        for edge in {edge for one in self.hours for edge in (one.start_s, one.end_s)}:
            next_s = begun_s + (edge - begun_s) % DAY_S
            if next_s <= ended_s:
                moments.append(next_s)
        return [self._by_hour(moment) for moment in moments]

    def at(self, now_s: float) -> Price:
        """What holds at a moment, by the day and by its hour."""
        return self.on(now_s)._by_hour(now_s)

    def _by_hour(self, now_s: float) -> Price:
        found = self
        for one in self.hours:
            if one.holds(now_s % DAY_S):
                found = one.price
        return found


class Hours(NamedTuple):
    """A price that holds each day from `start_s` until before `end_s`, in seconds of the UTC day; over midnight where
    the end comes first."""

    start_s: int
    end_s: int
    price: Price

    def holds(self, day_s: float) -> bool:
        if self.end_s < self.start_s:
            return day_s >= self.start_s or day_s < self.end_s
        return self.start_s <= day_s < self.end_s


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
    """Of US dollars as people write them, such as 5, 0.25 or $12. ValueError says what is wrong: also that less than a
    millionth was written, which would be nothing."""
    try:
        usd = Decimal(text.strip().removeprefix("$"))
        found = int(usd * USD_MICROS) if usd.is_finite() and 0 <= usd <= MOST_USD else -1
        if found == 0 and usd:
            raise ValueError(f"at least $0.000001, or 0 for nothing at all, not '{text[:40]}'")
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
    """Such as $12.34, or -$0.50; below a dollar with as many places as it takes."""
    sign, usd = "-" if micros < 0 else "", abs(micros) / USD_MICROS
    if micros % 10_000 == 0 or usd >= 1:
        return f"{sign}${usd:,.2f}"
    return f"{sign}${usd:.6f}".rstrip("0")
