"""A whole gateway with a device that is only counted: what is there, what came and went, many callers."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from whole import Reply, ask, chat, children, control, gateway_pid, question, until

from ringfence.testing.tiny_model import tiny_model

DEVICE = "sim"
HURRIED = {"dwell_s": 1, "quiet_s": 0.5, "patience_s": 2, "return_s": 1, "cycle_s": 5}
"""So that what takes minutes for people takes seconds here."""
LOADS_S = 40.0
"""A tiny model takes about a second; on a machine that is busy with other tests it may take many."""


class Site:
    """A gateway whose configuration is `said`; change that, and `reload`."""

    def __init__(self, start_up: Any, folder: Path, models: dict[str, Any], *, size: str = "8GiB", **more: Any) -> None:
        self._start_up = start_up
        self.file = folder / "some.yaml"
        self.said: dict[str, Any] = {
            "devices": {DEVICE: {"simulated": size, "headroom": "512MiB"}}, "placement": dict(HURRIED),
            "models": models,
        } | more  # fmt: skip
        self.write()
        self.up = start_up("--config", str(self.file))

    def write(self) -> None:
        self.file.write_text(json.dumps(self.said))

    def start_again(self) -> None:
        """Another gateway with the same state."""
        self.up.stop()
        self.up = self._start_up("--config", str(self.file), folder=self.up.folder)

    def reload(self) -> dict[str, Any]:
        self.write()
        return dict(control(self.up, "/config/reload", "POST"))

    # -- what there is ----------------------------------------------------------------------------------------------

    def plan(self) -> dict[str, Any]:
        return dict(control(self.up, "/plan"))

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.plan()["models"]}

    def phases(self) -> dict[str, str]:
        return {name: row["phase"] for name, row in self.rows().items()}

    def moves(self, what: str) -> list[str]:
        """The names of those to which that happened, the first first; of the last fifty moves."""
        return [one["name"] for one in reversed(self.plan()["recent"]) if one["what"] == what]

    def pid(self, name: str) -> int | None:
        [pid] = [one["pid"] for one in control(self.up, "/status")["instances"] if one["name"] == name]
        return pid

    def window(self, name: str) -> int | None:
        rows = ask(self.up.root_url, "GET", "/v1/models", key=self.up.api_key).json["data"]
        [row] = [row for row in rows if row["id"] == name]
        return row.get("context_length") or row.get("max_model_len") or row.get("context_window")

    def command_line(self, name: str) -> list[str]:
        """Of the program of the owner's with which it is served."""
        pid = self.pid(name)
        assert pid is not None
        [program] = children(pid)
        return Path(f"/proc/{program}/cmdline").read_bytes().decode().split("\0")

    def engines(self) -> list[int]:
        return children(gateway_pid(self.up))

    def until_phase(self, name: str, phase: str, within_s: float = LOADS_S) -> None:
        until(lambda: self.phases()[name] == phase, within_s, f"{name} {phase}")

    def until_ready(self, name: str) -> None:
        self.until_phase(name, "ready")

    # -- callers ----------------------------------------------------------------------------------------------------

    def chat(self, model: str, *, key: str | None = None, timeout_s: float = 90.0, **more: Any) -> Reply:
        return chat(self.up, model=model, key=key, timeout_s=timeout_s, **more)

    def told(self, model: str, headers: dict[str, str], key: str | None = None) -> Reply:
        body = question(model=model)
        return ask(self.up.root_url, "POST", "/v1/chat/completions", body, key or self.up.api_key, 90.0, headers)


def alike(folder: Path, names: str, **more: Any) -> dict[str, Any]:
    """Models of one file under these names, each of which leaves no room for another."""
    source = str(tiny_model(folder))
    one = {"source": source, "devices": [DEVICE], "memory": "6GiB", "threads": 1, "embeddings": False}
    return {name: one | {"residency": "swap"} | more for name in names.split()}


class Callers:
    """Many at once."""

    def __init__(self, site: Site, most: int = 32) -> None:
        self._site = site
        self._pool = ThreadPoolExecutor(most)

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def chat(self, model: str, **more: Any) -> Future[Reply]:
        return self._pool.submit(self._site.chat, model, **more)

    def do(self, work: Any, *args: Any) -> Future[Any]:
        return self._pool.submit(work, *args)
