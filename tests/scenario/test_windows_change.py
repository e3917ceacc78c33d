"""An engine of somebody else is started anew with another window: callers see it, and are told the right one."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from llama_server import llama_server
from whole import ask, chat, until

from ringfence.gateway.window import hard_cap
from ringfence.testing.fake_dialects import KINDS, FakeModel
from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.ports import free_port

pytestmark = pytest.mark.slow


def test_a_llama_cpp_is_restarted_with_another_window(start_up: Any, tiny_model: Path) -> None:
    pytest.importorskip("xllamacpp")
    port = free_port()
    ports = {kind: [port] if kind == "llamacpp" else [] for kind in KINDS}
    told = ("--set", f"discovery.ports={json.dumps(ports)}")

    def found(up: Any) -> dict[str, Any]:
        rows = ask(up.root_url, "GET", "/v1/models", None, up.api_key).json["data"]
        return next((row for row in rows if row["owned_by"] == "llamacpp"), {})

    def window(up: Any) -> tuple[int | None, int | None]:
        row = found(up)
        return row.get("context_length"), row.get("max_model_len")

    with llama_server(tiny_model, port, 2048, 2):
        up = start_up("--model", str(tiny_model), *told)
        until(lambda: window(up) == (1024, 1024), 25, "the window")
        name = found(up)["id"]
        assert chat(up, model=name, max_tokens=2).status == 200
    with llama_server(tiny_model, port, 1024, 4):
        messages = [{"role": "user", "content": "one two " * 800}]
        until(lambda: chat(up, model=name, messages=messages, max_tokens=2).status == 200, 25, "it")
        reply = chat(up, model=name, messages=messages, max_tokens=2)
        assert reply.headers["x-ringfence-window"].startswith("compressed; before=")
        assert reply.json["usage"]["prompt_tokens"] + 2 <= 256
        until(lambda: window(up) == (256, 256), 25, "the new window")
        assert chat(up, model=name, max_tokens=2).status == 200
    up.stop()


async def test_engines_of_every_kind_come_back_with_another_window(start_up: Any, tmp_path: Path) -> None:
    """Each at its own port, under its own name; the next request already fits."""
    told = {kind: {"engine": kind} for kind in KINDS} | {"sglang": {"engine": "openai_compatible"}}
    speaks = {name: "vllm" if name == "sglang" else name for name in told}
    async with AsyncExitStack() as stack:
        engines = {name: FakeEngine(speaks[name], (FakeModel(window=4096),)) for name in told}
        for engine in engines.values():
            await stack.enter_async_context(engine)
        for name, model in told.items():
            model |= {"url": f"http://127.0.0.1:{engines[name].port}", "engine_model": "fake-model"}
        config = tmp_path / "ringfence.yaml"
        config.write_text(json.dumps({"models": told}))  # YAML reads JSON
        up = await asyncio.to_thread(start_up, "--config", str(config))

        def windows() -> dict[str, tuple[int | None, int | None]]:
            rows = ask(up.root_url, "GET", "/v1/models", None, up.api_key).json["data"]
            return {row["id"]: (row["context_length"], row["max_model_len"]) for row in rows if row["id"] in told}

        def all_are(window: int) -> bool:
            return windows() == dict.fromkeys(told, (window, window))

        await asyncio.to_thread(until, lambda: all_are(4096), 40, "the windows")
        for name, engine in engines.items():
            port = engine.port
            await engine.stop()
            engine.dialect = FakeEngine(speaks[name], (FakeModel(window=2000),)).dialect
            await engine.start(port)
        await asyncio.to_thread(until, lambda: all_are(2000), 20, "the new windows")
        for name, engine in engines.items():
            reply = await asyncio.to_thread(chat, up, model=name, max_tokens=10**6)
            assert reply.status == 200 or reply.code == "context_length_exceeded", reply.body
            if reply.status == 200:
                asked = engine.calls[-1].body
                output = asked["options"]["num_predict"] if speaks[name] == "ollama" else asked["max_tokens"]
                assert output <= hard_cap(2000)
        await asyncio.to_thread(up.stop)
