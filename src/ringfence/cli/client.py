"""The command line's way to the running gateway: the control API on loopback, with the token of the state folder."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from ringfence.cli.running import running
from ringfence.config.load import peek_state_dir
from ringfence.config.places import find
from ringfence.store.credentials import admin_token, load_credentials
from ringfence.store.failure import StoreFailed

TIMEOUT_S = 30.0


class NotRunning(Exception):
    """No gateway answers; the message says how to start one."""


class Refused(Exception):
    """The gateway answered with an error; the message is its own, and `param` what of the question it is about."""

    def __init__(self, message: str, status: int = 0, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


def folder_of(config: Path | None) -> Path:
    """The state folder, as the configuration or the environment names it."""
    return peek_state_dir(find(config, Path.cwd()), os.environ)


class Gateway:
    """The running gateway of one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            self.base_url, self.pid = str(found["base_url"]), int(found["pid"])
            if running(folder) is None:  # whoever has its port now must not be shown our token
                raise ValueError("the note of a gateway that died")
        except (OSError, ValueError, KeyError, TypeError):
            raise NotRunning(f"No gateway runs with the state in {folder}. Start one with `ringfence up`.") from None

    def api_key(self) -> str | None:
        """The local user's key, if there is a copy of it."""
        known = load_credentials(self.folder)
        return known.api_key if known is not None else None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the control API; its JSON. Raises NotRunning and Refused."""
        answer = self._send(method, f"/control/v1{path}", body, admin_token(self.folder))
        text = answer.read()
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            raise NotRunning(f"What answers at {self.base_url} is no Ringfence.") from None
        if answer.status >= 400:
            error = parsed["error"] if isinstance(parsed, dict) and "error" in parsed else {}
            raise Refused(error.get("message", f"status {answer.status}"), answer.status, error.get("param"))
        return parsed

    def stream(self, path: str, body: Any, key: str) -> Iterator[tuple[str, Any]]:
        """Send a request that is answered by events; yields ('head', headers) and then ('event', JSON) for each."""
        answer = self._send("POST", path, body, key)
        if answer.status != 200:
            raise Refused(json.loads(answer.read())["error"]["message"])
        yield "head", answer.headers
        for line in answer:
            if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                yield "event", json.loads(line[6:])

    def fetch(self, method: str, path: str, body: bytes | None, key: str, kind: str = "application/json") -> bytes:
        """One request as any client makes it; what it is answered. Raises NotRunning and Refused."""
        answer = self._send(method, path, body, key, kind)
        raw = answer.read()
        if answer.status >= 400:
            raise Refused(json.loads(raw)["error"]["message"], answer.status)
        return raw

    def complete(self, body: Any, key: str, call_id: str) -> tuple[Any, http.client.HTTPMessage]:
        """One chat, asked under an id of its own: its JSON, and the headers. Raises NotRunning and Refused."""
        answer = self._send("POST", "/v1/chat/completions", body, key, more={"x-request-id": call_id})
        told = json.loads(answer.read())
        if answer.status >= 400:
            raise Refused(told["error"]["message"], answer.status)
        return told, answer.headers

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        secret: str,
        kind: str = "application/json",
        more: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """`body` that is bytes is sent as it is."""
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_S)
        headers = {"authorization": f"Bearer {secret}", "content-type": kind, **(more or {})}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
        try:
            connection.request(method, path, raw, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise NotRunning(
                f"The gateway at {self.base_url} does not answer. Start one with `ringfence up`."
            ) from None


def connect(config: Path | None) -> Gateway:
    """The running gateway; ends the program with a message and exit status 3 when there is none."""
    try:
        return Gateway(folder_of(config))
    except (NotRunning, StoreFailed) as error:
        typer.secho(str(error), err=True, fg="yellow")
        raise typer.Exit(3) from None
