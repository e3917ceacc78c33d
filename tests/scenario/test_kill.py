"""Processes die or hang at the worst moment: who asked is told, what served comes back, nothing is left or lost."""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kept_rows import is_intact
from whole import (
    Stream,
    ask,
    chat,
    children,
    control,
    engine_pid,
    gateway_pid,
    gone,
    is_alive,
    kill,
    until,
)

from ringfence.testing.tiny_model import tiny_model as make_tiny_model
from share import share_of

SHORT = ("--set", "timeouts.first_byte_s=1", "--set", "timeouts.answer_s=1", "--set", "timeouts.between_bytes_s=1")
KILLS = share_of(20, least=8)


@pytest.fixture(scope="module")
def two_models(start_up, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """One gateway with two engines, `one` and `two`; tests leave both running."""
    folder = tmp_path_factory.mktemp("two")
    second = make_tiny_model(folder, seed=1)
    file = folder / "some.yaml"
    file.write_text(f"models:\n  one: {{source: {tiny_model}, aliases: [auto]}}\n  two: {{source: {second}}}\n")
    up = start_up("--config", str(file))
    yield up
    up.stop()


def _engine(up, model: str) -> int:
    """The process that serves `model`, once there is one that is ready."""

    def look() -> int | None:
        found = next(one for one in control(up, "/status")["instances"] if one["model"] == model)
        return found["pid"] if found["state"] == "ready" else None

    return until(look, 15, f"an engine for {model}")


def _killed_midway(up, model: str) -> tuple[int, list[dict[str, Any]], bool]:
    """The engine that was killed in a stream, the events that came after that, and whether [DONE] did. The model is
    tiny: on a busy machine it may have said everything before it could be stopped, and then it is tried again."""
    for _ in range(5):
        engine = _engine(up, model)
        with Stream(up, model=model) as stream:
            stream.until_text()
            kill(engine, signal.SIGSTOP)
            kill(engine)
            events = list(stream.events())
        ends = [choice.get("finish_reason") for event in events for choice in event.get("choices") or ()]
        if "length" not in ends:
            return engine, events, stream.saw_done
    raise AssertionError("each of five streams was whole")


@pytest.mark.timed
def test_an_engine_killed_in_a_stream(two_models) -> None:
    other = _engine(two_models, "two")
    with Stream(two_models, model="two") as undisturbed:
        undisturbed.until_text()
        kill(other, signal.SIGSTOP)
        engine, events, saw_done = _killed_midway(two_models, "one")
        errors = [event["error"] for event in events if "error" in event]
        assert len(errors) == 1
        assert errors[0]["code"] == "engine_failed"
        assert not saw_done
        kill(other, signal.SIGCONT)  # soon: an engine that keeps silent is taken down
        assert chat(two_models, model="one").status == 200
        _text, errors = undisturbed.rest()
    assert (errors, undisturbed.saw_done) == ([], True)
    assert _engine(two_models, "one") != engine
    assert _engine(two_models, "two") == other
    restarts = {one["model"]: one["restarts"] for one in control(two_models, "/status")["instances"]}
    assert restarts["one"] > 0
    assert restarts["two"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_killed_before_the_first_byte(two_models, stream: bool) -> None:
    engine = _engine(two_models, "one")
    kill(engine, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(chat, two_models, model="one", stream=stream)
        until(lambda: control(two_models, "/status")["requests"]["running"] == 1, 25, "the request at the engine")
        kill(engine)
        reply = asked.result(30)
    assert reply.status == 200, reply.body
    if stream:
        assert reply.body.endswith(b"data: [DONE]\n\n")
        assert b'"error"' not in reply.body
    else:
        assert reply.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.timed
def test_an_engine_that_always_dies_is_given_up_and_told(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    killed: set[int] = set()

    def has_failed() -> bool:
        [one] = control(up, "/status")["instances"]
        if one["pid"] and one["pid"] not in killed:
            killed.add(one["pid"])
            kill(one["pid"])
        return one["state"] == "failed"

    until(has_failed, 20, "an engine that is given up")
    began = time.monotonic()
    reply = chat(up)
    assert (reply.status, reply.code) == (503, "target_unavailable")
    assert time.monotonic() - began < 1
    [one] = control(up, "/status")["instances"]
    assert "SIGKILL" in one["reason"]
    assert ask(up.root_url, "GET", "/ready").status == 503
    assert len(killed) <= 5
    up.stop()


def test_a_killed_gateway_takes_its_engines_along_and_comes_back(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    gateway, engine = gateway_pid(up), engine_pid(up)
    kill(gateway)
    gone([gateway, engine], 10)
    until(lambda: chat(up).status == 200, 25, "an answer on the same port, with the same key")
    assert gateway_pid(up) != gateway
    assert children(up.process.pid) == [gateway_pid(up), engine_pid(up)]
    assert up.stop() == 0
    assert up.process.stdout.read() == ""  # still one line


@pytest.mark.slow
@pytest.mark.timed
def test_ctrl_c_just_after_the_gateway_died(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    gateway = gateway_pid(up)
    kill(gateway)
    gone([gateway], 1.0)
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)  # most likely while the parent waits to start another
    seen = children(up.process.pid)
    assert up.process.wait(10) == 0
    assert time.monotonic() - began < 3.2
    gone(seen, 0.5)


@pytest.mark.slow
def test_a_gateway_that_does_not_start_again_is_given_up(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    killed: set[int] = set()
    deadline = time.monotonic() + 40
    while up.process.poll() is None and time.monotonic() < deadline:
        for pid in set(children(up.process.pid)) - killed:
            if _is_gateway(pid):  # an engine that a gateway left behind is a child of the parent for a moment
                killed.add(pid)
                kill(pid)
        time.sleep(0.02)
    assert up.process.wait(25) == 1
    assert len(killed) == 6
    assert "the gateway ended with status -9" in up.process.stdout.read()


def _is_gateway(pid: int) -> bool:
    try:
        return b"ringfence.runtime.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("load", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_killed_parent_takes_everything_along(start_up, tiny_model: Path, load: bool) -> None:
    up = start_up("--model", str(tiny_model))
    everyone = children(up.process.pid)
    assert len(everyone) == 2
    with contextlib.ExitStack() as stack:
        if load:
            stack.enter_context(Stream(up)).until_text()
        kill(up.process.pid)
        gone(everyone, 10)


@pytest.mark.slow
@pytest.mark.timed
def test_an_engine_that_hangs_is_noticed_and_replaced(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model), *SHORT)
    engine = engine_pid(up)
    with Stream(up) as stream:
        stream.until_text()
        kill(engine, signal.SIGSTOP)
        began = time.monotonic()
        _text, errors = stream.rest()
        assert 0.9 < time.monotonic() - began < 3
    assert [error["code"] for error in errors] == ["engine_timeout"]
    assert not stream.saw_done
    began = time.monotonic()
    reply = chat(up, timeout_s=30)
    assert reply.status == 200, "it waits for the engine that takes the place of that one"
    assert time.monotonic() - began < 20
    gone([engine], 1)
    up.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_keys_and_ledger_survive_being_killed_at_any_moment(start_up, tiny_model: Path) -> None:
    chance = random.Random(7)
    folder: Path | None = None
    keys: list[str] = []
    answered = 0
    up = None
    for number in range(KILLS):
        if number % 5 == 0:  # now and then with a parent of its own
            if up is not None:
                up.stop()
            up = start_up("--model", str(tiny_model), folder=folder)
            folder = up.folder
        _until_ready(up)
        over = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            askers = [pool.submit(_ask_until, over, up) for _ in range(3)]
            made: list[str] = []
            maker = pool.submit(_make_keys_until, over, up, made)
            if number % 4:  # the others are killed as they begin
                until(lambda: len(made) > 1, 20, "two keys")  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.2) + chance.choice([0, 0, 0.9]))
            kill(gateway_pid(up))
            over.set()
            answered += sum(asker.result() for asker in askers)
            maker.result()
            keys += made
        assert is_intact(folder / "ringfence.db")
    until(lambda: chat(up).status == 200, 20, "an answer after all that")
    assert len(keys) > KILLS
    refused = [key for key in keys if ask(up.root_url, "GET", "/v1/models", key=key).status != 200]
    assert refused == []  # a key that was shown was kept
    written = sum(row["requests"] for row in control(up, "/keys")["keys"])
    assert 0 < written <= answered + 3 * KILLS + 1
    up.stop()


def _until_ready(up) -> None:
    until(lambda: ask(up.root_url, "GET", "/ready").status == 200, 20, "a gateway that is ready")


def _ask_until(over: threading.Event, up) -> int:
    """How many were answered in full."""
    count = 0
    while not over.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            count += chat(up).status == 200
    return count


def _make_keys_until(over: threading.Event, up, made: list[str]) -> None:
    while not over.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AssertionError):
            made.append(control(up, "/keys", "POST", {"name": f"k{len(made)}", "profile": "default"})["secret"])


def test_is_alive_tells_a_zombie_from_a_process(two_models) -> None:
    """What the tests above rest on."""
    assert is_alive(gateway_pid(two_models))
    assert not is_alive(2**22 + 1)
