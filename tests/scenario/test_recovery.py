"""How soon a broken engine is seen, and what its callers get meanwhile. The figures are printed with -s."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from whole import LONG_TOKENS, Stream, chat, control, kill, until

from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

STREAMS = 24


def _one(up) -> dict[str, Any]:
    [one] = [one for one in control(up, "/status")["instances"] if one["kind"] != "egress"]
    return one


def _held_back(up, engine: int | None = None) -> dict[str, Any] | None:
    """The instance, once it is given no new request: it is not ready, or it says why not, or is another process."""
    one = _one(up)
    return one if one["state"] != "ready" or one["reason"] or one["pid"] != engine else None


@pytest.fixture(scope="module")
def wide(start_up, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """One engine with as many places as there are streams; every time-out is as it is for everybody."""
    file = tmp_path_factory.mktemp("wide") / "some.yaml"
    file.write_text(
        f"models:\n  one: {{source: {tiny_model}, parallel: {STREAMS}, embeddings: false, aliases: [auto]}}\n"
    )
    up = start_up("--config", str(file))
    yield up
    up.stop()


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "seen_s", "told_s"), [(signal.SIGKILL, 2.0, 5.0), (signal.SIGSTOP, 5.0, 15.0)])
def test_an_engine_that_dies_or_hangs_under_many_streams(wide, number: int, seen_s: float, told_s: float) -> None:
    until(lambda: chat(wide).status == 200, 20, "an engine")
    engine = _one(wide)["pid"]
    streams = [Stream(wide, timeout_s=60, max_tokens=LONG_TOKENS) for _ in range(STREAMS)]
    for stream in streams:
        stream.until_text()
    with ThreadPoolExecutor(STREAMS + 1) as pool:
        kill(engine, number)
        began = time.monotonic()
        rests = [pool.submit(stream.rest) for stream in streams]
        until(lambda: _held_back(wide, engine), seen_s, "an engine that is held back")
        seen = time.monotonic() - began
        late = pool.submit(chat, wide, timeout_s=60)  # comes while it is broken
        errors = [[error["code"] for error in rest.result(60)[1]] for rest in rests]
        told = time.monotonic() - began
        reply = late.result(60)
        served = time.monotonic() - began
    for stream in streams:
        stream.response.close()
    print(f"{signal.Signals(number).name}: seen {seen:.2f} s, streams told {told:.2f} s, served again {served:.2f} s")
    assert told < told_s
    cut = [each for each, stream in zip(errors, streams, strict=True) if not stream.saw_done]
    assert len(cut) > STREAMS / 2, "most of them were running"
    assert cut == [["engine_failed"]] * len(cut)
    assert reply.status == 200, "who came meanwhile has waited"
    assert _one(wide)["pid"] != engine
    assert _one(wide)["in_use"] == 0


@pytest.mark.timed
def test_an_idle_engine_that_hangs_is_seen_by_nobody_asking(wide) -> None:
    until(lambda: chat(wide).status == 200, 20, "an engine")
    engine = _one(wide)["pid"]
    kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    try:
        until(lambda: _held_back(wide, engine), 5, "an engine that is held back")
        print(f"an idle one that hangs: seen {time.monotonic() - began:.2f} s")
        assert "does not answer" in _one(wide)["reason"]
    finally:
        os.kill(engine, signal.SIGCONT)
    until(lambda: not _held_back(wide, engine), 5, "the same engine, which is well again")
    print(f"it is well again: {time.monotonic() - began:.2f} s")
    assert chat(wide).status == 200


@pytest.mark.timed
@pytest.mark.parametrize("fault", [Fault.BAD_JSON, Fault.GARBAGE, Fault.STATUS])
async def test_an_engine_that_answers_garbage(start_up, tmp_path: Path, fault: Fault) -> None:
    async with FakeEngine("vllm") as engine:
        file = tmp_path / "some.yaml"
        file.write_text(f"models:\n  one: {{url: {engine.endpoint.url}, engine: vllm, aliases: [auto]}}\n")
        up = await asyncio.to_thread(start_up, "--config", str(file))
        await asyncio.to_thread(until, lambda: chat(up).status == 200, 10, "an answer")
        engine.always = Behaviour(fault)
        began, statuses = time.monotonic(), []

        def ask_until_held_back() -> None:
            while not _held_back(up, None):
                assert time.monotonic() < began + 10, statuses
                reply = chat(up, timeout_s=10)
                statuses.append((reply.status, reply.code))

        await asyncio.to_thread(ask_until_held_back)
        seen, calls = time.monotonic() - began, len(engine.calls)
        assert {status for status, _ in statuses} <= {200, 500, 502, 503}
        refused = await asyncio.to_thread(chat, up, timeout_s=40)
        assert refused.status == 503
        assert len(engine.calls) - calls <= 40 / 5 + 2, "tokens that it was asked for, and no call"
        engine.always = Behaviour()
        mended = time.monotonic()
        await asyncio.to_thread(until, lambda: chat(up).status == 200, 15, "an answer")
        print(f"{fault}: seen {seen:.2f} s after {statuses}; served again {time.monotonic() - mended:.2f} s later")
        await asyncio.to_thread(up.stop)


@pytest.mark.slow
@pytest.mark.timed
def test_an_engine_that_is_only_slow_is_not_ended(wide) -> None:
    """As on a machine that has no processors for it: it stands still for longer than a look waits, again and again."""
    until(lambda: chat(wide).status == 200, 20, "an engine")
    before = _one(wide)
    held_back = 0
    with Stream(wide, timeout_s=60, max_tokens=64) as stream:
        stream.until_text()
        try:
            for _ in range(5):
                kill(before["pid"], signal.SIGSTOP)
                time.sleep(2.5)
                held_back += bool(_held_back(wide, before["pid"]))
                kill(before["pid"], signal.SIGCONT)
                time.sleep(0.3)
        finally:
            kill(before["pid"], signal.SIGCONT)
        assert stream.rest()[1] == []
        assert stream.saw_done
    assert chat(wide).status == 200
    assert (_one(wide)["pid"], _one(wide)["restarts"]) == (before["pid"], before["restarts"])
    print(f"held back {held_back} times")
