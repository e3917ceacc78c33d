"""A whole `ringfence up` with one engine that comes and goes, and a profile that waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from whole import Reply, ask, control, made_key, question, until

from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.ports import free_port

CONFIG = """
discovery: {{adopt: false}}
timeouts: {{connect_s: 1}}
parking: {{deadline_s: 60}}
models:
  near: {{url: "http://127.0.0.1:{port}", engine: vllm, engine_model: fake-model, aliases: [auto]}}{more}
profiles:
  private: {{tier: T1, chain: [near], ending: park}}
"""
TICKET = {"prefer": "respond-async"}
RINGFENCE = (sys.executable, "-m", "ringfence")


class Engine:
    """On a loop and a thread of its own, always at the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.fake = FakeEngine("vllm")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.is_up = False

    def come(self) -> None:
        if not self.is_up:
            self._wait(self.fake.start(self.port))
            self.is_up = True

    def go(self) -> None:
        if self.is_up:
            self._wait(self.fake.stop())
            self.is_up = False

    def close(self) -> None:
        self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _wait(self, doing: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(30)


class Port(Protocol):
    """Where something answers, now and then."""

    port: int


class House:
    """Started and stopped as often as one likes, with the same state. `program` is `ringfence`, `env` what it finds."""

    def __init__(
        self, folder: Path, engine: Port, *, program: Sequence[str] = RINGFENCE, more: str = "", **env: str
    ) -> None:
        self.folder = folder / "state"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file = folder / "ringfence.yaml"
        self.file.write_text(CONFIG.format(port=engine.port, more=more))
        self.program = program
        self.env = os.environ | {"RINGFENCE_STATE_DIR": str(self.folder)} | env
        self.port = free_port()
        self.root_url = f"http://127.0.0.1:{self.port}"
        self.key = ""
        self.impatient_key = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = [*self.program, "up", "--json", "--port", str(self.port), "--config", str(self.file)]
        self.process = subprocess.Popen(words, env=self.env, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        assert "base_url" in ready, ready
        self.impatient_key = ready["api_key"] or self.impatient_key
        if not self.key:
            self.key = self.make_key("private")

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            process.wait(40)

    def change(self, before: str, after: str) -> None:
        """Of the configuration, with a reload."""
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))
        control(self, "/config/reload", "POST")  # type: ignore[arg-type]

    def make_key(self, name: str) -> str:
        return made_key(self, name, profile="private")  # type: ignore[arg-type]

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, key: str = ""
    ) -> Reply:
        return ask(self.root_url, method, path, body, key or self.key, 30.0, headers)

    def park(self, text: str, headers: dict[str, str] | None = None, **more: Any) -> str:
        """The id of a ticket."""
        reply = self.ask("POST", "/v1/chat/completions", question(text, **more), TICKET | (headers or {}))
        assert reply.status == 202, reply.body
        assert reply.headers["location"] == f"/v1/parked/{reply.json['id']}"
        return str(reply.json["id"])

    def ask_impatiently(self) -> None:
        """As somebody whose profile does not park: the gateway then looks for its engine at once, and not only at the
        next of its looks, which are 5 s apart."""

        def ask() -> bool:
            return self.ask("POST", "/v1/chat/completions", question("impatient"), key=self.impatient_key).status == 200

        until(ask, 25, "an answer of the engine that came")

    def look(self, ticket: str) -> Reply:
        return self.ask("GET", f"/v1/parked/{ticket}")

    def pid(self) -> int:
        return int(json.loads((self.folder / "run.json").read_text())["pid"])
