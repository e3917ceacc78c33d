"""llama.cpp's own HTTP server for one GGUF file, as a child process: `python -m ringfence.engines.llamacpp_process`.

It reads its `Spec` as one line of JSON on standard input and answers with one line of JSON on standard output:
`{"ready": "http://127.0.0.1:PORT", "window": N, "parallel": N}` or `{"error": "why"}` with exit status 1. It lives
no longer than its parent: the kernel kills it when the parent dies, and it leaves when standard input ends.

What llama.cpp writes to standard error may quote a request (a grammar it cannot parse, for one), so whoever reads it
must pass every line that comes after `ready` through `about_itself`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from ringfence.engines.gguf_header import GgufHeader, NotAModel, read_header
from ringfence.engines.said_to_parent import fail, say
from ringfence.tether import die_with_parent, go_first_when_memory_ends, leave_when_input_ends

USUAL_WINDOW_CAP = 8192
SMALL_BATCH = 512
LARGE_BATCH = 2048
LOGITS_BUDGET_BYTES = 512 * 1024 * 1024
NEEDED_CPU_FLAGS = frozenset(("avx2", "fma"))
ERRORS_ONLY = 1
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Those that llama.cpp offers (common/arg.cpp, `kv_cache_types`)."""
RANKS = 4
"""How a model's file says that it was made to rank documents (`pooling_type`, LLAMA_POOLING_TYPE_RANK)."""
LOAD_ERROR = "error loading model: "
ASSERTION = re.compile(r"^(?:[\w.~-]*/)*([\w-]+\.(?:c|cc|cpp|cu|cuh|h|hpp):\d+): (?:GGML_ASSERT|GGML_ABORT|fatal)")


@dataclass(frozen=True, slots=True)
class Spec:
    """What to serve. `window` is tokens per request, in and out; 0 is the trained one, at most 8192. `kv_type` is that
    of keys and values, such as q8_0; empty for llama.cpp's own, f16. `gpu_layers` are those of its layers that lie on
    GPUs; None for as many as fit. `split` are their shares, in the order in which the GPUs are seen."""

    model_path: str
    alias: str
    api_key: str
    window: int = 0
    parallel: int = 1
    threads: int = 0
    embeddings: bool = True
    ranks: bool = False
    kv_type: str = ""
    gpu_layers: int | None = None
    split: Sequence[int] = ()
    parent_pid: int = 0

    def __repr__(self) -> str:
        return f"Spec(alias={self.alias!r})"


def about_itself(line: str) -> str | None:
    """What may be kept of a line that a serving engine wrote: where it broke, and never text of a request."""
    broken = ASSERTION.match(line)
    return f"llama.cpp stopped itself at {broken.group(1)}" if broken else None


def load_error(lines: Sequence[str]) -> str | None:
    """llama.cpp's own reason for not loading a model, out of what it wrote before it served anyone."""
    marked = (line.partition(LOAD_ERROR)[2].strip() for line in lines if LOAD_ERROR in line)
    return next((reason for reason in marked if reason), None)


def lacking_cpu_flags(cpuinfo: str) -> list[str]:
    """The instructions that the build needs and this processor lacks; empty where the list cannot be read."""
    flags = next((line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return sorted(NEEDED_CPU_FLAGS - set(flags)) if flags else []


def window_of(asked: int, header: GgufHeader) -> int:
    """Tokens per request: what was asked, else what the model was trained for, within reach of a small machine."""
    if asked > 0:
        return asked
    return min(header.trained_window or 4096, USUAL_WINDOW_CAP)


def batch_of(window: int, header: GgufHeader) -> int:
    """Tokens computed in one step. An embedding must fit in one; a wide vocabulary makes a large one costly."""
    return step_of(window, header.vocabulary) if header.is_causal else window


def whole_batch(batch: int, parallel: int) -> int:
    """The next multiple of the requests at a time. With embeddings llama.cpp reserves a graph that pools the tokens of
    as many sequences, and rounds their number up only in one of the two matrices that it multiplies
    (llama-context.cpp, `graph_reserve`): with any other batch it stops itself before it serves."""
    return -(-batch // parallel) * parallel


def step_of(window: int, vocabulary: int) -> int:
    """The batch of a model that generates."""
    affordable = LOGITS_BUDGET_BYTES // (4 * max(vocabulary, 1))
    return max(min(window, SMALL_BATCH), min(window, LARGE_BATCH, affordable))


def main() -> None:
    """Serve until told to stop, or until the parent is gone."""
    spec = _read_spec()
    die_with_parent(spec.parent_pid)
    go_first_when_memory_ends()
    leave_when_input_ends(lambda: os._exit(0))
    lacking = lacking_cpu_flags(_cpuinfo())
    if lacking:
        fail(f"this processor lacks {', '.join(lacking)}, which the llama.cpp build in xllamacpp needs")
    try:
        header = read_header(Path(spec.model_path))
    except NotAModel as error:
        fail(str(error))
    server, window, device = _serve(spec, header)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    say({"ready": server.listening_address, "window": window, "parallel": spec.parallel, "device": device})
    while True:
        signal.pause()


def _serve(spec: Spec, header: GgufHeader) -> tuple[Any, int, str]:
    """The server, the window of one request in tokens, and the kind of device that it computes on."""
    try:
        xllamacpp: Any = import_module(
            "xllamacpp"
        )  # not at the top: on a processor that lacks AVX2 loading it ends in SIGILL
    except ImportError as error:
        fail(f"the package xllamacpp cannot be loaded: {error}")
    window = window_of(spec.window, header)
    batch = batch_of(window, header)
    params = xllamacpp.CommonParams()
    params.model.path = spec.model_path
    params.model_alias = {spec.alias}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [spec.api_key]
    params.ui = False
    params.cors_origins = ""
    params.offline = True
    params.endpoint_metrics = params.endpoint_slots = True
    params.n_parallel, params.n_ctx = spec.parallel, window * spec.parallel
    params.n_batch = params.n_ubatch = whole_batch(batch, spec.parallel) if spec.embeddings or spec.ranks else batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = spec.threads or _usable_cores()
    if spec.kv_type:
        params.cache_type_k = params.cache_type_v = _kv_type(xllamacpp, spec.kv_type)
    if spec.gpu_layers is not None:
        params.n_gpu_layers = spec.gpu_layers
    if spec.split:
        places = len(params.tensor_split)
        params.tensor_split = [share / sum(spec.split) for share in spec.split] + [0.0] * (places - len(spec.split))
    params.verbosity = ERRORS_ONLY
    if spec.ranks:
        params.embedding, params.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    elif spec.embeddings:
        params.embedding = True
        if header.pooling is None:
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    try:
        return xllamacpp.Server(params), window, _device(xllamacpp) if spec.gpu_layers != 0 else "cpu"
    except RuntimeError:
        fail(f"llama.cpp cannot load {spec.model_path}: it is damaged, of an unknown kind, or too large for the memory")


def _kv_type(xllamacpp: Any, name: str) -> Any:
    if name not in KV_TYPES:
        fail(f"llama.cpp keeps keys and values as {', '.join(KV_TYPES)}, not as {name}")
    return getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}")


def _device(xllamacpp: Any) -> str:
    """'gpu' when this build sees one: llama.cpp then moves all layers there that fit."""
    kinds = {str(device["type"]).rpartition("_")[2].rstrip(": 0123456789>") for device in xllamacpp.get_device_info()}
    return "gpu" if kinds & {"GPU", "IGPU"} else "cpu"


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def _read_spec() -> Spec:
    try:
        return Spec(**json.loads(sys.stdin.readline()))
    except (ValueError, TypeError):
        fail("expected one line of JSON with model_path, alias and api_key on standard input")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # requests were drained before, and the destructor of the server may wait for open streams


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
