"""How much is done of what is done over and over: kills, seeds, requests, planted faults. All of it, or the share that
`RINGFENCE_SHARE` says. `.ci/run` does a tenth.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
SHARE = float(os.environ.get("RINGFENCE_SHARE") or 1.0)
assert 0 < SHARE <= 1, "RINGFENCE_SHARE is above 0 and at most 1"


def share_of(number: int, least: int = 1) -> int:
    """Of `number` repetitions; no fewer than `least`, with which a test still says something."""
    return min(number, max(least, math.ceil(SHARE * number)))


def some_of(things: Sequence[T]) -> list[T]:
    """Of `things` to be tried, spread over all of them."""
    return [things[int(place / SHARE)] for place in range(share_of(len(things)))]
