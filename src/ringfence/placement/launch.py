"""How an engine of our own is started: the command, what it is told, and what may be kept of what it writes.

Every engine that we run is a module `ringfence.engines.<kind>_process` with one protocol: one line of JSON on standard
input (the spec, with a fresh `api_key` and our process id), one line on standard output (`ready` or `error`), and it
ends when standard input does.
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
from ringfence.engines import llamacpp_process
from ringfence.engines.gguf_header import GgufHeader, NotAModel, read_header

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
PASSED_ON_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "OMP_", "GOMP_")
OFFLINE = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Launch:
    """`keep` decides what may be kept of a line written while serving; `explain` finds the reason of a failed start.

    `abilities` is what the model can do where the file tells more than the engine will; None where it does not.
    `quantisation` is that of the weights, empty where the file does not tell.
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

    def spec_line(self, api_key: str) -> bytes:
        """The line on standard input."""
        return json.dumps({**self.spec, "api_key": api_key, "parent_pid": os.getpid()}).encode() + b"\n"


def llamacpp(
    model_path: Path, alias: str, *, window: int = 0, parallel: int = 1, threads: int = 0, embeddings: bool = True
) -> Launch:
    """llama.cpp for one GGUF file. `window` is tokens per request, 0 for the trained one (at most 8192)."""
    header = _header(model_path)
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
        },
        model_bytes=model_path.stat().st_size if model_path.is_file() else 0,
        abilities=_abilities(header, embeddings) if header is not None else None,
        quantisation=header.quantisation if header is not None else "",
        keep=llamacpp_process.about_itself,
        explain=llamacpp_process.load_error,
    )


def _header(model_path: Path) -> GgufHeader | None:
    """None for a file that is no model: the engine says so when it is started."""
    try:
        return read_header(model_path)
    except NotAModel:
        return None


def _abilities(header: GgufHeader, embeddings: bool) -> frozenset[Ability]:
    generates = frozenset((Ability.CHAT, Ability.COMPLETIONS)) if header.is_causal else frozenset[Ability]()
    return generates | ({Ability.EMBEDDINGS} if embeddings else set[Ability]())


def environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What an engine needs of our environment: never a key, never a proxy."""
    needed = {name: value for name, value in source.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}
    return needed | OFFLINE
