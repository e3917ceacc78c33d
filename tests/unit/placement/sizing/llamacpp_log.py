"""What a real llama.cpp writes of what it allocates when it loads a model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STARTED = """
import json, os, sys, xllamacpp
asked = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path, params.n_parallel = asked["path"], asked["parallel"]
params.n_ctx = asked["tokens"] * asked["parallel"]
params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + asked["kv_type"].upper())
params.hostnames, params.port, params.verbosity = ["127.0.0.1"], 0, 4
params.n_batch = params.n_ubatch = asked["step"]
params.warmup = False
if asked["reads_all"]:
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
if asked["embeddings"]:
    params.embedding, params.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
sys.stdin.read()
os._exit(0)
"""
IS_READY = "all slots are idle"
KEPT = re.compile(r"llama_(?:kv_cache|memory_recurrent): size =\s*([\d.]+) MiB")
BUFFER = re.compile(r"(model|compute|output) buffer size =\s*([\d.]+) MiB")


@dataclass(frozen=True)
class Log:
    """MiB: of weights, of all caches, and of compute and output buffers together."""

    weights: float
    kept: float
    compute: float


def log_of(
    path: Path, kv_type: str, tokens: int, parallel: int, step: int, embeddings: bool = False, reads_all: bool = False
) -> Log:
    """Load it, and end. `reads_all`: into memory of its own, instead of mapping the file."""
    asked = {
        "path": str(path), "kv_type": kv_type, "tokens": tokens, "parallel": parallel, "step": step,
        "embeddings": embeddings, "reads_all": reads_all,
    }  # fmt: skip
    pipe = subprocess.PIPE
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, json.dumps(asked)],
        stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        for line in process.stdout:  # its log is written by a thread of its own, which is waited for
            said.append(line)
            if IS_READY in line:
                break
        process.stdin.close()
    text = "".join(said)
    kept = KEPT.findall(text)
    assert kept, "".join(said[-30:])
    sizes: dict[str, float] = {}
    for name, size in BUFFER.findall(text):
        sizes[name] = sizes.get(name, 0.0) + float(size)
    return Log(sizes.get("model", 0.0), sum(map(float, kept)), sizes.get("compute", 0.0) + sizes.get("output", 0.0))
