"""[pure] The pictures of a site's money: spent by day and provider, saved, who answered, and cost by volume."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.core.money import USD_MICROS
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.bill import cheapest_units, stated
from ringfence.costs.charts import Series, bars, lines
from ringfence.costs.days import Day, total
from ringfence.costs.inflection import MOST_UNITS
from ringfence.costs.words import millions, rounded, tokens_in_words

MOST_PROVIDERS = 5
POINTS = 60


def spent_picture(days: Sequence[Day]) -> str:
    """Dollars by day, a layer for each provider, the dearest at the bottom."""
    sums = total(days)
    names = sorted(sums.providers, key=lambda name: (-sums.providers[name], name))
    shown, others = names[:MOST_PROVIDERS], names[MOST_PROVIDERS:]
    series = [Series(name, [one.providers.get(name, 0) for one in days]) for name in shown]
    if others:
        series.append(Series("others", [sum(one.providers.get(name, 0) for name in others) for one in days]))
    by_provider = ", ".join(f"{name} {rounded(sums.providers[name])}" for name in names) or "nothing"
    told = f"{_stretch(days)}: {rounded(sums.cost_usd_micros)} in all; {by_provider}."
    return bars("Spent by day and provider", told, _labels(days), series, _usd)


def saved_picture(days: Sequence[Day], against: str) -> str:
    """Dollars by day: what was paid, and above it what was saved against all of it at one price."""
    sums = total(days)
    paid = Series("paid", [one.cost_usd_micros for one in days])
    saved = Series(f"saved against {against}", [max(0, one.saved_usd_micros) for one in days])
    told = (
        f"{_stretch(days)}: {rounded(sums.cost_usd_micros)} paid, {rounded(sums.elsewhere_usd_micros)} at {against}, "
        f"{rounded(sums.saved_usd_micros)} saved."
    )
    return bars(f"Saved against {against}", told, _labels(days), [paid, saved], _usd)


def tokens_picture(days: Sequence[Day]) -> str:
    """Tokens by day: own engines, clouds, and answers that were kept."""
    sums = total(days)
    series = [Series("local", [one.local_tokens for one in days]), Series("cloud", [one.cloud_tokens for one in days])]
    if sums.kept_tokens:
        series.append(Series("kept answers", [one.kept_tokens for one in days]))
    told = (
        f"{_stretch(days)}: {sums.local_tokens:,} tokens of own engines, {sums.cloud_tokens:,} of clouds, "
        f"{sums.kept_tokens:,} of kept answers."
    )
    return bars("Tokens, local and cloud", told, _labels(days), series, tokens_in_words)


def volumes_picture(assumptions: Assumptions, scenarios: Sequence[str]) -> str:
    """What a month costs as traffic grows, with amortisation: a line for each scenario but the baseline, beside which
    nothing else could be seen."""
    most = max((assumptions.tokens_per_day, *assumptions.volumes))
    volumes = [most * step // POINTS for step in range(1, POINTS + 1)]
    shown = [name for name in scenarios if name != assumptions.baseline] or list(scenarios)
    series = [
        Series(name, [cheapest_units(name, assumptions, stated(assumptions, at), MOST_UNITS).whole for at in volumes])
        for name in shown
    ]
    ends = "; ".join(f"{one.name} {_usd(one.amounts[-1])}" for one in series)
    told = f"A month with {millions(volumes[-1])} tokens a day costs: {ends}."
    return lines("Cost of a month by tokens a day", told, volumes, series, _usd, lambda at: millions(round(at)))


def _usd(amount: float) -> str:
    """Of an axis: as many places as it needs."""
    usd = amount / USD_MICROS
    if usd >= 10 or usd == 0:
        return f"${usd:,.0f}"
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.6f}".rstrip("0")


def _labels(days: Sequence[Day]) -> list[str]:
    return [one.date[5:] for one in days]


def _stretch(days: Sequence[Day]) -> str:
    return f"{days[0].date} to {days[-1].date}" if days else "No days"
