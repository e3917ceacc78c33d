"""A hub on loopback that speaks the protocol of Hugging Face, as far as it is used. It has one model, owner/repo."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ringfence.placement import hub

COMMIT = "a" * 40


class FakeHub(ThreadingHTTPServer):
    """`gated` is the model with all that is told of it, or with `files_are_gated` its files alone."""

    daemon_threads = True

    def __init__(self, answers: type[HubAnswers]) -> None:
        super().__init__(("127.0.0.1", 0), answers)
        self.gated = False
        self.files_are_gated = False
        self.seen: list[tuple[str, str | None, str | None]] = []
        """Path, range and authorization of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def serving(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """This is the hub that is asked, without a pause before it is asked again."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", self.url)
        monkeypatch.setattr(hub, "PAUSE_S", 0.0)
        yield
        self.shutdown()
        self.server_close()
        thread.join()


class HubAnswers(BaseHTTPRequestHandler):
    """Where a request goes; a test says what the files are, and how one is sent."""

    server: FakeHub  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def listed(self) -> list[dict[str, Any]]:
        """The files as the hub tells of them."""
        raise NotImplementedError

    def send_file(self, name: str) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Range"], self.headers["Authorization"]))
        name = self.path.rpartition("/")[2]
        if self.server.gated:
            self.say(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif self.path.startswith("/api/models/owner/repo"):
            info = {"id": "owner/repo", "modelId": "owner/repo", "sha": COMMIT, "siblings": self.listed(), "tags": []}
            self.say(200, json.dumps(info).encode())
        elif self.path.startswith("/api/models/"):
            self.say(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif self.path.startswith(f"/owner/repo/resolve/{COMMIT}/"):
            self.say(403 if self.server.files_are_gated else 302, b"", {"Location": f"/cdn/{name}"})
        else:
            self.send_file(name)

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
