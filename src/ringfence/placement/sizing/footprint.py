"""All that a model takes on a device, term by term, and what of it fits at other quantisations and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringfence.engines.llamacpp_process import step_of
from ringfence.placement.sizing.advice import RESERVE_BYTES
from ringfence.placement.sizing.architecture import GROWS, Kind
from ringfence.placement.sizing.compute import Compute, compute
from ringfence.placement.sizing.kv import GroupBytes, group_bytes
from ringfence.placement.sizing.kv_types import F16, KvType
from ringfence.placement.sizing.lora import USUAL_RANK, lora_bytes
from ringfence.placement.sizing.quantised import QUANTISATIONS, quantised_bytes
from ringfence.placement.sizing.read import ModelFiles

WINDOWS = (4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
OVERHEAD_BYTES = RESERVE_BYTES
"""What the device's own driver and what nobody counts may take: as much as llama.cpp leaves free (--fit-target)."""


@dataclass(frozen=True, slots=True)
class Use:
    """How a model is to be served: `window` is tokens of one request, `parallel` requests at a time."""

    window: int
    parallel: int = 1
    kv_type: KvType = F16
    lora_slots: int = 0
    lora_rank: int = USUAL_RANK
    overhead_bytes: int = OVERHEAD_BYTES
    step: int | None = None
    """Tokens computed at once; None for what Ringfence starts llama.cpp with."""
    embeddings: bool = True


@dataclass(frozen=True, slots=True)
class Footprint:
    """`weights_bytes` and `lora_bytes` are None where they are not known, and then not in the total. `groups` are of
    one request each."""

    use: Use
    step: int
    weights_bytes: int | None
    groups: tuple[GroupBytes, ...]
    compute: Compute
    lora_bytes: int | None

    @property
    def kv_bytes(self) -> int:
        """Keys and values of all requests."""
        return self.use.parallel * sum(one.sequence_bytes for one in self.groups if not _is_state(one))

    @property
    def state_bytes(self) -> int:
        """Constant states of all requests."""
        return self.use.parallel * sum(one.sequence_bytes for one in self.groups if _is_state(one))

    @property
    def bytes_per_token(self) -> int:
        """What each further token of a request adds."""
        return sum(one.token_bytes for one in self.groups if one.group.cache.kind in GROWS)

    @property
    def total_bytes(self) -> int:
        known = (self.weights_bytes or 0) + (self.lora_bytes or 0) + self.use.overhead_bytes
        return known + self.kv_bytes + self.state_bytes + self.compute.total_bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One quantisation: `totals` are bytes for each of `WINDOWS` that is asked for; `is_own` for the file as it is."""

    name: str
    engine: str
    weights_bytes: int
    totals: tuple[int, ...]
    is_own: bool = False


def _is_state(one: GroupBytes) -> bool:
    return one.group.cache.kind is Kind.STATE


def footprint(files: ModelFiles, use: Use, weights_bytes: int | None = None) -> Footprint:
    """`weights_bytes` given rules over what the files tell."""
    step = use.step or step_of(use.window, files.widths.vocabulary)
    known = files.weights.total_bytes if files.weights is not None else None
    return Footprint(
        use=use,
        step=step,
        weights_bytes=known if weights_bytes is None else weights_bytes,
        groups=group_bytes(files.architecture, use.kv_type, use.window, step),
        compute=compute(files.architecture, files.widths, use.window, use.parallel, step, use.embeddings),
        lora_bytes=_lora(files, use),
    )


def _lora(files: ModelFiles, use: Use) -> int | None:
    if use.lora_slots == 0:
        return 0
    return lora_bytes(files.weights, use.lora_slots, use.lora_rank) if files.weights is not None else None


def windows_asked(use: Use, trained: int | None) -> tuple[int, ...]:
    """The columns of the table: the usual windows up to what the model was trained for, and the one asked for."""
    most = max(trained or 131072, use.window)
    return tuple(sorted({use.window, *(one for one in WINDOWS if one <= most)}))


def table(files: ModelFiles, use: Use, weights_bytes: int | None = None) -> tuple[Row, ...]:
    """Quantisations x windows, the file as it is first. Of each engine's only where it has the KV type."""
    windows = windows_asked(use, files.architecture.trained_window)
    own = footprint(files, use, weights_bytes).weights_bytes
    rows = [] if own is None else [_row(files, use, "as it is", "", own, windows, is_own=True)]
    for one in QUANTISATIONS:
        size = quantised_bytes(files.weights, one) if files.weights is not None else None
        if size is not None and one.engine in use.kv_type.engines:
            rows.append(_row(files, use, one.name, one.engine, size, windows))
    return tuple(rows)


def _row(
    files: ModelFiles, use: Use, name: str, engine: str, size: int, windows: Sequence[int], is_own: bool = False
) -> Row:
    totals = tuple(footprint(files, replace(use, window=window), size).total_bytes for window in windows)
    return Row(name, engine, size, totals, is_own)
