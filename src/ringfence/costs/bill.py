"""[pure] What a scenario costs for given traffic: rented tokens, electricity, hire, and what machines lose in worth.

Within a span of time a site answers what it has time for; the rest overflows. Sums are kept in whole millionths of
millionths of a dollar and rounded up once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from math import ceil
from typing import NamedTuple

from ringfence.core.energy import J_PER_KWH, electricity_usd_micros
from ringfence.core.money import MILLION, USD_MICROS, Price
from ringfence.core.spending import QUARTER_S, Slice
from ringfence.costs.assumptions import Assumptions, Scenario, Site

DAY_S = 86_400
HOUR_S = 3600
BASIS = 10_000
"""Shares are counted in hundredths of a percent."""


class Load(NamedTuple):
    """Tokens of prompts of about one length; `prompt` 0 where that is not known."""

    prompt: int
    input: int
    output: int
    cached: int = 0
    written: int = 0


class Span(NamedTuple):
    """What came within so many seconds in which a site may work."""

    seconds: float
    loads: tuple[Load, ...]


class Traffic(NamedTuple):
    """All of it, over so many days."""

    days: float
    spans: tuple[Span, ...]

    @property
    def tokens(self) -> int:
        return sum(load.input + load.output for span in self.spans for load in span.loads)


class Bill(NamedTuple):
    """Of one scenario, in micro-dollars. `running` is what is paid as long as it goes on, `whole` has the share of what
    was paid for machines besides."""

    scenario: str
    units: int
    rented_usd_micros: int
    electricity_usd_micros: int
    hire_usd_micros: int
    amortisation_usd_micros: int
    local_tokens: int
    rented_tokens: int
    overflow_tokens: int
    busy_s: float
    kwh: float

    @property
    def running(self) -> int:
        return self.rented_usd_micros + self.electricity_usd_micros + self.hire_usd_micros

    @property
    def whole(self) -> int:
        return self.running + self.amortisation_usd_micros


def stated(assumptions: Assumptions, tokens_per_day: int | None = None) -> Traffic:
    """A month of as many tokens a day, spread evenly over the hours of the day in which there are any."""
    tokens = (tokens_per_day or assumptions.tokens_per_day) * assumptions.days
    output = round(tokens * assumptions.output_percent / 100)
    seconds = assumptions.days * assumptions.hours_per_day * HOUR_S
    return Traffic(assumptions.days, (Span(seconds, (Load(0, tokens - output, output),)),))


def replayed(slices: Iterable[Slice], days: float) -> Traffic:
    """What the ledger has, by quarters of an hour. Answers that were kept needed nobody: they are left out."""
    worked = sorted(one for one in slices if not one.is_kept and one.tokens)
    return Traffic(days, tuple(
        Span(QUARTER_S, tuple(_load(one) for one in together))
        for _, together in groupby(worked, key=lambda one: one.start_s)
    ))  # fmt: skip


def bill(
    name: str, assumptions: Assumptions, traffic: Traffic, units: int | None = None, site: str | None = None
) -> Bill:
    """With another number of units, or another site, where these are given."""
    scenario = assumptions.scenarios[name]
    where = assumptions.sites[site or scenario.site] if scenario.site is not None else None
    units = 0 if where is None else units or scenario.units
    rest = _Rented(assumptions.prices[scenario.rest].price, scenario)
    overflow = _Rented(assumptions.prices[scenario.overflow or scenario.rest].price, scenario)
    busy_s = 0.0
    local = 0
    for span in traffic.spans:
        wished = [_share(load, scenario) for load in span.loads]
        fits = 0.0
        if where is not None:
            wanted_s = sum(where.busy_s(*tokens) for tokens in wished)
            room_s = span.seconds * units * where.usable_percent / 100
            fits = min(1.0, room_s / wanted_s) if wanted_s else 1.0
            busy_s += wanted_s * fits
        for load, (wish_in, wish_out) in zip(span.loads, wished, strict=True):
            here_in, here_out = int(wish_in * fits), int(wish_out * fits)
            local += here_in + here_out
            rest.add(load, load.input - wish_in, load.output - wish_out)
            overflow.add(load, wish_in - here_in, wish_out - here_out)
    electricity, kwh = _electricity(where, units, traffic.days, busy_s, assumptions)
    return Bill(
        name, units, rest.usd_micros + overflow.usd_micros, electricity, _hire(where, units, traffic.days, busy_s),
        _amortisation(where, units, traffic.days / assumptions.days), local, rest.tokens + overflow.tokens,
        overflow.tokens, busy_s, kwh,
    )  # fmt: skip


def as_it_was(name: str, assumptions: Assumptions, slices: Iterable[Slice], days: float, site: str | None) -> Bill:
    """What was paid, and what own engines had to do on one unit of `site`: where the ledger has their energy, that
    counts. None: they are taken to have cost nothing."""
    worked = [one for one in slices if not one.is_kept]
    own = [one for one in worked if not one.provider]
    where = assumptions.sites[site] if site is not None else None
    units = 1 if where is not None and own else 0
    busy_s = sum(where.busy_s(one.input_tokens, one.output_tokens) for one in own) if where is not None else 0.0
    electricity, kwh = _electricity(where, units, days, busy_s, assumptions)
    if measured := sum(one.energy_j for one in own):
        kwh = measured / J_PER_KWH
        electricity = electricity_usd_micros(measured, assumptions.usd_per_kwh)
    return Bill(
        name, units, sum(one.cost_usd_micros for one in worked), electricity, _hire(where, units, days, busy_s),
        _amortisation(where, units, days / assumptions.days), sum(one.tokens for one in own),
        sum(one.tokens for one in worked if one.provider), 0, busy_s, kwh,
    )  # fmt: skip


def cheapest_units(name: str, assumptions: Assumptions, traffic: Traffic, most: int, site: str | None = None) -> Bill:
    """With the number of units, up to `most`, that makes the whole bill least; the fewer, where several do."""
    best = bill(name, assumptions, traffic, 1, site)
    for units in range(2, most + 1):
        if not best.overflow_tokens:
            break  # more would do nothing but cost
        one = bill(name, assumptions, traffic, units, site)
        best = one if one.whole < best.whole else best
    return best


class _Rented:
    """Adds up what goes to one price list."""

    def __init__(self, price: Price, scenario: Scenario) -> None:
        self._price = price
        self._repeated = None if scenario.repeated_percent is None else round(scenario.repeated_percent * 100)
        self._batched = round(scenario.batch_percent * 100)
        self._parts = 0
        self.tokens = 0

    def add(self, load: Load, input: int, output: int) -> None:
        if not (input or output):
            return
        self.tokens += input + output
        cached, written = input * load.cached // (load.input or 1), input * load.written // (load.input or 1)
        if self._repeated is not None:
            cached, written = input * self._repeated // BASIS, 0
        rates = self._price.rates_for(load.prompt)
        fresh = input - cached - written
        self._parts += fresh * rates.input + cached * rates.cached + written * rates.cache_write + output * rates.output

    @property
    def usd_micros(self) -> int:
        off = self._batched * (100 - self._price.batch_percent)
        return -(-self._parts * (BASIS * 100 - off) // (MILLION * BASIS * 100))


def _load(one: Slice) -> Load:
    prompt = one.input_tokens // one.calls
    return Load(prompt, one.input_tokens, one.output_tokens, one.cached_tokens, one.cache_write_tokens)


def _share(load: Load, scenario: Scenario) -> tuple[int, int]:
    """What is to be answered locally: tokens of prompts, and of answers."""
    if scenario.local_below_tokens is not None:
        return (load.input, load.output) if load.prompt < scenario.local_below_tokens else (0, 0)
    share = round(scenario.local_percent * 100)
    return load.input * share // BASIS, load.output * share // BASIS


def _electricity(
    site: Site | None, units: int, days: float, busy_s: float, assumptions: Assumptions
) -> tuple[int, float]:
    """In micro-dollars, and the energy. Who rents a machine pays for no electricity."""
    if site is None or site.is_rented:
        return 0, 0.0
    joules = units * days * DAY_S * site.idle_watts + busy_s * (site.busy_watts - site.idle_watts)
    return electricity_usd_micros(joules, assumptions.usd_per_kwh), joules / J_PER_KWH


def _hire(site: Site | None, units: int, days: float, busy_s: float) -> int:
    if site is None:
        return 0
    hours = busy_s / HOUR_S if site.paid == "busy" else units * days * DAY_S / HOUR_S
    return ceil(hours * site.usd_per_hour * USD_MICROS)


def _amortisation(site: Site | None, units: int, months: float) -> int:
    return 0 if site is None else ceil(site.capex_usd * USD_MICROS * units / site.months * months)
