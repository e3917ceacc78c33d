"""A `llama-server` to start in tests: llama.cpp's own server out of the wheel, behind the arguments of the program.

It takes those that every build has, and ends at any other with the words of the real one.
"""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = """#!{python}
import json, os, signal, sys
import xllamacpp
POOLING = xllamacpp.llama_pooling_type
p = xllamacpp.CommonParams()
p.endpoint_metrics, p.endpoint_slots, p.ui = os.environ.get("LLAMA_ARG_ENDPOINT_METRICS") == "1", True, True
p.api_keys = [os.environ["LLAMA_API_KEY"]] if "LLAMA_API_KEY" in os.environ else []
p.offline, p.verbosity = os.environ.get("LLAMA_ARG_OFFLINE") == "1", int(os.environ.get("LLAMA_ARG_LOG_VERBOSITY", "3"))
told = {{}}
SAID = {{
    "--model": lambda v: setattr(p.model, "path", v), "--alias": lambda v: setattr(p, "model_alias", {{v}}),
    "--host": lambda v: setattr(p, "hostnames", [v]), "--port": lambda v: setattr(p, "port", int(v)),
    "--ctx-size": lambda v: setattr(p, "n_ctx", int(v)), "--parallel": lambda v: setattr(p, "n_parallel", int(v)),
    "--batch-size": lambda v: setattr(p, "n_batch", int(v)), "--ubatch-size": lambda v: setattr(p, "n_ubatch", int(v)),
    "--threads": lambda v: setattr(p.cpuparams, "n_threads", int(v)),
    "--cache-type-k": lambda v: setattr(p, "cache_type_k", getattr(xllamacpp.ggml_type, "GGML_TYPE_" + v.upper())),
    "--cache-type-v": lambda v: setattr(p, "cache_type_v", getattr(xllamacpp.ggml_type, "GGML_TYPE_" + v.upper())),
    "--n-gpu-layers": lambda v: setattr(p, "n_gpu_layers", int(v)), "--tensor-split": lambda v: None,
    "--pooling": lambda v: setattr(p, "pooling_type", getattr(POOLING, "LLAMA_POOLING_TYPE_" + v.upper())),
    "--temp": lambda v: setattr(p.sampling, "temp", float(v)),
}}
FLAGS = {{"--no-webui": lambda: setattr(p, "ui", False), "--embeddings": lambda: setattr(p, "embedding", True)}}
words = sys.argv[1:]
while words:
    name = words.pop(0)
    if name in FLAGS:
        FLAGS[name]()
    elif name in SAID:
        SAID[name](words.pop(0))
    else:
        print("error: invalid argument: " + name, file=sys.stderr)
        sys.exit(1)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = xllamacpp.Server(p)
while True:
    signal.pause()
"""


def llama_server_program(folder: Path) -> Path:
    """The program, written to `folder`."""
    path = folder / "llama-server"
    path.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return path
