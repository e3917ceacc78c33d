"""What the ledger says of many calls at once: by quarter of an hour, or by whose they were. Numbers and names only."""

from __future__ import annotations

from typing import NamedTuple

QUARTER_S = 900
"""Offsets of all time zones are multiples of it: days of any zone are made of whole ones."""
BANDS = (0, 2048, 8192, 16384, 32768, 131072)
"""Calls are told apart by their prompts: each band begins with so many tokens."""


class Slice(NamedTuple):
    """Calls of one quarter of an hour, one provider (empty: own engines) and one band. `is_kept`: no engine worked
    for them: their answers were kept, or made for another call. `unpriced_calls` are those of which nobody knows the
    price. `cached_tokens` and `cache_write_tokens` are among `input_tokens`."""

    start_s: int
    provider: str
    is_kept: bool
    band: int
    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_usd_micros: int
    unpriced_calls: int
    energy_j: float

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Part(NamedTuple):
    """Calls of one key, model, provider or whatever they were told apart by."""

    name: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    local_tokens: int
    cloud_tokens: int
    kept_tokens: int
    cost_usd_micros: int
    unpriced_calls: int
    energy_j: float


class Held(NamedTuple):
    """Money held for calls under way."""

    holds: int
    usd_micros: int
