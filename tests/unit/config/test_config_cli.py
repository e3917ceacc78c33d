"""`ringfence config`, with a real process to signal."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ringfence.cli import config as cli

GATEWAY = """
import json, os, signal, sys, time
folder, outcome = sys.argv[1], json.loads(sys.argv[2])
def reload(*_):
    path = os.path.join(folder, "reload.json")
    with open(path + ".new", "w") as file:
        json.dump({**outcome, "at_s": time.time()}, file)
    os.rename(path + ".new", path)
signal.signal(signal.SIGHUP, reload)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RINGFENCE_CONFIG", "RINGFENCE_STATE_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments))


def test_init_then_check_then_show(here):
    assert run("init").exit_code == 0
    checked = run("check")
    assert (checked.exit_code, checked.stdout) == (0, "ringfence.yaml: ok\n")
    shown = run("show", "--set", "server.port=0")
    assert "port: 0 " in shown.stdout
    assert "# --set" in shown.stdout
    again = run("init", "--json")
    assert again.exit_code == 1
    assert "exists and is not overwritten" in json.loads(again.stdout)["problems"][0]["message"]
    assert json.loads(run("init", "--merge", "--json").stdout)["added"] == []


def test_check_tells_every_problem_and_exits_1(here):
    (here / "ringfence.yaml").write_text("servr: 1\nmodels:\n  demo:\n    windw: 12\n")
    found = run("check")
    assert found.exit_code == 1
    assert found.stderr.splitlines() == [
        "ringfence.yaml:1:1: servr: unknown key; did you mean 'server'?",
        "ringfence.yaml:4:5: models.demo.windw: unknown key; did you mean 'window'?",
    ]
    answer = json.loads(run("check", "--json").stdout)
    assert answer["ok"] is False
    assert answer["problems"][0] == {
        "file": "ringfence.yaml",
        "line": 1,
        "column": 1,
        "path": "servr",
        "message": "unknown key",
        "suggestion": "server",
    }


def test_check_looks_for_secrets_unless_told_not_to(here, monkeypatch):
    monkeypatch.delenv("GONE", raising=False)
    (here / "ringfence.yaml").write_text("models:\n  a: {url: 'http://127.0.0.1:1', api_key: 'env:GONE'}\n")
    assert run("check").exit_code == 1
    assert run("check", "--skip-secrets").exit_code == 0


@pytest.mark.parametrize("arguments", [["check", "--set", "port"], ["nothing"], ["check", "--colour"]])
def test_wrong_usage_exits_2(here, arguments):
    assert run(*arguments).exit_code == 2


def test_schema_and_show_speak_json(here):
    assert "$defs" in json.loads(run("schema", "--json").stdout)
    assert json.loads(run("schema", "-o", "s.json", "--json").stdout)["ok"] is True
    assert json.loads((here / "s.json").read_text())["title"] == "ringfence.yaml"
    answer = json.loads(run("show", "--json").stdout)
    assert answer["config"]["server"]["port"] == 7464
    assert answer["settings"]["server.port"] == {"origin": "default", "reload": "restart"}


def test_show_refuses_a_bad_file(here):
    assert run("show", "-c", "none.yaml").exit_code == 1


@pytest.fixture
def gateway(here: Path) -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def start(outcome: dict[str, object], began_s: float | None = None) -> int:
        command = [sys.executable, "-c", textwrap.dedent(GATEWAY), str(here), json.dumps(outcome)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        noted_s = time.time() if began_s is None else began_s
        run_json = {"pid": process.pid, "base_url": "http://127.0.0.1:1", "started_s": noted_s}
        (here / "run.json").write_text(json.dumps(run_json))
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_reload_tells_what_the_gateway_made_of_it(here, gateway):
    (here / "reload.json").write_text(json.dumps({"at_s": time.time() - 60, "ok": False, "problems": ["old"]}))
    gateway({"ok": True, "problems": [], "changes": [{"path": "server.port", "reload": "restart"}]})
    done = run("reload", "--state-dir", str(here))
    assert done.exit_code == 0
    assert "server.port" in done.stdout
    assert "after a restart" in done.stdout
    assert json.loads(run("reload", "--state-dir", str(here), "--json").stdout)["ok"] is True


def test_a_refused_reload_exits_1_with_the_problems_even_though_the_file_is_bad(here, gateway):
    (here / "ringfence.yaml").write_text(f"state_dir: {here}\nservr: 1\n")
    problem = {"file": "r.yaml", "line": 2, "column": 1, "path": "servr", "message": "unknown key", "suggestion": None}
    gateway({"ok": False, "problems": ["[red]plain", problem], "changes": []})
    done = run("reload")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == ["[red]plain", "r.yaml:2:1: servr: unknown key"]


def test_reload_says_when_nothing_runs(here, gateway):
    for content in ("", "{}", '{"pid": -1}', '{"pid": 0}', '{"pid": true}', '{"pid": 4194999}'):
        (here / "run.json").write_text(content)
        done = run("reload", "--state-dir", str(here))
        assert done.exit_code == 1
        assert "Ringfence is not running" in done.stderr


def test_a_process_that_merely_got_the_same_pid_is_not_signalled(here, gateway):
    gateway({"ok": True}, began_s=time.time() - 3600)
    done = run("reload", "--state-dir", str(here), "--json")
    assert done.exit_code == 1
    assert "not running" in json.loads(done.stdout)["problems"][0]["message"]
    assert not (here / "reload.json").exists()


def test_reload_gives_up_when_no_answer_comes(here, gateway, monkeypatch):
    monkeypatch.setattr(cli, "WAIT_FOR_RELOAD_S", 0.15)
    gateway({"ok": True})
    (here / "run.json").write_text((here / "run.json").read_text())
    (here / "reload.json.new").mkdir()  # the gateway cannot write its outcome
    done = run("reload", "--state-dir", str(here))
    assert done.exit_code == 1
    assert "no answer from process" in done.stderr
