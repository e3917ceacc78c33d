"""How a vLLM of the owner's is started for one model, and started again with the window that fits."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ringfence.engines import program_process, vllm_start
from ringfence.placement.launch import Launch, NotLaunched, Seat
from ringfence.placement.visible import visible

START_S = 300.0
"""It compiles, and captures graphs; the first time on a machine for minutes."""


def vllm(
    command: Sequence[str],
    model: Path,
    alias: str,
    *,
    further: Sequence[str] = (),
    window: int = 0,
    parallel: int = 4,
    kv_type: str = "",
    sleeps: bool | None = None,
    lora_slots: int = 0,
    lora_rank: int = vllm_start.USUAL_LORA_RANK,
    seat: Seat | None = None,
) -> Launch:
    """`model` is a folder as a hub has it. `window` 0: as far as the model goes, or as fits. `sleeps` None: where it
    has a GPU to leave. Raises NotLaunched."""
    _check(model, further, kv_type, lora_slots, lora_rank)
    seen = seat.gpus if seat is not None else ()
    can_sleep = bool(seen) if sleeps is None else sleeps
    whole = command or vllm_start.COMMAND
    arguments = partial(
        vllm_start.arguments, str(model), alias, command=whole, parallel=parallel, share=_share(seat), kv_type=kv_type,
        gpus=len(seen), sleeps=can_sleep, lora_slots=lora_slots, lora_rank=lora_rank,
    )  # fmt: skip

    def with_window(window: int, note: str = "") -> Launch:
        spec = {
            "command": [*whole, *arguments(window=window), *further],
            "title": "vLLM",
            "key_variable": vllm_start.KEY_VARIABLE,
            "environment": {**vllm_start.ENVIRONMENT, **(vllm_start.SLEEP_ENVIRONMENT if can_sleep else {})},
            "device": "" if seat is None else "gpu" if seen else "cpu",
            "window": window,
        }
        return replace(plain, spec=spec, window=window, note=note, retry=partial(with_less, window))

    def with_less(window: int, lines: Sequence[str]) -> Launch | None:
        fits = vllm_start.window_that_fits(lines)
        if fits is None or 0 < window <= fits:
            return None
        instead = f" instead of {window}" if window else ""
        return with_window(fits, f"a window of {fits} tokens{instead}: no more fits the memory that it was given")

    plain = Launch(
        engine="vllm",
        model=alias,
        command=(sys.executable, "-P", "-m", program_process.__name__),
        spec={},
        model_bytes=sum(file.stat().st_size for file in model.glob("*.safetensors")),
        quantisation=_quantisation(model),
        keep=vllm_start.about_itself,
        explain=vllm_start.why_not_started,
        environment=visible(seat.devices) if seat is not None else {},
        start_s=START_S,
        sleeps=can_sleep,
    )
    return with_window(window)


def _check(model: Path, further: Sequence[str], kv_type: str, lora_slots: int, lora_rank: int) -> None:
    if reason := vllm_start.refused(further):
        raise NotLaunched(f"args: {reason}")
    if kv_type and kv_type not in vllm_start.KV_TYPES:
        raise NotLaunched(f"kv_type: vLLM keeps keys and values as {', '.join(vllm_start.KV_TYPES)}, not as {kv_type}")
    if lora_slots and lora_rank not in vllm_start.LORA_RANKS:
        raise NotLaunched(f"vLLM takes adapters of the ranks {', '.join(map(str, vllm_start.LORA_RANKS))}")
    if not (model / "config.json").is_file():
        raise NotLaunched(f"source: there is no config.json in {model}, so that it is no model that vLLM serves")


def _share(seat: Seat | None) -> float | None:
    """Of several devices vLLM takes the same part of each: the largest that was claimed of every one of them. On the
    processor it is a part of RAM."""
    if seat is None:
        return None
    sizes = zip(seat.devices, seat.claimed, seat.totals, strict=False)
    return min(
        (
            vllm_start.share_of(claimed, total)
            for one, claimed, total in sizes
            if total and one in (seat.gpus or (one,))
        ),
        default=None,
    )


def _quantisation(model: Path) -> str:
    """That of the weights as their config tells it."""
    try:
        told: Any = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if not isinstance(told, dict):
        return ""
    by = told.get("quantization_config")  # type: ignore[reportUnknownMemberType]
    method = by.get("quant_method") if isinstance(by, dict) else None  # type: ignore[reportUnknownMemberType]
    kept = method or told.get("torch_dtype") or told.get("dtype")  # type: ignore[reportUnknownMemberType]
    return kept if isinstance(kept, str) else ""
