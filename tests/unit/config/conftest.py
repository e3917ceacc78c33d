"""A configuration file from text, read with an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid, Problem
from ringfence.config.schema import Config

Read = Callable[..., Config]
Refused = Callable[..., list[Problem]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)

    def read(text: str | bytes, env: dict[str, str] | None = None, **options: object) -> Config:
        content = text.encode() if isinstance(text, str) else text
        Path("ringfence.yaml").write_bytes(content)
        return load(Path("ringfence.yaml"), env or {}, **options)  # type: ignore[arg-type]

    return read


@pytest.fixture
def refused(read: Read) -> Refused:
    def refused(text: str | bytes, env: dict[str, str] | None = None, **options: object) -> list[Problem]:
        with pytest.raises(ConfigInvalid) as caught:
            read(text, env, **options)
        return caught.value.problems

    return refused
