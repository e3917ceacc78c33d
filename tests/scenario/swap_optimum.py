"""The least number of swaps with which anybody could have served a log of arrivals, known in advance, at one place.

One of several models is loaded at a time. While it is, its requests begin at once, and those that waited begin when it
is loaded. From the moment at which it is left, `drain_s` pass until its last answers have ended, then the next one
loads. No request may wait longer than `longest_wait_s` until it begins. How many requests are answered at a time plays
no part: who has to queue for an engine needs no fewer swaps than this.

Why the search is complete. A model is left either as soon as it is loaded or when a request of its own has just begun:
of all moments between two of its requests the first leaves the most time to the others, and owes the same to its own.
So what has been done is told by four things: which model is loaded, since when, which of the others' requests is the
next to be served, and how many swaps that took. Swaps are counted up one by one, and what was reached with fewer is not
looked at again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Times:
    """How long a model takes to load, and to end what it is answering."""

    load_s: float
    drain_s: float


@dataclass(frozen=True, slots=True)
class Reached:
    """`model` is loaded at `since_s`; of each model, the first request that was not begun yet (its own: none)."""

    model: str
    since_s: float
    owed: tuple[int, ...]


class Unseen:
    """Moments in order, each of which is told once: what follows from it is the same whenever it is reached again."""

    def __init__(self, moments: list[float]) -> None:
        self.moments = moments
        self._next = list(range(len(moments) + 1))

    def between(self, after_s: float, until_s: float) -> Iterator[float]:
        number = self._find(bisect_right(self.moments, after_s))
        while number < len(self.moments) and self.moments[number] <= until_s:
            yield self.moments[number]
            self._next[number] = number + 1
            number = self._find(number)

    def _find(self, number: int) -> int:
        found = number
        while self._next[found] != found:
            found = self._next[found]
        while self._next[number] != found:
            self._next[number], number = found, self._next[number]
        return found


class Log:
    """Arrivals by model. `step_s` thins them out: models are left only with the last request of each such stretch of
    time, which makes a search among many models shorter, and its result a few swaps higher at worst; 0 is exact."""

    def __init__(self, arrivals: Iterable[tuple[float, str]], models: Iterable[str], step_s: float = 0.0) -> None:
        self.models = tuple(models)
        times: dict[str, list[float]] = {model: [] for model in self.models}
        for at_s, model in sorted(arrivals):
            times[model].append(at_s)
        self.times = [times[model] for model in self.models]
        self.ends = [_ends(found, step_s) for found in self.times]

        self._unseen: dict[tuple[int, int, tuple[int, ...]], Unseen] = {}

    def unseen(self, own: int, target: int, owed: tuple[int, ...]) -> Unseen:
        """The moments at which `own` was not yet left for the target, with so much owed to the rest."""
        return self._unseen.setdefault((own, target, owed), Unseen(self.ends[own]))

    def next_s(self, model: int, owed: int) -> float:
        """When the first request arrives, or arrived, that was not begun."""
        return self.times[model][owed] if owed < len(self.times[model]) else NEVER


def _ends(times: list[float], step_s: float) -> list[float]:
    if not step_s:
        return times
    return sorted({int(at_s / step_s): at_s for at_s in times}.values())


def least_swaps(
    arrivals: Iterable[tuple[float, str]],
    times: Mapping[str, Times],
    longest_wait_s: float,
    *,
    first: str,
    begins_s: float = 0.0,
    step_s: float = 0.0,
) -> int | None:
    """From `first` being loaded at `begins_s`. None when there is no way in which nobody waits longer."""
    log = Log(arrivals, times, step_s)
    level = [_reached(log, log.models.index(first), begins_s, (0,) * len(log.models))]
    soonest = {(first, level[0].owed): begins_s}
    """When each of what was reached can be had, as far as is known: later it is of no use."""
    swaps = 0
    while level:
        level = [each for each in level if soonest[each.model, each.owed] == each.since_s]  # with no swap more
        following: list[Reached] = []
        for reached in level:
            if all(log.next_s(number, owed) == NEVER for number, owed in _others(log, reached)):
                return swaps
            for each in _next(log, reached, times, longest_wait_s):
                if each.since_s < soonest.get((each.model, each.owed), NEVER):
                    soonest[each.model, each.owed] = each.since_s
                    following.append(each)
        level = following
        swaps += 1
    return None


def _others(log: Log, reached: Reached) -> Iterator[tuple[int, int]]:
    for number, owed in enumerate(reached.owed):
        if log.models[number] != reached.model:
            yield number, owed


def _reached(log: Log, number: int, since_s: float, owed: tuple[int, ...]) -> Reached:
    """Its own requests are all begun from now on: which of them is next is told when it is left."""
    return Reached(log.models[number], since_s, (*owed[:number], 0, *owed[number + 1 :]))


def _next(log: Log, reached: Reached, times: Mapping[str, Times], longest_wait_s: float) -> Iterator[Reached]:
    """Every moment to leave that is worth a look, and every model to go to, that lets nobody wait too long."""
    own = log.models.index(reached.model)
    due = {number: log.next_s(number, owed) + longest_wait_s for number, owed in _others(log, reached)}
    for number in due:
        gap_s = times[reached.model].drain_s + times[log.models[number]].load_s
        latest_s = min(due.values()) - gap_s
        unseen = log.unseen(own, number, tuple(owed for other, owed in _others(log, reached) if other != number))
        for left_s in (reached.since_s, *unseen.between(reached.since_s, latest_s)):
            if left_s <= latest_s:
                owed = list(reached.owed)
                owed[own] = bisect_right(log.times[own], left_s)
                yield _reached(log, number, left_s + gap_s, tuple(owed))
