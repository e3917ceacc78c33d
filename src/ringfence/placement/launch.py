"""How an engine of our own is started: the command, what it is told, and what may be kept of what it writes.

Every engine that we run is a module of `ringfence.engines` with one protocol: one line of JSON on standard input (the
spec, with a fresh `api_key` and our process id), one line on standard output (`ready` or `error`), and it ends when
standard input does. `llamacpp_process` serves by itself; `program_process` does so for a program of the owner's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.engines import llama_server_start, llamacpp_process, program_process
from ringfence.engines.gguf_header import GgufHeader, NotAModel, read_header
from ringfence.placement.visible import gpus, visible

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
PASSED_ON_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "OMP_", "GOMP_")
OFFLINE = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
WHOLE_MODEL = llama_server_start.ALL_LAYERS


class NotLaunched(ValueError):
    """It cannot be started as its settings say; the text is for people, and names the setting."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a model is loaded: the `devices` (ids as Device has them) and the bytes that were claimed of each, in the
    same order. `totals` are the bytes that each has. Without a real GPU among them it is the processor alone."""

    devices: tuple[str, ...] = ()
    claimed: tuple[int, ...] = ()
    totals: tuple[int, ...] = ()

    @property
    def gpus(self) -> tuple[str, ...]:
        return gpus(self.devices)

    @property
    def split(self) -> tuple[int, ...]:
        """Bytes on each GPU that the engine sees."""
        return tuple(size for one, size in zip(self.devices, self.claimed, strict=False) if one in self.gpus)


@dataclass(frozen=True, slots=True)
class Launch:
    """`keep` decides what may be kept of a line written while serving; `explain` finds the reason of a failed start,
    and `retry` another launch for the next try.

    `abilities` is what the model can do where the file tells more than the engine will; None where it does not.
    `quantisation` is that of the weights, empty where the file does not tell. `window` is tokens of a request as far as
    it is known before the engine runs, else 0. `environment` is added to what every engine gets.
    """

    engine: str
    model: str
    command: tuple[str, ...]
    spec: Mapping[str, Any] = field(repr=False)
    model_bytes: int = 0
    abilities: frozenset[Ability] | None = None
    quantisation: str = ""
    keep: Callable[[str], str | None] = lambda _line: None
    explain: Callable[[Sequence[str]], str | None] = lambda _lines: None
    window: int = 0
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    start_s: float = 0.0
    """What it takes to start beside reading the weights, more than usual."""
    retry: Callable[[Sequence[str]], Launch | None] = lambda _lines: None
    """Given what it wrote when it did not start: a launch that should, or None. It ends: each asks for less."""
    sleeps: bool = False
    """It is started so that it can sleep, where its adapter knows how."""
    note: str = ""
    """In which way it differs from what was set up; for people."""

    def spec_line(self, api_key: str) -> bytes:
        """The line on standard input."""
        return json.dumps({**self.spec, "api_key": api_key, "parent_pid": os.getpid()}).encode() + b"\n"


def llamacpp(
    model_path: Path,
    alias: str,
    *,
    window: int = 0,
    parallel: int = 1,
    threads: int = 0,
    embeddings: bool = True,
    ranks: bool | None = None,
    kv_type: str = "",
    gpu_layers: int | None = None,
    seat: Seat | None = None,
) -> Launch:
    """llama.cpp out of the wheel for one GGUF file. `window` is tokens per request, 0 for the trained one (at most
    8192). `ranks` None: as the file says. Without `seat` it sees whatever there is; `gpu_layers` None: all of them,
    where there is a GPU."""
    header = _header(model_path)
    _check_kv_type(kv_type)
    is_ranker = _is_ranker(header) if ranks is None else ranks
    return Launch(
        engine="llamacpp",
        model=alias,
        command=(sys.executable, "-P", "-m", llamacpp_process.__name__),
        spec={
            "model_path": str(model_path),
            "alias": alias,
            "window": window,
            "parallel": parallel,
            "threads": threads,
            "embeddings": embeddings,
            "ranks": is_ranker,
            "kv_type": kv_type,
            "gpu_layers": layers_on_gpus(gpu_layers, seat),
            "split": list(seat.split) if seat is not None and len(seat.split) > 1 else [],
        },
        model_bytes=_size_bytes(model_path),
        abilities=_abilities(header, embeddings, is_ranker) if header is not None else None,
        quantisation=header.quantisation if header is not None else "",
        keep=llamacpp_process.about_itself,
        explain=llamacpp_process.load_error,
        window=llamacpp_process.window_of(window, header) if header is not None else window,
        environment=seen_by(gpu_layers, seat),
    )


def llama_server(
    command: Sequence[str],
    model_path: Path,
    alias: str,
    *,
    further: Sequence[str] = (),
    window: int = 0,
    parallel: int = 1,
    threads: int = 0,
    embeddings: bool = False,
    ranks: bool | None = None,
    kv_type: str = "",
    gpu_layers: int | None = None,
    seat: Seat | None = None,
) -> Launch:
    """A llama-server of the owner's for one GGUF file; `further` are its own arguments. A model that generates makes
    embeddings only with `embeddings`: older servers then do nothing else. Raises NotLaunched."""
    if reason := llama_server_start.refused(further):
        raise NotLaunched(f"args: {reason}")
    _check_kv_type(kv_type)
    header = _header(model_path)
    asked = llamacpp_process.window_of(window, header) if header is not None else window
    is_ranker = _is_ranker(header) if ranks is None else ranks
    embeds = embeddings or (header is not None and not header.is_causal)
    said = llama_server_start.arguments(
        str(model_path), alias, window=asked, parallel=parallel,
        batch=llamacpp_process.batch_of(asked, header) if header is not None else llamacpp_process.SMALL_BATCH,
        threads=threads or -1, embeddings=embeds and not is_ranker, ranks=is_ranker,
        mean_pooling=header is not None and header.pooling is None, kv_type=kv_type,
        gpu_layers=layers_on_gpus(gpu_layers, seat), split=seat.split if seat is not None else (),
    )  # fmt: skip
    return Launch(
        engine="llamacpp",
        model=alias,
        command=(sys.executable, "-P", "-m", program_process.__name__),
        spec={
            "command": [*command, *said, *further],
            "title": "llama-server",
            "key_variable": llama_server_start.KEY_VARIABLE,
            "environment": dict(llama_server_start.ENVIRONMENT),
            "device": device_of(gpu_layers, seat),
            "window": asked,
        },
        model_bytes=_size_bytes(model_path),
        abilities=_abilities(header, embeds, is_ranker) if header is not None else None,
        quantisation=header.quantisation if header is not None else "",
        keep=llamacpp_process.about_itself,
        explain=llama_server_start.why_not_started,
        window=asked,
        environment=seen_by(gpu_layers, seat),
    )


def layers_on_gpus(gpu_layers: int | None, seat: Seat | None) -> int | None:
    """How many of its layers, or None to leave it to the engine: nobody has said where it is loaded."""
    if seat is not None and not seat.gpus:
        return 0
    return gpu_layers if gpu_layers is not None or seat is None else WHOLE_MODEL


def seen_by(gpu_layers: int | None, seat: Seat | None) -> dict[str, str]:
    """With no layer on a GPU it must not see one either: a context alone takes hundreds of MiB."""
    if gpu_layers == 0:
        return visible(())
    return visible(seat.devices) if seat is not None else {}


def device_of(gpu_layers: int | None, seat: Seat | None) -> str:
    """As of an Offer; empty where it is left to the engine."""
    if gpu_layers == 0 or (seat is not None and not seat.gpus):
        return "cpu"
    return "gpu" if seat is not None else ""


def _check_kv_type(kv_type: str) -> None:
    if kv_type and kv_type not in llamacpp_process.KV_TYPES:
        raise NotLaunched(
            f"kv_type: llama.cpp keeps keys and values as {', '.join(llamacpp_process.KV_TYPES)}, not as {kv_type}"
        )


def _size_bytes(model_path: Path) -> int:
    return model_path.stat().st_size if model_path.is_file() else 0


def _header(model_path: Path) -> GgufHeader | None:
    """None for a file that is no model: the engine says so when it is started."""
    try:
        return read_header(model_path)
    except NotAModel:
        return None


def _is_ranker(header: GgufHeader | None) -> bool:
    """Whether a file says that it was made to rank documents."""
    return header is not None and header.pooling == llamacpp_process.RANKS


def _abilities(header: GgufHeader, embeddings: bool, is_ranker: bool) -> frozenset[Ability]:
    if is_ranker:
        return frozenset((Ability.RERANK,))
    generates = frozenset((Ability.CHAT, Ability.COMPLETIONS)) if header.is_causal else frozenset[Ability]()
    return generates | ({Ability.EMBEDDINGS} if embeddings else set[Ability]())


def environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What an engine needs of our environment: never a key, never a proxy."""
    needed = {name: value for name, value in source.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}
    return needed | OFFLINE
