"""[pure] Conditions of rules: parsed once, each a cheap look at one signal, words that say why, and a region of values.

A condition is written as data: `code`, `[code, rag]`, `"<=6"`, `">2000 <=16000"`, `"<80%"`, `true`,
`"22:00-06:00 Europe/Berlin"`, `{profile: private}`. Several of a rule hold together; of a list, one is enough.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from ringfence.config.hours import Daily, daily
from ringfence.config.problems import nearest
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.reading import TASKS
from ringfence.core.route import Signals

Value = Any
"""What a signal reads: text, a number, or true and false."""
ANY = "*"
"""Of models: every name."""
ELSE = "\0"
"""Stands for every text that no rule mentions."""
MICROS = 1_000_000
_COMPARED = re.compile(r"\s*(<=|>=|<|>|=)?\s*(\d{1,12}(?:\.\d{1,6})?)\s*%?\s*(?:,|\band\b)?", re.ASCII)
_SIGNS = "<, <=, >, >= or ="
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip


class NotACondition(ValueError):
    """What is written there is none. The text is for people."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One look at one signal.

    `dimension` is what the look is at (`effort`, `caller.profile`); two conditions with the same one are about the same
    values. `covers` says of a value whether it is meant, `cuts` are the values at which that may change.
    """

    dimension: str
    text: str
    holds: Callable[[Signals], bool]
    shown: Callable[[Signals], str]
    covers: Callable[[Value], bool]
    cuts: tuple[Value, ...]

    def why(self, signals: Signals) -> str:
        """`effort 7 is not <= 6`."""
        return f"{self.dimension} {self.shown(signals)} is {'' if self.holds(signals) else 'not '}{self.text}"


@dataclass(frozen=True, slots=True)
class Words:
    """A signal that reads one of a few words, or any text where `known` is empty."""

    read: Callable[[Signals], str]
    known: tuple[str, ...] = ()
    may_be_empty: bool = False

    def values(self, cuts: Iterable[Value]) -> tuple[Value, ...]:
        """Values of which each other one behaves as one of them, with regard to conditions with these cuts."""
        if self.known:
            return (*self.known, "") if self.may_be_empty else self.known
        return (*sorted(set(cuts)), ELSE)

    def parse(self, dimension: str, given: Any) -> Condition:
        words = given if isinstance(given, list | tuple) else (given,)
        for word in words:
            if not isinstance(word, str) or not word:
                raise NotACondition("expected a word, or a list of words")
            if self.known and word not in self.known:
                close = nearest(word, self.known)
                told = f"; did you mean '{close}'?" if close else f"; there are {', '.join(self.known)}"
                raise NotACondition(f"there is no {dimension} '{word[:64]}'{told}")
        wanted, read = frozenset(words), self.read
        return Condition(
            dimension, " or ".join(dict.fromkeys(words)), lambda signals: read(signals) in wanted,
            lambda signals: read(signals) or "unknown", wanted.__contains__, tuple(words),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flag:
    read: Callable[[Signals], bool]

    def values(self, _cuts: Iterable[Value]) -> tuple[Value, ...]:
        return (True, False)

    def parse(self, dimension: str, given: Any) -> Condition:
        if not isinstance(given, bool):
            raise NotACondition("expected true or false")
        read = self.read
        return Condition(
            dimension, str(given).lower(), lambda signals: read(signals) is given,
            lambda signals: str(read(signals)).lower(), lambda value: value is given, (),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Number:
    """A signal that reads a number from `least` to `most`; `inf` is one where that is `most`."""

    read: Callable[[Signals], float]
    least: float
    most: float
    is_whole: bool
    unit: str = ""

    def values(self, cuts: Iterable[Value]) -> tuple[Value, ...]:
        points = sorted({cut for cut in cuts if self.least <= cut <= self.most} | {self.least, self.most})
        found: list[float] = []
        for point, after in zip(points, [*points[1:], None], strict=True):
            if not self.is_whole or point == inf or point == int(point):
                found.append(point)
            if after is not None and (between := self._between(point, after)) is not None:
                found.append(between)
        return tuple(found)

    def _between(self, low: float, high: float) -> float | None:
        if self.is_whole:
            whole = int(low // 1) + 1
            return whole if whole < high else None
        return low + 1 if high == inf else (low + high) / 2

    def parse(self, dimension: str, given: Any) -> Condition:
        listed = given if isinstance(given, list | tuple) else (given,)
        ways = [self._compared(one) for one in listed]
        compare, read = [[(_COMPARE[sign], bound) for sign, bound in way] for way in ways], self.read

        def covers(value: Value) -> bool:
            return any(all(holds(value, bound) for holds, bound in way) for way in compare)

        text = " or ".join(" and ".join(f"{sign} {self._told(bound)}" for sign, bound in way) for way in ways)
        if len(compare) == 1 and len(compare[0]) == 1:  # nearly all of them
            (((one, limit),),) = compare
            test: Callable[[Signals], bool] = lambda signals: one(read(signals), limit)  # noqa: E731
        else:
            test = lambda signals: covers(read(signals))  # noqa: E731
        cuts = tuple(bound for way in ways for _sign, bound in way)
        return Condition(dimension, text, test, lambda signals: self._told(read(signals)), covers, cuts)

    def _compared(self, given: Any) -> list[tuple[str, float]]:
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise NotACondition(f"expected a comparison, such as {self._example}")
        text, found, at = str(given).strip(), list[tuple[str, float]](), 0
        while at < len(text):
            one = _COMPARED.match(text, at)
            if one is None:
                raise NotACondition(f"expected a comparison, such as {self._example}")
            if found and one[1] is None:  # "<16,000" would be below 16 and equal to 0
                raise NotACondition(f"expected {_SIGNS} before '{one[2]}'; numbers have digits alone, such as 16000")
            found.append((one[1] or "=", float(one[2]) if "." in one[2] else int(one[2])))
            at = one.end()
        if not found:
            raise NotACondition(f"expected a comparison, such as {self._example}")
        return found

    @property
    def _example(self) -> str:
        return '"<80%"' if self.unit else '"<=6" or ">2 <=6"'

    def _told(self, value: float) -> str:
        return "unlimited" if value == inf else f"{value:g}{self.unit}" if value < 1e6 else f"{value:.0f}"


class _Within:
    """Whether it is in these hours, worked out again when that changes."""

    __slots__ = ("hours", "is_in", "since_s", "until_s")

    def __init__(self, hours: Daily) -> None:
        self.hours = hours
        self.is_in, self.since_s, self.until_s = False, 0.0, 0.0

    def __call__(self, signals: Signals) -> bool:
        now_s = signals.now_s
        if not self.since_s <= now_s < self.until_s:
            self.is_in, self.until_s = self.hours.at(now_s)
            self.since_s = now_s
        return self.is_in


@dataclass(frozen=True, slots=True)
class Clock:
    """Hours of the day. By the clocks of two zones they are looked at as if they had nothing to do with each other."""

    def values(self, cuts: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(sorted({0, *cuts}))

    def parse(self, _dimension: str, given: Any) -> Condition:
        if not isinstance(given, str):
            raise NotACondition("expected hours and a time zone, such as 22:00-06:00 Europe/Berlin")
        try:
            hours = daily(given)
        except ValueError as error:
            raise NotACondition(str(error)) from None
        begins, ends = (at.hour * 60 + at.minute for at in (hours.begins, hours.ends))

        def covers(minute: Value) -> bool:
            return begins <= minute < ends if begins < ends else minute >= begins or minute < ends

        def shown(signals: Signals) -> str:
            return f"{datetime.fromtimestamp(signals.now_s, hours.zone):%H:%M}"

        text = f"{hours.begins:%H:%M}-{hours.ends:%H:%M}"
        return Condition(f"hours {hours.zone.key}", text, _Within(hours), shown, covers, (begins, ends))


Kind = Words | Flag | Number | Clock
_BOUNDARIES = tuple(each.name.lower() for each in Boundary)
KINDS: Mapping[str, Kind] = {
    "model": Words(lambda signals: signals.model),
    "ability": Words(lambda signals: signals.ability, tuple(each.value for each in Ability)),
    "task": Words(lambda signals: signals.task, TASKS, may_be_empty=True),
    "effort": Number(lambda signals: signals.effort, 0, 10, True),
    "context_tokens": Number(lambda signals: signals.context_tokens, 0, inf, True),
    "prompt_bytes": Number(lambda signals: signals.prompt_bytes, 0, inf, True),
    "sensitivity": Words(lambda signals: _BOUNDARIES[signals.tightest], _BOUNDARIES),
    "gpu_load": Number(lambda signals: signals.gpu_load, 0, 100, False, "%"),
    "budget_left_usd": Number(
        lambda signals: inf if signals.budget_left_usd_micros is None else signals.budget_left_usd_micros / MICROS,
        0, inf, False,
    ),
    "tools": Flag(lambda signals: signals.tools),
    "stream": Flag(lambda signals: signals.stream),
    "batch": Flag(lambda signals: signals.batch),
    "speed": Words(lambda signals: signals.speed, ("critical",), may_be_empty=True),
    "urgency": Words(lambda signals: signals.urgency, ("user", "agent", "background")),
    "hours": Clock(),
    "caller.key": Words(lambda signals: signals.caller.key),
    "caller.profile": Words(lambda signals: signals.caller.profile),
    "caller.agent": Words(lambda signals: signals.caller.agent),
}  # fmt: skip
"""By dimension; a rule names them, and those of `caller` as a mapping."""
CALLER = "caller"
NAMES = (*(name for name in KINDS if "." not in name), CALLER)
"""What a rule may look at."""


def parse(signal: str, given: Any) -> Iterator[Condition]:
    """The conditions that a rule writes for a signal. Raises NotACondition."""
    if signal == CALLER:
        if not isinstance(given, Mapping) or not given:
            raise NotACondition("expected who calls, such as {profile: private}, by key, profile or agent")
        for part, names in given.items():  # pyright: ignore[reportUnknownVariableType]
            if f"{CALLER}.{part}" not in KINDS:
                raise NotACondition(f"a caller is known by key, profile and agent; there is no '{str(part)[:64]}'")
            yield KINDS[f"{CALLER}.{part}"].parse(f"{CALLER}.{part}", names)
    elif signal not in KINDS or "." in signal:
        close = nearest(signal, NAMES)
        raise NotACondition("there is no such signal" + (f"; did you mean '{close}'?" if close else ""))
    elif signal != "model" or ANY not in (given if isinstance(given, list | tuple) else (given,)):
        yield KINDS[signal].parse(signal, given)


def span(signal: str) -> str:
    """From where to where a number goes, in words; empty for what is none or has no end."""
    kind = KINDS.get(signal)
    if not isinstance(kind, Number) or kind.most == inf:
        return ""
    return f"; {signal} goes from {kind.least:g} to {kind.most:g}{kind.unit}"


def kind_of(dimension: str) -> Kind:
    return KINDS[dimension.partition(" ")[0]]
