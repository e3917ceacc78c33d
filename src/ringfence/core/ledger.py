"""The rows of the ledger: numbers and names, never any text of a request."""

from __future__ import annotations

from typing import NamedTuple


class CallRow(NamedTuple):
    """One call, or one try at a provider that may have cost something and answered nothing.

    `at_s` is Unix time: when its money was held, for one that was paid for, else when it ended. `cost_usd_micros` is
    None where nobody knows the price. `energy_j` is an estimate in joules, None where nothing is known of it.
    `hold_id` is the hold that this row puts an end to, None for what is not paid for.
    """

    id: str
    at_s: float
    key_id: str
    profile: str
    agent: str
    dialect: str
    model: str
    target: str
    provider: str
    status: int
    outcome: str
    stream: bool
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    is_estimated: bool
    cost_usd_micros: int | None
    energy_j: float | None
    first_byte_s: float
    total_s: float
    hold_id: str | None = None


class HoldRow(NamedTuple):
    """Money that is held for a call which may be on its way to a provider: at most `usd_micros`."""

    id: str
    call_id: str
    at_s: float
    key_id: str
    profile: str
    agent: str
    dialect: str
    model: str
    target: str
    provider: str
    usd_micros: int
    submission: str = ""
    """The batch at a provider that it is held for, and the line in it: such a hold outlives its process."""
    line: int = 0


class Paid(NamedTuple):
    """What a call came to: the hold that it ends, when that was taken, and its cost; None where it has no price."""

    hold_id: str
    at_s: float
    usd_micros: int | None


class Spent(NamedTuple):
    """What was spent since a moment, by whose money it is."""

    key_id: str
    profile: str
    provider: str
    usd_micros: int
    agent: str = ""
