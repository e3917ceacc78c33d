"""How long work takes, in seconds of processor time. Other guests of a machine make that longer, never shorter: what
does not hold is tried again, and the least counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import process_time

TRIES = 5


def least_s(work: Callable[[], object], enough_s: float) -> float:
    """Below `enough_s`, or the least of five tries."""
    least = float("inf")
    for _ in range(TRIES):
        began = process_time()
        work()
        least = min(least, process_time() - began)
        if least < enough_s:
            break
    return least


def longest_step_s(steps: Callable[[], Iterable[object]], enough_s: float) -> float:
    """Of the longest step but one. Each step is the same in each try, and the least of its tries counts."""
    least: list[float] = []
    for _ in range(TRIES):
        taken = _each(steps())
        least = [min(pair) for pair in zip(least or taken, taken, strict=True)]
        if sorted(least)[-2] < enough_s:
            break
    return sorted(least)[-2]


def _each(steps: Iterable[object]) -> list[float]:
    taken: list[float] = []
    began = process_time()
    for _ in steps:
        taken.append(process_time() - began)
        began = process_time()
    return taken
