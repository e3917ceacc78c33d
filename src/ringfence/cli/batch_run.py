"""One batch from a file to its answers, with a bar while it is worked on."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ringfence.cli.client import Gateway, NotRunning, Refused

LOOK_EVERY_S = 0.5
ENDED = ("completed", "failed", "expired", "cancelled")


class Stopped(Exception):
    """It comes to nothing; the message says why."""


class Run:
    """Asks the gateway as any client does."""

    def __init__(self, gateway: Gateway, key: str) -> None:
        self._gateway = gateway
        self._key = key

    def through(self, file: Path, window: str) -> tuple[dict[str, Any], bytes, bytes]:
        """The batch as it ended, its output and its errors. Raises Stopped."""
        try:
            text = file.read_bytes()
        except OSError as error:
            raise Stopped(f"{file} cannot be read: {error.strerror}") from None
        endpoint = _endpoint(text)  # first: what comes to nothing leaves no file at the gateway
        uploaded = self._upload(file.name, text)
        asked = {"input_file_id": uploaded["id"], "endpoint": endpoint, "completion_window": window}
        batch = self._waited(self._ask("POST", "/v1/batches", asked))
        if batch["status"] == "failed":
            told = (f"line {each['line']}: {each['message']}" if each["line"] else each["message"]
                    for each in (batch["errors"] or {"data": []})["data"])  # fmt: skip
            raise Stopped("\n".join((f"Batch {batch['id']} failed.", *told)))
        return batch, self._content(batch["output_file_id"]), self._content(batch["error_file_id"])

    def _waited(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Until it has ended."""
        shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(batch["id"], total=None)
            while batch["status"] not in ENDED:
                time.sleep(LOOK_EVERY_S)
                batch = self._ask("GET", f"/v1/batches/{batch['id']}")
                counts = batch["request_counts"]
                done = counts["completed"] + counts["failed"]
                progress.update(bar, total=counts["total"] or None, completed=done)
        return batch

    def _upload(self, name: str, text: bytes) -> dict[str, Any]:
        edge = secrets.token_hex(16)
        plain = name.replace('"', "").replace("\r", "").replace("\n", "")
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{plain}"\r\n\r\n'
        )
        body = head.encode() + text + f"\r\n--{edge}--\r\n".encode()
        return self._json("POST", "/v1/files", body, f"multipart/form-data; boundary={edge}")

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        raw = None if body is None else json.dumps(body).encode()
        return self._json(method, path, raw, "application/json")

    def _content(self, file_id: str | None) -> bytes:
        return self._send("GET", f"/v1/files/{file_id}/content", None, "application/json") if file_id else b""

    def _json(self, method: str, path: str, body: bytes | None, kind: str) -> dict[str, Any]:
        return json.loads(self._send(method, path, body, kind))

    def _send(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        try:
            return self._gateway.fetch(method, path, body, self._key, kind)
        except NotRunning as gone:
            raise Stopped(f"{gone} A batch that was begun goes on.") from None
        except Refused as refused:
            raise Stopped(str(refused)) from None


def _endpoint(text: bytes) -> str:
    """That of the first line: it has to be that of all."""
    try:
        return str(json.loads(text.strip().partition(b"\n")[0])["url"])
    except (ValueError, KeyError, TypeError):
        raise Stopped(
            "The first line of the file is no call: an object with custom_id, method, url and body."
        ) from None
