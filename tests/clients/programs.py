"""Coding programs as `ringfence connect` sets them up, each with one prompt that makes it run a tool of its own."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "node" / "node_modules" / ".bin"
PROMPT = "Say a word with the shell."


@dataclass(frozen=True)
class Program:
    """`connect` is what `ringfence connect` calls it; `quiet` are variables that keep it from calling home."""

    connect: str
    command: tuple[str, ...]
    quiet: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str | None:
        """Where install.sh has installed it, or somebody else has."""
        return shutil.which(self.command[0], path=os.pathsep.join((str(FOLDER), os.environ["PATH"])))


PROGRAMS = {
    "claude_code": Program(
        "claude-code",
        ("claude", "-p", PROMPT, "--allowedTools", "Bash(echo:*)", "--output-format", "stream-json", "--verbose"),
        {"DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "0"},
    ),
    "codex": Program(
        "codex", ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", PROMPT)
    ),
    "continue": Program(
        "continue",
        ("cn", "-p", "--auto", PROMPT),
        {"CONTINUE_TELEMETRY_ENABLED": "0"},
    ),
    "cline": Program("cline", ("cline", "--json", "--timeout", "30", PROMPT), {"AI_SDK_LOG_WARNINGS": "false"}),
}
"""By the name of what was recorded of it."""


def settle(program: Program, told: Mapping[str, Any], home: Path) -> tuple[list[str], dict[str, str]]:
    """Do with a new home what `ringfence connect PROGRAM --json` has told; the command that asks, and its variables."""
    for file in told["files"]:
        path = home / file["path"].removeprefix("~/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"])
    command = [str(program.path), *program.command[1:]]
    first, *rest = shlex.split(told["run"] or program.command[0])
    if rest:  # what is told sets it up, and asks nothing yet
        folder = str(Path(command[0]).parent)
        script = f"{shlex.join([str(Path(folder) / first), *rest])} >/dev/null && exec {shlex.join(command)}"
        command = ["sh", "-c", script]
    return command, {**program.quiet, **told["env"]}
