"""Engines that run on this machine already are found, offered and dropped; nothing else is ever contacted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from whole import ask, chat, control, engine_pid, gone, is_alive, question, until

from ringfence.testing.fake_dialects import KINDS, FakeModel
from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.ports import free_port

pytestmark = pytest.mark.slow

QUICK = ("--set", "discovery.interval_s=0.2")


def _ports(**ports: int) -> tuple[str, str]:
    """Every kind is looked for where the test says, or nowhere: the usual ports may be taken by others."""
    known = {kind: [ports[kind]] if kind in ports else [] for kind in KINDS}
    return "--set", f"discovery.ports={json.dumps(known)}"


async def in_thread(fn: Any, *args: Any, **told: Any) -> Any:
    """The fake engines live on this loop; what waits for their answers must not hold it."""
    return await asyncio.to_thread(fn, *args, **told)


@pytest.mark.timed  # whoever answers the look at start late is found by a later one
@pytest.mark.parametrize(
    "kind", ["vllm", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "vllm")]
)
async def test_an_engine_of_each_kind_is_found_and_used(start_up: Any, tiny_model: Path, kind: str) -> None:
    model = FakeModel("night-watch:8b", 12_345)
    async with FakeEngine(kind, (model,)) as engine:
        up = await in_thread(start_up, "--model", str(tiny_model), *_ports(**{kind: engine.port}))
        [found] = up.ready["adopted"]
        assert (found["engine"], found["url"]) == (kind, f"http://127.0.0.1:{engine.port}")
        reply = await in_thread(ask, up.root_url, "GET", "/v1/models", None, up.api_key)
        rows = {row["id"]: row for row in reply.json["data"]}
        assert {model.name, f"{kind}/{model.name}"} <= set(rows)
        assert rows[model.name]["context_length"] == 12_345
        assert rows[model.name]["boundary"] == "HOST"
        for name in (model.name, f"{kind}/{model.name}"):
            answer = await in_thread(chat, up, model=name, max_tokens=20)
            assert answer.status == 200, answer.body
            assert "quick brown fox" in answer.text
        assert engine.calls[-1].body["model"] == model.name
        assert up.api_key not in str(engine.calls[-1].headers)
        assert engine.calls[-1].headers.get("authorization") is None
        await in_thread(up.stop)
        assert engine.open_connections == 0


@pytest.mark.timed  # as above
async def test_what_ollama_would_send_to_its_cloud_is_left_out(start_up: Any, tiny_model: Path) -> None:
    models = (FakeModel("here:8b"), FakeModel("gpt-oss:120b-cloud", remote_host="https://ollama.com"))
    async with FakeEngine("ollama", models) as engine:
        up = await in_thread(start_up, "--model", str(tiny_model), *_ports(ollama=engine.port))
        assert "here:8b" in up.ready["models"]
        assert not [name for name in up.ready["models"] if "cloud" in name]
        [left] = up.ready["left_out"]
        assert left["engine_model"] == "gpt-oss:120b-cloud"
        assert "cloud of its own" in left["reason"]
        assert (await in_thread(control, up, "/status"))["left_out"][0]["name"] == "gpt-oss:120b-cloud"
        refused = await in_thread(chat, up, model="gpt-oss:120b-cloud")
        assert (refused.status, refused.code) == (404, "model_not_found")
        assert engine.calls == []
        await in_thread(up.stop)


async def test_an_ollama_that_is_configured_as_something_else_is_recognised(start_up: Any, tiny_model: Path) -> None:
    models = (FakeModel("here:8b"), FakeModel("alias:8b", remote_host="https://ollama.com"))
    async with FakeEngine("ollama", models) as engine:
        url = f"http://127.0.0.1:{engine.port}"
        near, far = (
            {"url": url, "engine": "openai_compatible", "engine_model": name} for name in ("here:8b", "alias:8b")
        )
        told = ("--set", f"models.near={json.dumps(near)}", "--set", f"models.far={json.dumps(far)}")
        up = await in_thread(start_up, "--model", str(tiny_model), *_ports(), *told)
        assert (await in_thread(chat, up, model="near")).status == 200
        refused = await in_thread(chat, up, model="far")
        assert (refused.status, refused.code) == (503, "target_unavailable")
        [left] = (await in_thread(control, up, "/status"))["left_out"]
        assert (left["name"], "cloud of its own" in left["reason"]) == ("alias:8b", True)
        assert [call.body["model"] for call in engine.calls] == ["here:8b"]
        await in_thread(up.stop)


async def test_an_engine_comes_and_goes(start_up: Any, tiny_model: Path) -> None:
    engine, port = FakeEngine("vllm", (FakeModel("late"),)), free_port()
    up = await in_thread(start_up, "--model", str(tiny_model), *_ports(vllm=port), *QUICK)
    assert "late" not in up.ready["models"]
    await engine.start(port)
    try:
        await in_thread(until, lambda: chat(up, model="late").status == 200, 25, "an answer of the new engine")
    finally:
        await engine.stop()
    assert (await in_thread(chat, up, model="late")).code in ("engine_failed", "target_unavailable")
    await in_thread(until, lambda: chat(up, model="late").status == 503, 10, "that it is known to be away")
    reply = await in_thread(chat, up, model="late")
    assert (reply.status, reply.code) == (503, "target_unavailable")
    assert reply.headers["retry-after"]
    assert (await in_thread(chat, up)).status == 200
    await engine.start(port)
    try:
        await in_thread(until, lambda: chat(up, model="late").status == 200, 10, "its return")
    finally:
        await engine.stop()
    await in_thread(up.stop)


@pytest.mark.slow
async def test_an_adopted_engine_is_not_ours_to_stop(start_up: Any, tmp_path: Path, tiny_model: Path) -> None:
    """The engine of one gateway, found by another: it lives on, and its key is its own."""
    one = await in_thread(start_up, "--model", str(tiny_model))
    pid = await in_thread(engine_pid, one)
    port = next(i["port"] for i in (await in_thread(control, one, "/status"))["instances"])
    two = await in_thread(start_up, "--model", str(tiny_model), *_ports(llamacpp=port))
    await in_thread(two.stop)
    assert is_alive(pid)
    assert (await in_thread(chat, one)).status == 200
    await in_thread(one.stop)
    gone([pid], 10)


async def test_an_engine_by_url_is_shown_where_it_is_even_while_it_is_away(start_up: Any, tiny_model: Path) -> None:
    far = f"http://127.0.0.2:{free_port()}"
    up = await in_thread(start_up, "--model", str(tiny_model), "--set", f"models.far.url={far}", *_ports())
    [found] = up.ready["adopted"]
    assert (found["url"], found["models"]) == (far, "")
    await in_thread(up.stop)


async def test_a_gateway_does_not_adopt_itself_or_its_like(start_up: Any, ringfence: Any, tiny_model: Path) -> None:
    port = free_port()
    looking = {kind: [port, int(ringfence.root_url.rpartition(":")[2])] for kind in KINDS}
    told = ("--set", f"discovery.ports={json.dumps(looking)}", *QUICK)
    up = await in_thread(start_up, "--model", str(tiny_model), *told, port=port)
    await asyncio.sleep(0.2)
    assert up.ready["adopted"] == []
    assert [one["kind"] for one in (await in_thread(control, up, "/status"))["instances"]] == ["supervised"]
    await in_thread(up.stop)


@pytest.mark.slow
async def test_only_the_listed_loopback_ports_are_contacted(tmp_path: Path, tiny_model: Path) -> None:
    """Every connect(), sendto() and DNS question of all its processes, from the first start to the end."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    trace, folder = tmp_path / "trace", tmp_path / "state"
    folder.mkdir()
    async with FakeEngine("vllm", (FakeModel("found"),)) as engine:
        silent = free_port()
        listed = {engine.port, silent}
        ports = json.dumps({"vllm": [engine.port, silent], "ollama": [], "lmstudio": [], "llamacpp": []})
        command = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
        command += [sys.executable, "-m", "ringfence", "up", "--json", "--port", "0", "--model", str(tiny_model)]
        command += ["--set", f"discovery.ports={ports}", *QUICK]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=os.environ | {"RINGFENCE_STATE_DIR": str(folder)}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 50))
        root = ready["base_url"].removesuffix("/v1")
        listed |= {int(root.rpartition(":")[2])}
        for body in (question(model=tiny_model.stem), question(model="found"), question(model="nothing")):
            await in_thread(ask, root, "POST", "/v1/chat/completions", body, ready["api_key"])
        await in_thread(ask, root, "GET", "/metrics")
        await in_thread(ask, root, "GET", "/console")
        token = (folder / "admin.token").read_text().strip()
        status = (await in_thread(ask, root, "GET", "/control/v1/status", None, token)).json
        listed |= {one["port"] for one in status["instances"]}
        await asyncio.sleep(0.2)
        for pid in _tracees(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)
    contacted = list(_addresses(trace.read_text()))
    assert {port for _family, _address, port in contacted} >= {silent}
    assert [one for one in contacted if one[1] not in ("127.0.0.1", "::1") or one[2] not in listed] == []


def _tracees(pid: int) -> list[int]:
    """The program that strace runs: its direct child."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _addresses(trace: str) -> Iterator[tuple[str, str, int]]:
    """(family, address, port) of every call in the trace; local sockets and bare sends have none."""
    for line in trace.splitlines():
        family = re.search(r"sa_family=(\w+)", line)
        if family is None or family[1] in ("AF_UNIX", "AF_UNSPEC", "AF_NETLINK"):
            continue
        address = re.search(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line)
        port = re.search(r"htons\((\d+)\)", line)
        assert address is not None, line
        assert port is not None, line
        yield family[1], address[1] or address[2], int(port[1])
