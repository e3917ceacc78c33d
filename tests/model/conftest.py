"""The demo model on the engine that serves it: llama.cpp's own server, out of the xllamacpp wheel, as a child."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringfence.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # `training` is a folder of scripts, not part of the installed package
    sys.path.insert(0, str(ROOT))

DEMO = ROOT / "src" / "ringfence" / "models" / "demo.gguf"
READY_S = 60

# Runs in the child; ends with it when the parent closes its standard input.
SERVE = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
p.n_ctx, p.n_parallel, p.cpuparams.n_threads = 4096, 1, 1
server = xllamacpp.Server(p)
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Engine:
    url: str

    def chat(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """The message that answers, at temperature 0."""
        body = {"model": "demo", "messages": messages, "temperature": 0, "max_tokens": 128, **fields}
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["choices"][0]["message"]

    def ask(self, question: str, system: str | None = None) -> str:
        messages = [{"role": "system", "content": system}] if system else []
        return self.chat([*messages, {"role": "user", "content": question}])["content"]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    pytest.importorskip("xllamacpp")
    port = free_port()
    log = tmp_path_factory.mktemp("engine") / "log"
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(DEMO), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert child.stdin and child.stdout
    try:
        is_there, _, _ = select.select([child.stdout], [], [], READY_S)
        if not is_there or child.stdout.readline().strip() != b"ready":
            pytest.fail(f"the engine did not start: {log.read_text(errors='replace')[-2000:]}")
        yield Engine(f"http://127.0.0.1:{port}")
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
