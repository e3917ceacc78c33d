"""[pure] Tokens per byte of a model's prompts, learned from what its engine reports: for estimates, not for fitting.

A sketch for each model counts prompts by their ratio, in steps of a twelfth of an octave, and forgets by halving. So
its size is bounded, the newest prompts weigh most, and a quantile is off by one step at most, to the safe side.
"""

from __future__ import annotations

from collections import OrderedDict
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

    __slots__ = ("_counts", "_edges", "_total")

    def __init__(self) -> None:
        self._counts = [0] * BINS
        self._total = 0
        self._edges: tuple[float, float] | None = None

    def learn(self, size_bytes: int, tokens: int) -> None:
        """One prompt and what the engine counted."""
        place = int((log2(tokens / size_bytes) - LEAST) * STEPS)
        self._counts[min(max(place, 0), BINS - 1)] += 1
        self._total += 1
        if self._total % EVERY == 0:
            self._edges = None
        if self._total >= FULL:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def edges(self) -> tuple[float, float] | None:
        """Tokens per byte: not fewer than the first and not more than the second in 98 of 100 prompts. None before
        enough is known."""
        if self._total < ENOUGH:
            return None
        if self._edges is None:
            low, high = self._place(LOW), self._place(HIGH)
            self._edges = 2.0 ** (low / STEPS + LEAST), 2.0 ** ((high + 1) / STEPS + LEAST)
        return self._edges

    def _place(self, share: float) -> int:
        """The bin up to which this share of the prompts lies."""
        left = share * self._total
        for place, count in enumerate(self._counts):
            left -= count
            if left <= 0 and count:
                return place
        return BINS - 1


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
        else:
            self._by_model.move_to_end(model)
        ratio.learn(size_bytes, tokens)

    def estimate(self, model: str, size_bytes: int) -> int | None:
        """Tokens that a prompt of this size hardly exceeds. None before enough is known, and for a short prompt."""
        edges = self._edges(model, size_bytes)
        return ceil(size_bytes * edges[1]) if edges is not None else None

    def least(self, model: str, size_bytes: int) -> int | None:
        """Tokens that a prompt of this size hardly falls short of."""
        edges = self._edges(model, size_bytes)
        return int(size_bytes * edges[0]) if edges is not None else None

    def _edges(self, model: str, size_bytes: int) -> tuple[float, float] | None:
        ratio = self._by_model.get(model) if size_bytes >= LEAST_BYTES else None
        return ratio.edges() if ratio is not None else None
