"""`ringfence up` from the first line it prints to the last process it leaves behind: none."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from whole import (
    Stream,
    Terminal,
    ask,
    chat,
    children,
    command,
    control,
    engine_pid,
    gateway_pid,
    gone,
    is_alive,
    kill,
    midway,
    question,
    until,
)

NO_LOOKING = ("--set", "discovery.adopt=false")
CTRL_C_S = 3.2  # 3 s, and what it takes to notice on a busy machine
SECRET = "sk-cloud-7f3a9c1e5b"


def test_json_is_one_line_and_nothing_else(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    assert up.ready["models"] == [tiny_model.stem, "local/fast", "auto", "orchestrator"]
    assert up.ready["pid"] == gateway_pid(up)
    assert up.ready["api_key"].startswith("sk-rf-")
    assert ask(up.root_url, "GET", up.ready["console_url"].removeprefix(up.root_url)).status in (200, 303)
    assert chat(up).status == 200
    assert up.stop() == 0
    assert up.process.stdout.read() == ""


def test_what_people_see_works_when_it_is_copied(tmp_path: Path) -> None:
    """With the demo model: random weights may well answer with nothing but a line's end."""
    with Terminal(tmp_path, "up", "--port", "0", *NO_LOOKING, env={"COLUMNS": "60"}) as terminal:
        text = terminal.until("Ctrl-C ends everything")
        at = [text.index(step) for step in ("✓ State in", "✓ Listening on", "✓ demo on llamacpp")]
        assert at == sorted(at)
        for name in ("Address", "API key", "Models", "Console"):
            assert f"  {name}" in text
        lines = [line.strip() for line in text.splitlines()]
        start = lines.index("from openai import OpenAI")
        program = "\n".join(lines[start : start + 3])
        utf8 = os.environ | {"PYTHONIOENCODING": "utf-8"}
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False, env=utf8)
        assert ran.returncode == 0, ran.stderr.decode()
        assert "ringfence" in ran.stdout.decode().lower()  # it may answer with the command


def test_a_port_that_is_taken_is_told(tmp_path: Path, tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ("up", "--model", str(tiny_model), "--port", str(taken.getsockname()[1]), *NO_LOOKING)
        told = command(*words, folder=tmp_path)
        assert told.returncode == 1
        assert "another program listens there" in told.stderr
        assert "--port" in told.stderr
        in_json = command(*words, "--json", folder=tmp_path)
    assert in_json.returncode == 1
    assert "another program listens there" in json.loads(in_json.stdout)["error"]


def test_a_model_file_that_is_not_there(tmp_path: Path) -> None:
    told = command("up", "--port", "0", "--model", "nowhere.gguf", folder=tmp_path)
    assert (told.returncode, told.stdout) == (2, "")
    assert "There is no file nowhere.gguf" in told.stderr
    (tmp_path / "ringfence.yaml").write_text("models: {night: {source: nowhere.gguf}}\n")
    told = command("up", "--port", "0", *NO_LOOKING, folder=tmp_path)
    assert told.returncode == 1
    assert "models.night: there is no file" in told.stderr.replace("\n", " ")


def test_a_broken_model_does_not_take_the_others_along(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(tiny_model.read_bytes()[:60_000])
    (tmp_path / "text.gguf").write_text("this is no model")
    (tmp_path / "ringfence.yaml").write_text(
        f"models:\n  good: {{source: {tiny_model}, tokenizer: nowhere.json}}\n"
        "  broken: {source: broken.gguf}\n  text: {source: text.gguf}\n"
    )
    with Terminal(tmp_path, "up", "--port", "0", *NO_LOOKING) as terminal:
        text = " ".join(terminal.until("Ctrl-C ends everything").split())
        assert "! broken cannot be served:" in text
        assert "! text cannot be served:" in text
        assert "! models.good.tokenizer: cannot read nowhere.json" in text
        address, key = text.partition("Address ")[2].split()[0], text.partition("API key ")[2].split()[0]
        root = address.removesuffix("/v1")
        assert ask(root, "POST", "/v1/chat/completions", question(model="good"), key).status == 200
        refused = ask(root, "POST", "/v1/chat/completions", question(model="text"), key)
        assert (refused.status, refused.code) == (503, "target_unavailable")
        assert "does not start" in refused.json["error"]["message"]


# -- the end ----------------------------------------------------------------------------------------------------------


def _end(up, number: int = signal.SIGINT) -> float:
    """Seconds until no process is left."""
    everyone = [up.process.pid, *children(up.process.pid)]
    assert len(everyone) == 3
    began = time.monotonic()
    up.process.send_signal(number)
    up.process.wait(40)
    gone(everyone, 10)
    return time.monotonic() - began


@pytest.mark.timed
def test_ctrl_c_at_rest(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    assert _end(up) < CTRL_C_S
    assert up.process.returncode == 0
    assert not (up.folder / "run.json").exists()


@pytest.mark.timed
def test_ctrl_c_in_the_middle_of_a_stream_of_an_engine_that_hangs(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    engine = engine_pid(up)
    with Stream(up) as stream:
        stream.until_text()
        kill(engine, signal.SIGSTOP)
        assert _end(up) < CTRL_C_S
        _text, errors = stream.rest()
        assert errors or not stream.saw_done


@pytest.mark.timed
def test_ctrl_c_while_a_model_loads(start_up, tmp_path: Path, tiny_model: Path) -> None:
    words = ("up", "--port", "0", "--model", str(tiny_model), *NO_LOOKING)
    with Terminal(tmp_path, *words) as terminal:
        parent = terminal.process.pid
        engine = until(lambda: _engines(parent), 20, "an engine")[0]
        kill(engine, signal.SIGSTOP)
        terminal.until("✓ Listening")
        everyone = [parent, *children(parent)]
        began = time.monotonic()
        terminal.process.send_signal(signal.SIGINT)
        terminal.process.wait(10)
        gone(everyone, 0.5)
        assert time.monotonic() - began < CTRL_C_S
        assert "Traceback" not in terminal.text


def _engines(parent: int) -> list[int]:
    """Those that are an engine by now, and not still a copy of the gateway about to become one."""
    return [pid for pid in children(parent) if b"llamacpp_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.timed
def test_ctrl_c_while_an_engine_is_about_to_start(tmp_path: Path, tiny_model: Path) -> None:
    """The copy of the gateway that is to become the engine holds the gateway's pipes."""
    words = ("up", "--port", "0", "--model", str(tiny_model), *NO_LOOKING)
    with Terminal(tmp_path, *words) as terminal:
        parent = terminal.process.pid
        pids = until(lambda: children(parent)[1:], 20, "the beginning of an engine")
        kill(pids[0], signal.SIGSTOP)
        everyone = [parent, *children(parent)]
        terminal.process.send_signal(signal.SIGINT)
        terminal.process.wait(CTRL_C_S + 1)
        gone(everyone, 0.5)


@pytest.mark.parametrize(
    "after_s", [0.2, 0.6, *(pytest.param(after_s, marks=pytest.mark.slow) for after_s in (0.1, 0.4, 0.8, 1.0))]
)
@pytest.mark.timed
def test_ctrl_c_while_it_starts(tmp_path: Path, tiny_model: Path, after_s: float) -> None:
    words = ("up", "--port", "0", "--model", str(tiny_model), *NO_LOOKING)
    with Terminal(tmp_path, *words) as terminal:
        began, seen = time.monotonic(), {terminal.process.pid}
        while time.monotonic() < began + after_s:
            seen.update(children(terminal.process.pid))
            time.sleep(0.01)
        seen.update(children(terminal.process.pid))
        terminal.process.send_signal(signal.SIGINT)
        terminal.process.wait(CTRL_C_S)
        gone(list(seen), 0.5)


def test_terminate_lets_a_stream_end(start_up, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    engine = engine_pid(up)
    with midway(up, engine) as stream:
        up.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(up), 25, "no new connections")
        assert is_alive(engine)
        kill(engine, signal.SIGCONT)
        text, errors = stream.rest()
    assert stream.saw_done
    assert errors == []
    assert len(text) > 100
    assert up.process.wait(25) == 0
    gone([engine], 10)


def _refuses(up) -> bool:
    try:
        return ask(up.root_url, "GET", "/health").status == 503
    except OSError:
        return True


# -- once more --------------------------------------------------------------------------------------------------------


@pytest.mark.timed
def test_a_second_start_is_quick_and_has_the_same_key(start_up, tiny_model: Path) -> None:
    first = start_up("--model", str(tiny_model))
    first.stop()
    began = time.monotonic()
    second = start_up("--model", str(tiny_model), folder=first.folder)
    assert chat(second).status == 200
    took_s = time.monotonic() - began
    second.stop()
    assert second.api_key == first.api_key
    assert took_s < 3.0


def test_one_gateway_for_one_folder(ringfence, tiny_model: Path) -> None:
    before = (ringfence.folder / "run.json").read_bytes()
    refused = command("up", "--port", "0", "--json", "--model", str(tiny_model), *NO_LOOKING, folder=ringfence.folder)
    assert refused.returncode == 1
    assert "another gateway runs with this state" in json.loads(refused.stdout)["error"]
    assert (ringfence.folder / "run.json").read_bytes() == before
    assert chat(ringfence).status == 200


def test_the_folder_belongs_to_its_owner_alone(ringfence) -> None:
    assert ringfence.folder.stat().st_mode & 0o077 == 0
    own = [path for path in ringfence.folder.iterdir() if path.is_file()]
    assert {path.name for path in own} >= {"credentials.json", "admin.token", "pepper", "run.json"}
    assert [path.name for path in own if path.stat().st_mode & 0o077] == []


@pytest.mark.sqlite("its file")
def test_the_database_lies_in_the_folder(ringfence) -> None:
    assert (ringfence.folder / "ringfence.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_fresh_folder_is_made_for_its_owner_alone(start_up, tmp_path: Path, tiny_model: Path) -> None:
    state = tmp_path / "deep" / "state"
    up = start_up("--model", str(tiny_model), "--set", f"state_dir={state}")
    assert state.stat().st_mode & 0o077 == 0
    up.stop()


@pytest.mark.slow
def test_a_model_beside_those_of_a_file(start_up, tmp_path: Path, tiny_model: Path) -> None:
    other = tmp_path / "other.gguf"
    other.hardlink_to(tiny_model)
    file = tmp_path / "some.yaml"
    file.write_text(f"models: {{first: {{source: {tiny_model}, aliases: [auto]}}}}\n")
    up = start_up("--config", str(file), "--model", str(other))
    assert sorted(up.ready["models"]) == ["auto", "first", "orchestrator", "other"]
    up.stop()


# -- the environment --------------------------------------------------------------------------------------------------


def _environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_cloud_keys_are_reported_by_name_and_go_nowhere(start_up, tmp_path: Path, tiny_model: Path) -> None:
    env = {"OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": SECRET, "SOME_OTHER_TOKEN": SECRET, "https_proxy": SECRET}
    up = start_up("--model", str(tiny_model), env=env)
    assert control(up, "/status")["cloud_keys"] == ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]
    for pid in children(up.process.pid):
        assert SECRET.encode() not in _environ(pid)
    up.stop()
    found = [path for path in up.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert found == []
    with Terminal(tmp_path, "up", "--port", "0", "--model", str(tiny_model), *NO_LOOKING, env=env) as terminal:
        text = " ".join(terminal.until("Ctrl-C ends everything").split())
    assert "found, not used: OPENAI_API_KEY, ANTHROPIC_API_KEY" in text
    assert "egress" not in text
    assert SECRET not in terminal.text


RENTED = """
discovery: {adopt: false}
providers:
  claude:
    {dialect: anthropic, url: "https://api.cloud.example", api_key: "env:ANTHROPIC_API_KEY", calls_per_day: 9,
     max_tokens: 9}
models:
  here: {source: TINY, aliases: [auto]}
  far: {provider: claude, provider_model: large, price: {input: 3, output: 15}}
profiles: {default: {tier: T2}}
"""


def test_keys_of_providers_that_are_not_there_are_all_told(tmp_path: Path, tiny_model: Path) -> None:
    file = tmp_path / "rented.yaml"
    second = (
        '  gpt: {url: "https://api.other.example", api_key: "env:GPT_KEY", calls_per_day: 9, max_tokens: 9}\nmodels:'
    )
    file.write_text(RENTED.replace("TINY", str(tiny_model)).replace("models:", second) + "money: {house: {month: 5}}\n")
    options = ("--config", str(file))
    told = command("up", "--json", *options, folder=tmp_path)
    found = json.loads(told.stdout)
    assert told.returncode == 2
    assert found["error"] == "keys of providers cannot be read"
    for problem, words in zip(
        found["problems"],
        ("providers.claude.api_key: environment variable ANTHROPIC_API_KEY", "providers.gpt.api_key: environment"),
        strict=True,
    ):
        assert words in problem
        assert f"{file}:" in problem
    shown = command("up", *options, folder=tmp_path, env={"COLUMNS": "300"})
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "GPT_KEY is not set" in shown.stderr
    checked = command("config", "check", *options, folder=tmp_path)
    assert (checked.returncode, checked.stderr.count("is not set")) == (1, 2)
    assert command("config", "check", "--skip-secrets", *options, folder=tmp_path).returncode == 0
    examined = command("doctor", *options, folder=tmp_path, env={"COLUMNS": "300"})
    assert "providers.gpt.api_key" in examined.stdout


@pytest.mark.slow
def test_a_provider_is_no_engine_and_its_key_is_in_use(start_up, tmp_path: Path, tiny_model: Path) -> None:
    env = {"ANTHROPIC_API_KEY": SECRET, "DEEPSEEK_API_KEY": SECRET}
    file = tmp_path / "rented.yaml"
    file.write_text(RENTED.replace("TINY", str(tiny_model)))
    up = start_up("--config", str(file), env=env)
    assert (up.ready["adopted"], up.ready["providers"]) == ([], ["claude"])
    told = control(up, "/status")
    assert (told["handed_to_egress"], told["cloud_keys"]) == ({"ANTHROPIC_API_KEY": ["claude"]}, ["DEEPSEEK_API_KEY"])
    assert sorted(one["kind"] for one in told["instances"]) == ["egress", "supervised"]
    shown = {name: command(name, folder=up.folder, env={"COLUMNS": "200"}).stdout for name in ("status", "models")}
    assert "adopted" not in shown["status"]
    assert "Egress    ready" in shown["status"]
    assert "handed to egress: ANTHROPIC_API_KEY (claude)" in shown["status"]
    assert "not used: DEEPSEEK_API_KEY" in shown["status"]
    asked = command("explain", "far", folder=up.folder, env={"COLUMNS": "200"}).stdout
    assert "claude/large on claude (api.cloud.example) at CLOUD" in asked
    assert "claude (api.cloud.example)" in shown["models"]
    up.stop()
    words = ("up", "--port", "0", "--config", str(file))
    with Terminal(tmp_path, *words, env=env) as terminal:
        text = " ".join(terminal.until("Ctrl-C ends everything").split())
    for part in (
        "Clouds claude through the egress process", "handed to egress: ANTHROPIC_API_KEY (claude)",
        "found, not used: DEEPSEEK_API_KEY",
    ):  # fmt: skip
        assert part in text
    assert "Adopted" not in text
    examined = command("doctor", "--config", str(file), folder=tmp_path, env=env | {"COLUMNS": "200"}).stdout
    assert "handed to egress: ANTHROPIC_API_KEY (claude)" in examined
    assert "not used: DEEPSEEK_API_KEY" in examined


def test_what_the_settings_refer_to_is_handed_on(
    start_up: Callable[..., object], tmp_path: Path, tiny_model: Path
) -> None:
    engine = {"REMOTE_KEY": SECRET}
    file = tmp_path / "some.yaml"
    file.write_text(
        f"models:\n  tiny: {{source: {tiny_model}, aliases: [auto]}}\n  far: {{url: 'http://127.0.0.1:9'}}\n"
    )
    up = start_up("--config", str(file), "--set", "models.far.api_key=env:REMOTE_KEY", env=engine)
    gateway, running_engine = children(up.process.pid)
    assert SECRET.encode() in _environ(gateway)
    assert SECRET.encode() not in _environ(running_engine)
    up.stop()
