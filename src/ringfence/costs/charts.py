"""[pure] Pictures of money and tokens: SVG as text, without a script, for light and dark, with words for who cannot
see them.

Colours follow the reader's scheme; layers of a bar are told apart by a gap and by the order of the legend as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 44, 34
MOST_LABELS = 8
TICKS = 4
"""At most."""
LIGHT = ("#0b6e5d", "#b45f06", "#255489", "#7b3fa0", "#a9241c", "#5f6b1f")
DARK = ("#5ccfb2", "#efbe6a", "#97c0f5", "#cfa8f0", "#ff9f96", "#c3cf7a")
STYLE = (
    "<style>.rf-chart{font:12px system-ui,sans-serif}.rf-chart text{fill:#54605b}.rf-chart .rf-grid{stroke:#dde2dc}"
    + "".join(f".rf-chart .rf-{n}{{fill:{c};color:{c}}}" for n, c in enumerate(LIGHT))
    + ".rf-chart .rf-line.rf-line{fill:none;stroke:currentColor;stroke-width:2.5}.rf-chart .rf-strong{fill:#17201c}"
    "@media (prefers-color-scheme:dark){.rf-chart text{fill:#9eaaa5}.rf-chart .rf-grid{stroke:#29312e}"
    ".rf-chart .rf-strong{fill:#e7ece9}"
    + "".join(f".rf-chart .rf-{n}{{fill:{c};color:{c}}}" for n, c in enumerate(DARK))
    + "}</style>"
)


class Series(NamedTuple):
    """Amounts under one name, one for each label of the chart."""

    name: str
    amounts: Sequence[float]


Words = Callable[[float], str]
"""How an amount is written."""


def bars(title: str, told: str, labels: Sequence[str], series: Sequence[Series], words: Words) -> str:
    """A bar for each label, the series on top of each other, the first at the bottom. `told` says in words what is
    to be seen. Amounts are not negative."""
    sums = [sum(one.amounts[place] for one in series) for place in range(len(labels))]
    frame = _Frame(max(sums, default=0.0))
    step = frame.width / max(1, len(labels))
    wide = max(1.0, min(step * 0.72, 48))
    parts: list[str] = []
    for place, label in enumerate(labels):
        x, base = LEFT + step * place + (step - wide) / 2, 0.0
        for number, one in enumerate(series):
            amount = one.amounts[place]
            if amount <= 0:
                continue
            y, foot = frame.y(base + amount), frame.y(base)
            gap = 1.0 if base and foot - y > 2 else 0.0
            says = escape(f"{label}, {one.name}: {words(amount)}")
            parts.append(
                f'<rect class="rf-{number % len(LIGHT)}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" '
                f'height="{max(0.5, foot - y - gap):.1f}" rx="1.5"><title>{says}</title></rect>'
            )
            base += amount
    marks = [(LEFT + step * (place + 0.5), label) for place, label in _some(labels)]
    return _svg(title, told, [*frame.grid(words), *_below(marks), *_legend([one.name for one in series]), *parts])


def lines(title: str, told: str, places: Sequence[float], series: Sequence[Series], words: Words, below: Words) -> str:
    """A line for each series over `places`, which rise from the left to the right; `below` writes a place."""
    frame = _Frame(max((amount for one in series for amount in one.amounts), default=0.0))
    last = max(places, default=1.0) or 1.0
    parts: list[str] = []
    for number, one in enumerate(series):
        dots = [
            (LEFT + frame.width * at / last, frame.y(max(0.0, amount)))
            for at, amount in zip(places, one.amounts, strict=True)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        dash = ("", ' stroke-dasharray="7 4"', ' stroke-dasharray="2 3"', ' stroke-dasharray="9 3 2 3"')[number % 4]
        says = escape(f"{one.name}: {', '.join(words(amount) for amount in (one.amounts[0], one.amounts[-1]))}")
        parts.append(
            f'<polyline class="rf-line rf-{number % len(LIGHT)}" points="{path}"{dash}><title>{says}</title></polyline>'
        )
    marks = [(LEFT + frame.width * at / last, below(at)) for at in _round_places(last)]
    return _svg(title, told, [*frame.grid(words), *_below(marks), *_legend([one.name for one in series]), *parts])


class _Frame:
    """Where amounts are drawn: from nothing up to a round number that is no smaller than the most."""

    def __init__(self, most: float) -> None:
        self.width, self.height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        self.step = round_up(most / TICKS)
        self.ticks = max(1, ceil(most / self.step * 0.999999))
        self.top = self.step * self.ticks

    def y(self, amount: float) -> float:
        return TOP + self.height * (1 - amount / self.top)

    def grid(self, words: Words) -> list[str]:
        """Lines across, with their amounts."""
        found: list[str] = []
        for tick in range(self.ticks + 1):
            y = self.y(tick * self.step)
            found.append(f'<line class="rf-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            says = escape(words(tick * self.step))
            found.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{says}</text>')
        return found


def round_up(amount: float) -> float:
    """To the next number that begins with 1, 2, 2.5 or 5 and goes on with zeros; 1 for nothing."""
    if amount <= 0:
        return 1.0
    size = 10.0 ** floor(log10(amount))
    return next(step * size for step in (1, 2, 2.5, 5, 10) if step * size >= amount * 0.999999)


def _round_places(last: float) -> list[float]:
    step = round_up(last / MOST_LABELS)
    return [step * count for count in range(floor(last / step) + 1)]


def _some(labels: Sequence[str]) -> list[tuple[int, str]]:
    """Evenly: as many as there is room for."""
    every = max(1, ceil(len(labels) / MOST_LABELS))
    return [(place, label) for place, label in enumerate(labels) if place % every == 0]


def _below(marks: Sequence[tuple[float, str]]) -> list[str]:
    y = HEIGHT - BOTTOM + 20
    return [f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>' for x, label in marks]


def _legend(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    x = float(LEFT)
    for number, name in enumerate(names):
        found.append(f'<rect class="rf-{number % len(LIGHT)}" x="{x:.0f}" y="14" width="11" height="11" rx="2"/>')
        found.append(f'<text class="rf-strong" x="{x + 16:.0f}" y="24">{escape(name)}</text>')
        x += 16 + 7.2 * len(name) + 20
    return found


def _svg(title: str, told: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rf-chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="100%" aria-label="{escape(f"{title}. {told}", quote=True)}">'
        f"<title>{escape(title)}</title><desc>{escape(told)}</desc>{STYLE}{''.join(parts)}</svg>"
    )
