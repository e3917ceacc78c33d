"""A supervised llama.cpp that is killed, stopped, hung and broken for real."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.errors import TargetFailed
from ringfence.core.ports import Ask, Fetched
from ringfence.egress.pool import Pool
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement import launch as launching
from ringfence.placement.events import InstanceFailed, InstanceReady, InstanceStarted, InstanceStopped
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import Pace, State
from ringfence.placement.output import Output
from ringfence.placement.process import EngineProcess
from ringfence.placement.supervisor import Supervisor

Supervise = Callable[..., Supervisor]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """A signal stops one thread after the other."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)


async def until(claim: Callable[[], object], timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.01)


@pytest.mark.timed
async def test_a_killed_engine_is_back_in_two_seconds(
    supervise: Supervise, launch: Launch, events: list[object]
) -> None:
    keeper = supervise(launch)
    keeper.start()
    first = await keeper.wait_ready(20)
    pid = keeper.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    await until(lambda: keeper.endpoint is None)
    assert time.monotonic() - began < 0.2, "the end of the process must be noticed at once"
    second = await keeper.wait_ready(5)
    assert time.monotonic() - began < 2.0
    assert keeper.pid != pid
    assert second.api_key != first.api_key
    assert keeper.restarts == 1
    assert [type(event) for event in events] == [
        *(InstanceStarted, InstanceReady, InstanceFailed),
        *(InstanceStarted, InstanceReady),
    ]
    assert "SIGKILL" in str(events[2])


async def test_a_hung_engine_is_noticed_and_replaced(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(launch)
    keeper.start()
    await keeper.wait_ready(20)
    pid = keeper.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: keeper.endpoint is None, 25)
    await keeper.wait_ready(25)
    assert keeper.pid != pid
    assert not is_running(pid)


async def test_a_suspicion_is_looked_into_at_once(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(launch, pace=Pace(health_every_s=3600, health_timeout_s=0.1, suspect_every_s=0.02))
    keeper.start()
    await keeper.wait_ready(20)
    pid = keeper.pid
    assert pid is not None
    keeper.suspect()
    await asyncio.sleep(0.15)
    assert keeper.pid == pid, "a healthy engine survives a suspicion"
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: is_stopped(pid))
    keeper.suspect()
    await until(lambda: keeper.endpoint is None, 25)


@pytest.mark.timed
async def test_stop_leaves_no_process(supervise: Supervise, launch: Launch, events: list[object]) -> None:
    keeper = supervise(launch)
    keeper.start()
    await keeper.wait_ready(20)
    pid = keeper.pid
    assert pid is not None
    began = time.monotonic()
    await keeper.stop()
    assert time.monotonic() - began < 1.0, "SIGTERM is enough"
    assert not is_running(pid)
    assert (keeper.state, keeper.endpoint, keeper.pid) == (State.STOPPED, None, None)
    assert events[-1] == InstanceStopped("tiny")


async def test_an_engine_that_ignores_sigterm_is_killed(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(launch, pace=Pace(stop_grace_s=0.2))
    keeper.start()
    await keeper.wait_ready(20)
    pid = keeper.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await keeper.stop()
    assert not is_running(pid)


async def test_stop_while_it_loads_and_start_again(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(launch)
    keeper.start()
    await until(lambda: keeper.pid)
    pid = keeper.pid
    assert pid is not None
    await keeper.stop()
    assert not is_running(pid)
    keeper.start()
    assert (await keeper.wait_ready(20)).port


async def test_a_broken_model_is_given_up_with_its_reason(
    supervise: Supervise, model: Path, tmp_path: Path, events: list[object]
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(model.read_bytes()[:400_000])
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)
        await asyncio.sleep(0 if len(slept) < 3 else 3600)

    keeper = supervise(launching.llamacpp(path, "broken"), sleep=sleep, chance=lambda: 1.0)
    keeper.start()
    with pytest.raises(TargetFailed) as caught:
        await keeper.wait_ready(20)
    assert caught.value.reason == "loading"
    assert str(path) not in caught.value.failure.message
    assert keeper.state is State.FAILED
    assert slept == [0.1, 0.2, 300.0]
    assert "corrupted or incomplete" in keeper.reason
    assert [event.gave_up for event in events if isinstance(event, InstanceFailed)] == [False, False, True]


async def test_a_program_that_cannot_be_run_is_told(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(Launch("llamacpp", "tiny", ("/no/such/program",), {}))
    keeper.start()
    with pytest.raises(TargetFailed):
        await keeper.wait_ready(5)
    assert "cannot run /no/such/program" in keeper.reason


async def test_one_that_never_gets_ready_runs_out_of_time(supervise: Supervise) -> None:
    silent = Launch("llamacpp", "tiny", (sys.executable, "-c", "import sys; sys.stdin.read()"), {})
    keeper = supervise(silent, pace=Pace(start_base_s=0.2, first_delay_s=10))
    keeper.start()
    await until(lambda: keeper.state is State.BACKING_OFF)
    assert "not ready within" in keeper.reason
    assert keeper.pid is None


@pytest.mark.parametrize("url", ["http://192.0.2.7:80", "http://localhost:80", "nonsense", 7])
async def test_an_engine_that_listens_elsewhere_is_not_used(supervise: Supervise, url: object) -> None:
    script = f"import json, sys; print(json.dumps({{'ready': {url!r}}}), flush=True)"
    keeper = supervise(Launch("llamacpp", "tiny", (sys.executable, "-c", script), {}), pace=Pace(first_delay_s=10))
    keeper.start()
    await until(lambda: keeper.reason)
    assert keeper.endpoint is None


async def test_waiting_ends_with_the_time(supervise: Supervise, launch: Launch) -> None:
    keeper = supervise(launch)
    with pytest.raises(TargetFailed):
        await keeper.wait_ready(5)
    keeper.start()
    with pytest.raises(TargetFailed) as caught:
        await keeper.wait_ready(0.001)
    assert caught.value.failure.retry_after_s is not None


async def test_what_it_writes_is_kept_until_it_serves(supervise: Supervise, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(model.read_bytes()[:400_000])
    keeper = supervise(launching.llamacpp(path, "broken"), name="a/b")
    keeper.start()
    await until(lambda: keeper.state is State.FAILED)
    assert any("failed to load model" in line for line in keeper.output.lines)
    assert "failed to load model" in (tmp_path / "logs" / "a_b.log").read_text()


def test_it_works_on_the_loop_of_the_gateway(model: Path) -> None:
    async def live() -> int | None:
        pool = Pool()
        launch = launching.llamacpp(model, "tiny", window=256, threads=1)
        keeper = Supervisor("tiny", launch, ADAPTER, lambda at: partial(pool.fetch, at), lambda _event: None)
        keeper.start()
        await keeper.wait_ready(20)
        pid = keeper.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: keeper.endpoint is None)
        await keeper.wait_ready(25)
        last = keeper.pid
        await keeper.stop()
        return last

    pid = uvloop.run(live())
    assert pid is not None
    assert not is_running(pid)


@pytest.mark.parametrize("embeddings", [True, False])
async def test_what_the_file_tells_of_its_abilities_holds(supervise: Supervise, model: Path, embeddings: bool) -> None:
    keeper = supervise(launching.llamacpp(model, "tiny", window=256, threads=1, embeddings=embeddings))
    keeper.start()
    await keeper.wait_ready(20)
    assert (Ability.EMBEDDINGS in keeper.offers[0].abilities) is embeddings
    assert Ability.CHAT in keeper.offers[0].abilities


def test_an_engine_gets_no_key_of_ours() -> None:
    source = {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "0",
        "OPENAI_API_KEY": "x",
        "HTTPS_PROXY": "http://p",
        "HF_TOKEN": "t",
    }
    assert launching.environment(source).keys() == {
        "PATH",
        "CUDA_VISIBLE_DEVICES",
        "HF_HUB_OFFLINE",
        "PYTHONUNBUFFERED",
    }


def test_a_spec_is_not_shown(launch: Launch) -> None:
    assert "spec" not in repr(launch)
    assert b'"api_key": "secret"' in launch.spec_line("secret")


def test_the_engine_dies_with_a_supervisor_that_is_killed(model: Path) -> None:
    script = f"""
import asyncio, sys
from functools import partial
from pathlib import Path
from ringfence.egress.pool import Pool
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.launch import llamacpp
from ringfence.placement.supervisor import Supervisor

async def main():
    pool = Pool()
    launch = llamacpp(Path({str(model)!r}), "tiny", window=256, threads=1)
    keeper = Supervisor("tiny", launch, ADAPTER, lambda at: partial(pool.fetch, at), lambda event: None)
    keeper.start()
    await keeper.wait_ready(20)
    print(keeper.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    limit = time.monotonic() + 25
    while is_running(pid) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not is_running(pid)


@pytest.mark.parametrize("embeddings", [True, False])
async def test_one_that_is_quarantined_shows_by_a_token_that_it_works(
    supervise: Supervise, model: Path, embeddings: bool
) -> None:
    pool = Pool()
    asked: list[str] = []

    def ask_at(at: Endpoint) -> Ask:
        async def ask(path: str, body: dict[str, Any]) -> Fetched:
            asked.append(path)
            return await pool.fetch(at, path, about=body)

        return ask

    launch = launching.llamacpp(model, "tiny", window=256, threads=1, embeddings=embeddings)
    keeper = supervise(launch, ask_at=ask_at)
    keeper.start()
    await keeper.wait_ready(20)
    pid = keeper.pid
    keeper.quarantine("its answers looked odd")
    assert keeper.endpoint is None
    await keeper.wait_ready(25)
    assert (keeper.pid, keeper.reason, asked) == (pid, "", ["/v1/completions"])


async def test_what_a_child_of_an_engine_computes_is_counted() -> None:
    burns = "import time\nwhile time.process_time() < 0.8: pass\ntime.sleep(30)"
    waits = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    process = await EngineProcess.start(
        Launch("llamacpp", "tiny", (sys.executable, "-c", waits, burns), {}), "key", Output(None)
    )
    try:
        await until(lambda: (process.cpu_s or 0) > 0.6, 20)
    finally:
        await process.end(0)
