"""What is kept, as an owner sees and forgets it: the command line and the control API of a whole gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from whole import ask, chat, command, control, made_key, reloaded

CONFIG = """
discovery: {{adopt: false}}
models:
  small: {{source: demo, aliases: [auto]}}
profiles:
  default: {{boundary: host, cache: true}}
  shared: {{boundary: host, cache: {{scope: profile, ttl_s: {ttl_s}}}}}
"""


def became(up: Any, key: str | None = None) -> str | None:
    reply = chat(up, key=key)
    assert reply.status == 200, reply.body
    return reply.headers["x-ringfence-cache"]


def kept(up: Any) -> dict[str, dict[str, int]]:
    return {row.pop("profile"): row for row in control(up, "/cache")["profiles"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "ringfence.yaml"


@pytest.fixture(scope="module")
def up(start_up: Any, file: Path) -> Iterator[Any]:
    file.write_text(CONFIG.format(ttl_s=600))
    running = start_up("--config", str(file))
    yield running
    running.stop()


def test_what_is_kept_is_shown_and_forgotten(up: Any, file: Path) -> None:
    assert control(up, "/cache") == {"profiles": []}
    one, two = (made_key(up, name, profile="shared") for name in ("one", "two"))
    assert [became(up), became(up), became(up, one), became(up, two)] == ["miss", "hit", "miss", "hit"]
    found = kept(up)
    numbers = ("answers", "hit", "miss", "joined")
    assert [[found[name][each] for each in numbers] for name in ("default", "shared")] == [[1, 1, 1, 0]] * 2
    assert found["default"]["bytes"] > 500
    shown = command("cache", "show", folder=up.folder).stdout
    assert "default: 1 answers" in shown and "shared: 1 answers" in shown and "hello" not in shown
    assert kept(up) == {row.pop("profile"): row for row in json.loads(
        command("cache", "show", "--json", folder=up.folder).stdout
    )["profiles"]}  # fmt: skip
    assert command("cache", "clear", "--profile", "nobody", folder=up.folder).stdout == "Forgot 0 answers.\n"
    assert command("cache", "clear", "--profile", "shared", folder=up.folder).stdout == "Forgot 1 answers.\n"
    assert [became(up, two), became(up)] == ["miss", "hit"]
    assert control(up, "/cache?profile=shared", "DELETE") == {"forgotten": 1}
    assert control(up, "/cache", "DELETE") == {"forgotten": 1}
    assert [became(up), became(up, one)] == ["miss", "miss"]
    for method in ("GET", "DELETE"):
        assert ask(up.root_url, method, "/control/v1/cache", None, one).status in (401, 403)
    reloaded(up)
    assert [became(up), became(up, one)] == ["hit", "hit"], "nothing was changed"
    file.write_text(CONFIG.format(ttl_s=500))
    reloaded(up)
    assert {row["answers"] for row in kept(up).values()} == {0}
    assert [became(up), became(up, one)] == ["miss", "miss"]
    [key_id] = [key["id"] for key in control(up, "/keys")["keys"] if key["name"] == "one"]
    control(up, f"/keys/{key_id}", "DELETE")
    assert chat(up, key=one).status == 401
    assert became(up, two) == "hit", "the other is bound to the same profile"
