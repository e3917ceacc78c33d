"""For a model and so much memory: what each KV type takes, which window it leaves room for, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.placement.sizing.architecture import Architecture
from ringfence.placement.sizing.costs import Cost, published
from ringfence.placement.sizing.kv import USUAL_STEP, bytes_per_sequence, bytes_per_token, window_that_fits
from ringfence.placement.sizing.kv_types import F16, TYPES, KvType, why_not

RESERVE_BYTES = 1 << 30
RESERVE_SHARE = 0.08
"""Kept free for what is computed with, until it is known better: the larger of what llama.cpp keeps free by itself
(--fit-target, 1024 MiB) and what vLLM does (1 - gpu_memory_utilization, 0.92)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One KV type. `window` is None where memory sets no limit, and 0 where nothing fits; `beside_bytes` is what a
    sequence takes whatever its length, once its sliding windows are full; `gain` is how many windows of f16. Where
    `why_not` says something, nothing else does."""

    kv_type: KvType
    why_not: str
    bytes_per_token: int
    beside_bytes: int
    window: int | None
    gain: float | None
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """`left_bytes` is what the device has for caches; less than 0 where the weights alone do not fit."""

    architecture: Architecture
    device_bytes: int
    weights_bytes: int | None
    reserve_bytes: int
    left_bytes: int
    parallel: int
    rows: tuple[Row, ...]


def usual_reserve(device_bytes: int) -> int:
    """What is kept free on a device where nobody says otherwise."""
    return max(RESERVE_BYTES, round(device_bytes * RESERVE_SHARE))


def advise(
    architecture: Architecture,
    device_bytes: int,
    weights_bytes: int | None = None,
    parallel: int = 1,
    reserve_bytes: int | None = None,
    measured: Mapping[str, Cost] | None = None,
) -> Advice:
    """`weights_bytes` None: not known, and not counted. `measured` rules over what was published of other models."""
    reserve = usual_reserve(device_bytes) if reserve_bytes is None else reserve_bytes
    left = device_bytes - (weights_bytes or 0) - reserve
    usual = window_that_fits(architecture, F16, left, parallel)
    rows = tuple(_row(architecture, one, left, parallel, usual, measured or {}) for one in TYPES.values())
    return Advice(architecture, device_bytes, weights_bytes, reserve, left, parallel, rows)


def _row(
    architecture: Architecture,
    kv_type: KvType,
    left: int,
    parallel: int,
    usual: int | None,
    measured: Mapping[str, Cost],
) -> Row:
    if kv_type is not F16 and (reason := why_not(architecture, kv_type)):
        return Row(kv_type, reason, 0, 0, 0, None, ())
    window = window_that_fits(architecture, kv_type, left, parallel)
    costs = (measured[kv_type.name],) if kv_type.name in measured else published(kv_type.name)
    return Row(
        kv_type=kv_type,
        why_not="",
        bytes_per_token=bytes_per_token(architecture, kv_type),
        beside_bytes=beside_bytes(architecture, kv_type),
        window=window,
        gain=window / usual if window and usual else None,
        costs=() if kv_type is F16 else costs,
    )


def beside_bytes(architecture: Architecture, kv_type: KvType) -> int:
    """Of one sequence: its states and its full sliding windows."""
    longest = max((group.cache.window for group in architecture.groups), default=0) + 2 * USUAL_STEP
    return bytes_per_sequence(architecture, kv_type, longest) - longest * bytes_per_token(architecture, kv_type)
