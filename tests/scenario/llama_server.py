"""llama.cpp's own server out of the xllamacpp wheel, run by somebody else: at his port, with his settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVE = """
import json, sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
p.n_ctx, p.n_parallel, p.cpuparams.n_threads = int(sys.argv[3]), int(sys.argv[4]), 1
more = json.loads(sys.argv[5])
if more.get("embedding"):
    p.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
for name, value in more.items():
    setattr(p, name, value)
server = xllamacpp.Server(p)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def llama_server(
    model: Path, port: int, context: int, parallel: int, *, is_seen: bool = False, **more: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """llama.cpp's own server, as somebody else would run it: `-c context -np parallel`, and `more` of its settings.
    Without `-np` it has four slots that share one context: `parallel=4, kv_unified=True`; with `is_seen` its name among
    the processes tells it."""
    told = [str(model), str(port), str(context), str(parallel), json.dumps(more)]
    command = (
        ["llama-server", "-c", SERVE, *told, "-m", str(model)] if is_seen else [sys.executable, "-c", SERVE, *told]
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        command, executable=sys.executable, env=env,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        assert child.stdout.readline().strip() == b"ready"
        yield child
    finally:
        child.kill()
        child.wait()
