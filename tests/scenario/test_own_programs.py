"""A whole gateway that starts an engine program of the owner's: it serves, comes back, and never outlives us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whole import chat, children, engine_pid, gone, kill, until

from ringfence.testing.llama_program import llama_server_program


def test_a_llama_server_serves_comes_back_and_goes(start_up: Any, tiny_model: Path, tmp_path: Path) -> None:
    program = llama_server_program(tmp_path)
    own = {"source": str(tiny_model), "command": [str(program)], "window": 512, "parallel": 2, "threads": 1}
    up = start_up("--set", f"models.own={json.dumps(own | {'gpu_layers': 0, 'kv_type': 'q8_0'})}")
    assert chat(up, model="own").status == 200
    wrapper = engine_pid(up)
    programs = children(wrapper)
    assert len(programs) == 1
    arguments = Path(f"/proc/{programs[0]}/cmdline").read_bytes().split(b"\0")
    assert [arguments[arguments.index(b"--cache-type-k") + 1], b"--api-key" in arguments] == [b"q8_0", False]
    kill(programs[0])
    until(lambda: engine_pid(up) != wrapper, 25, "another one")
    assert chat(up, model="own").status == 200
    left = [again := engine_pid(up), *children(again)]
    assert up.stop() == 0
    gone(left, 10)
