"""[pure] Tokens per byte of a model's prompts, learned from what its engine reports: for estimates, not for fitting.

A sketch for each model counts prompts by their ratio, in steps of a twelfth of an octave, and forgets by halving. So
its size is bounded, the newest prompts weigh most, and a quantile is off by one step at most, to the safe side.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from itertools import accumulate
from math import ceil, log2

STEPS = 12
"""Per doubling: a step is 6 %."""
LEAST, MOST = -7, 2
"""Powers of two: from a token for 128 bytes to four tokens for one, beyond which all counts as the last."""
BINS = (MOST - LEAST) * STEPS
FULL = 2048
"""Prompts after which all counts are halved."""
ENOUGH = 20
"""Prompts before which nothing is said."""
EVERY = 16
"""Prompts after which the quantiles are looked for again."""
LEAST_BYTES = 512
"""In a shorter prompt the template outweighs the text."""
HIGH, LOW = 0.99, 0.01
MAX_MODELS = 512


class Ratio:
    """The sketch of one model."""

    __slots__ = ("_counts", "_total", "edges")

    def __init__(self) -> None:
        self._counts = [0] * BINS
        self._total = 0
        self.edges: tuple[float, float] | None = None
        """Tokens per byte: not fewer than the first and not more than the second in 98 of 100 prompts. None before
        enough is known."""

    def learn(self, size_bytes: int, tokens: int) -> None:
        """One prompt and what the engine counted."""
        place = int((log2(tokens / size_bytes) - LEAST) * STEPS)
        self._counts[place if 0 <= place < BINS else 0 if place < 0 else BINS - 1] += 1
        total = self._total = self._total + 1
        if total == ENOUGH or (total > ENOUGH and total % EVERY == 0):
            self._look()
        if total >= FULL:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def _look(self) -> None:
        up_to = list(accumulate(self._counts))
        low, high = (min(bisect_left(up_to, share * self._total), BINS - 1) for share in (LOW, HIGH))
        self.edges = 2.0 ** (low / STEPS + LEAST), 2.0 ** ((high + 1) / STEPS + LEAST)


class Ratios:
    """The sketches of all models, by name; the one that was learned from least lately goes when there are too many."""

    def __init__(self) -> None:
        self._by_model: OrderedDict[str, Ratio] = OrderedDict()

    def learn(self, model: str, size_bytes: int, tokens: int) -> None:
        """What the engine of `model` reported of a prompt of this size. Short ones teach nothing."""
        if size_bytes < LEAST_BYTES or tokens <= 0:
            return
        ratio = self._by_model.get(model)
        if ratio is None:
            ratio = self._by_model[model] = Ratio()
            if len(self._by_model) > MAX_MODELS:
                self._by_model.popitem(last=False)
        elif len(self._by_model) > 1:
            self._by_model.move_to_end(model)
        ratio.learn(size_bytes, tokens)

    def estimate(self, model: str, size_bytes: int) -> int | None:
        """Tokens that a prompt of this size hardly exceeds. None before enough is known, and for a short prompt."""
        ratio = self._by_model.get(model) if size_bytes >= LEAST_BYTES else None
        if ratio is None or ratio.edges is None:
            return None
        return ceil(size_bytes * ratio.edges[1])

    def least(self, model: str, size_bytes: int) -> int | None:
        """Tokens that a prompt of this size hardly falls short of."""
        ratio = self._by_model.get(model) if size_bytes >= LEAST_BYTES else None
        if ratio is None or ratio.edges is None:
            return None
        return int(size_bytes * ratio.edges[0])
