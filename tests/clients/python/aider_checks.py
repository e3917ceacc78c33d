"""Aider, unchanged, as it stands at a terminal: with the files and variables that `ringfence connect aider` prints."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

HOME = os.environ["HOME"] = tempfile.mkdtemp()
os.environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "AIDER_SHOW_RELEASE_NOTES": "false"}

from checks import KEY, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, SENTENCE, SETTINGS, run

os.environ |= SETTINGS["env"]

from aider.main import main

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
ONCE = ("--yes-always", "--no-git", "--no-pretty", "--no-fancy-input")
BEFORE = 'def greet():\n    return "hi"\n'
SHORT = "- name: aider/extra_params\n  extra_params: {max_tokens: 16}\n"
AFTER = 'def hello():\n    return "hi"\n'


def project() -> Path:
    """A folder to work in, with the files that connect prints; a model of random weights must be told when to end."""
    folder = Path(tempfile.mkdtemp())
    (folder / "greet.py").write_text(BEFORE)
    (folder / ".aider.model.settings.yml").write_text(SHORT)
    for file in SETTINGS["files"]:
        (folder / file["path"]).write_text(file["text"])
    return folder


def aider(*words: str, message: str = "Rename greet to hello.", folder: Path | None = None) -> tuple[str, list[float]]:
    """What it writes, in one line, and how long it would wait before it asks again; it is only asked how long."""
    written = io.StringIO()
    here = Path.cwd()
    os.chdir(folder or project())
    try:
        with contextlib.redirect_stdout(written), patch.object(time, "sleep") as slept:
            main([*ONCE, "--message", message, *words])
    except SystemExit as ended:
        assert not ended.code, written.getvalue()
    finally:
        os.chdir(here)
    return " ".join(written.getvalue().split()), [
        wait.args[0] for wait in slept.call_args_list if wait.args[0] >= 0.125
    ]


def key(secret: str) -> Any:
    return patch.dict(os.environ, {"OPENAI_API_KEY": secret})


def has_answered(told: str) -> bool:
    """What has random weights may end by itself, or by the few tokens that it was given."""
    return ("Tokens: " in told or "Output tokens: " in told) and "litellm." not in told


def check_what_connect_prints_works() -> None:
    """As a program of its own, in a project with a repository."""
    folder = project()
    known = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_COMMITTER_NAME": "a"}
    known["GIT_COMMITTER_EMAIL"] = "a"
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command = [str(Path(sys.executable).with_name("aider")), *SETTINGS["run"].split()[1:], "--chat-mode", "ask"]
    asked = ["--yes-always", "--no-gitignore", "--message", "Say something."]
    done = subprocess.run(
        [*command, *asked], cwd=folder, env=known, capture_output=True, text=True, timeout=100, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "openai/auto with ask edit format" in told and "githubusercontent" not in told, told
    assert has_answered(told), told


def check_an_edit() -> None:
    for how in ("--stream", "--no-stream"):
        folder = project()
        told, _ = aider("--model", "openai/fakes/edits", "--edit-format", "whole", how, "greet.py", folder=folder)
        assert (folder / "greet.py").read_text() == AFTER, (how, told)
        assert "Applied edit to greet.py" in told, told


def check_a_commit_that_the_weak_model_describes() -> None:
    folder = project()
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", name, "a"], cwd=folder, check=True)
    models = ["--model", "openai/fakes/edits", "--weak-model", "openai/fakes/vllm", "--edit-format", "whole"]
    aider("--git", "--no-gitignore", *models, "greet.py", folder=folder)
    log = subprocess.run(["git", "log", "--format=%s"], cwd=folder, capture_output=True, text=True, check=True)
    assert log.stdout.splitlines() == [SENTENCE, "one"], log.stdout


def check_each_engine() -> None:
    for name in FAKES:
        for how in ("--stream", "--no-stream"):
            told, waits = aider("--model", f"openai/{name}", "--chat-mode", "ask", how)
            assert SENTENCE in told and not waits, (name, how, told)


def check_real_answers() -> None:
    told, waits = aider("--model", "openai/tiny", "--chat-mode", "ask", message="Hello")
    assert has_answered(told) and not waits, told


def check_errors_that_are_not_tried_again() -> None:
    told, waits = aider("--model", "openai/gpt-9", "--chat-mode", "ask")
    assert "NotFoundError" in told and "gpt-9" in told and not waits, (told, waits)
    with key("sk-rf-wrong"):
        told, waits = aider("--model", "openai/fakes/vllm", "--chat-mode", "ask")
    assert "AuthenticationError" in told and "Incorrect API key" in told and not waits, (told, waits)


def check_what_is_too_long() -> None:
    with key(KEY_THAT_REFUSES):
        told, waits = aider("--model", "openai/fakes/vllm", "--chat-mode", "ask", message="word " * 6000)
        assert "token limit" in told and not waits, (told, waits)
        told, waits = aider("--model", "openai/fakes/full-vllm", "--chat-mode", "ask")
        assert "token limit" in told and not waits, (told, waits)


def check_errors_that_are_tried_again() -> None:
    told, waits = aider("--model", "openai/fakes/busy-aider", "--chat-mode", "ask")
    assert "ServiceUnavailableError" in told and waits, (told, waits)
    told, waits = aider("--model", "openai/fakes/failing", "--chat-mode", "ask")
    assert "Error" in told and waits, (told, waits)


def check_limits() -> None:
    with key(KEY_FOR_ONE_REQUEST):
        told, waits = aider("--model", "openai/fakes/vllm", "--chat-mode", "ask")
        assert SENTENCE in told and not waits, told
        told, waits = aider("--model", "openai/fakes/vllm", "--chat-mode", "ask")
    assert "RateLimitError" in told and waits, (told, waits)


def check_a_stream_that_breaks() -> None:
    told, waits = aider("--model", "openai/fakes/cut-aider", "--chat-mode", "ask")
    assert "Error" in told and waits, (told, waits)
    assert KEY not in told


if __name__ == "__main__":
    run(globals())
