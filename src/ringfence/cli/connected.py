"""What a program is told so that it asks this gateway, and the form in which it wants to hear that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PLACEHOLDER = "sk-rf-..."
"""Stands for a key where none is known."""
IN_CONTAINER = "host.docker.internal"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where it is reached, by whom, and for which model. `window`: of that model in tokens, where it is known."""

    root: str
    key: str = field(repr=False)
    model: str = "auto"
    window: int | None = None

    @property
    def v1(self) -> str:
        """The base URL as programs want it that speak OpenAI's dialect."""
        return f"{self.root}/v1"

    @property
    def from_container(self) -> str:
        """The base URL as a container on this machine has it."""
        parts = urlsplit(self.v1)
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            return self.v1
        return f"http://{IN_CONTAINER}:{parts.port}/v1"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the program's own, and what is to stand in it."""

    path: str
    language: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Any of these; `run` is a command that uses them."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()
    run: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "env": dict(self.variables),
            "files": [{"path": one.path, "language": one.language, "text": one.text} for one in self.files],
            "steps": list(self.steps), "run": self.run, "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """`name` is what `ringfence connect` calls it."""

    name: str
    title: str
    settings: Callable[[Gateway], Settings]
