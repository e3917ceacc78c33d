"""The child program that serves llama.cpp, as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.engines.gguf_header import GgufHeader
from ringfence.engines.llamacpp_process import Spec, about_itself, batch_of, lacking_cpu_flags, window_of
from ringfence.testing.tiny_model import WINDOW, tiny_model

COMMAND = [sys.executable, "-P", "-m", "ringfence.engines.llamacpp_process"]
CANARY = "canary-7f3a91"
Started = list[subprocess.Popen[str]]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def start(started: Started, path: Path, **spec: Any) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    started.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    whole = {"model_path": str(path), "alias": "tiny", "api_key": "key", "threads": 1, "parent_pid": os.getpid()} | spec
    process.stdin.write(json.dumps(whole) + "\n")
    process.stdin.flush()
    return process, json.loads(process.stdout.readline())


def call(url: str, body: Any = None, key: str = "key") -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.getbasetemp())


def test_it_serves_on_loopback_with_a_key_and_the_trained_window(started: Started, model: Path) -> None:
    _process, said = start(started, model, parallel=2)
    assert said["ready"].startswith("http://127.0.0.1:")
    assert [slot["n_ctx"] for slot in call(said["ready"] + "/slots")[1]] == [WINDOW, WINDOW]
    assert call(said["ready"] + "/v1/models", key="other")[0] == 401
    assert call(said["ready"] + "/v1/models")[1]["data"][0]["id"] == "tiny"


def test_the_type_of_keys_and_values_is_the_one_asked_for(started: Started, model: Path) -> None:
    body = {"prompt": "The night watch walks from gate to gate", "n_predict": 1, "n_probs": 1, "temperature": 0}

    def first(kv_type: str) -> float:
        _process, said = start(started, model, kv_type=kv_type)
        return call(said["ready"] + "/completion", body)[1]["completion_probabilities"][0]["logprob"]

    assert first("f16") == first("") != first("q4_0")


@pytest.mark.parametrize(("parallel", "window"), [(3, 0), (10, 0), (12, 100)])
def test_any_number_of_requests_at_a_time_starts_with_embeddings(
    started: Started, model: Path, parallel: int, window: int
) -> None:
    """llama.cpp stops itself where they do not divide the batch."""
    _process, said = start(started, model, parallel=parallel, window=window)
    answer = call(said["ready"] + "/v1/embeddings", {"input": ["a gate"] * parallel})[1]
    assert len(answer["data"]) == parallel


def test_a_type_that_llama_cpp_does_not_have_is_refused(started: Started, model: Path) -> None:
    assert "not as fp8" in start(started, model, kv_type="fp8")[1]["error"]


def test_sigterm_ends_it_at_once_and_well(started: Started, model: Path) -> None:
    process, _said = start(started, model)
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 0


def test_it_leaves_when_its_input_ends(started: Started, model: Path) -> None:
    process, _said = start(started, model)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(25) == 0


def test_it_does_not_start_for_a_parent_that_is_gone(started: Started, model: Path) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    started.append(process)
    spec = {"model_path": str(model), "alias": "tiny", "api_key": "key", "parent_pid": os.getppid()}
    out, _err = process.communicate(json.dumps(spec) + "\n", timeout=25)
    assert (process.returncode, out) == (1, "")


@pytest.mark.parametrize("cut", [None, 0, 400_000])
def test_a_model_that_cannot_be_loaded_is_told(started: Started, model: Path, tmp_path: Path, cut: int | None) -> None:
    path = tmp_path / "broken.gguf"
    if cut is not None:
        path.write_bytes(model.read_bytes()[:cut])
    process, said = start(started, path)
    assert str(path) in said["error"]
    assert process.wait(25) == 1


def test_nothing_of_a_request_is_kept(started: Started, model: Path) -> None:
    """llama.cpp quotes what it cannot parse; no such line may pass."""
    process, said = start(started, model)
    chat = said["ready"] + "/v1/chat/completions"
    messages = [{"role": "user", "content": CANARY}]
    call(chat, {"messages": messages, "max_tokens": 2})
    call(chat, {"messages": messages, "grammar": f"root ::= {CANARY} @@@"})
    call(
        chat,
        {"messages": messages, "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": CANARY}}}},
    )
    call(chat, {"messages": CANARY})
    call(chat, {"messages": [{"role": "user", "content": f"{CANARY} " * 3000}]})
    call(said["ready"] + "/v1/embeddings", {"input": CANARY})
    process.terminate()
    out, err = process.communicate(timeout=25)
    assert CANARY in err, "the engine no longer quotes requests: the filter can be looked at again"
    kept = [line for line in map(about_itself, err.splitlines()) if line]
    assert CANARY not in out + "\n".join(kept)


def test_a_stop_of_its_own_is_kept_without_its_text() -> None:
    line = f"/build/llama.cpp/ggml/src/ggml.c:123: GGML_ASSERT({CANARY}) failed"
    assert about_itself(line) == "llama.cpp stopped itself at ggml.c:123"
    assert about_itself(f"0.01 E srv send_error: {CANARY} ggml.c:123: GGML_ASSERT(x) failed") is None


def test_an_old_processor_is_named() -> None:
    assert lacking_cpu_flags("processor: 0\nflags\t\t: fpu sse4_2 avx\n") == ["avx2", "fma"]
    assert lacking_cpu_flags("flags : avx2 fma\n") == []
    assert lacking_cpu_flags("Features : fp asimd\n") == []


def test_the_window_and_the_batch_follow_the_model() -> None:
    small = GgufHeader("llama", 131072, 400, None, is_causal=True)
    wide = GgufHeader("llama", 131072, 152_000, None, is_causal=True)
    bert = GgufHeader("bert", 8192, 30_000, 1, is_causal=False)
    assert [window_of(0, header) for header in (small, bert)] == [8192, 8192]
    assert window_of(1000, small) == 1000
    assert batch_of(8192, small) == 2048
    assert 512 <= batch_of(8192, wide) < 1024
    assert batch_of(8192, bert) == 8192
    assert batch_of(200, wide) == 200
    assert "key" not in repr(Spec("m", "a", "key"))


def test_the_engine_goes_with_a_parent_that_is_killed(started: Started, model: Path) -> None:
    """The pipe is kept open here, so only the kernel's signal can end it."""
    reading, writing = os.pipe()
    spec = {"model_path": str(model), "alias": "tiny", "api_key": "key", "threads": 1}
    script = (
        "import json, os, subprocess, sys\n"
        f"spec = {spec!r} | {{'parent_pid': os.getpid()}}\n"
        f"child = subprocess.Popen({COMMAND!r}, stdin={reading}, stdout=subprocess.PIPE, text=True)\n"
        f"os.write({writing}, (json.dumps(spec) + chr(10)).encode())\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        pass_fds=(reading, writing),
    )
    started.append(parent)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 25
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    os.close(reading)
    os.close(writing)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
