"""Runs a program so that it reaches one gateway and no other address, and keeps what the two say to each other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from in_namespace import carry

INSIDE = Path(__file__).with_name("in_namespace.py")
NAMESPACE = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")


def can_be_alone() -> bool:
    """Whether this machine lets us make a namespace."""
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@dataclass
class Said:
    """What came over one connection, both ways."""

    asked: bytearray = field(default_factory=bytearray)
    told: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Exchange:
    """One request; `body` is what its JSON was."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


class Alone:
    """`with Alone(base_url) as alone: alone.run(["claude", ...], ...)`; then `alone.requests()`."""

    def __init__(self, base_url: str) -> None:
        self.port = urlsplit(base_url).port or 80
        self.said: list[Said] = []
        self._folder = tempfile.TemporaryDirectory()
        self._way_out = str(Path(self._folder.name) / "gateway")
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Alone:
        self._listener.bind(self._way_out)
        self._listener.listen(64)
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, _: TracebackType | None) -> None:
        self._listener.close()
        self._folder.cleanup()

    def run(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """With nothing of this machine's own settings and keys but the PATH."""
        known = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(cwd), "DO_NOT_TRACK": "1"}
        return subprocess.run(
            [*NAMESPACE, sys.executable, str(INSIDE), self._way_out, str(self.port), *command],
            env={**known, **env}, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def requests(self) -> list[Exchange]:
        """In the order of their connections."""
        return [one for said in list(self.said) for one in _requests(bytes(said.asked))]

    def _take(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.port))
            self.said.append(said := Said())
            for pair in ((here, there, said.asked), (there, here, said.told)):
                threading.Thread(target=carry, args=pair, daemon=True).start()


def _requests(data: bytes) -> Iterator[Exchange]:
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body, data = _chunks(data)
        else:
            size = int(headers.get("content-length", 0))
            body, data = data[:size], data[size:]
        yield Exchange(method, target, headers, json.loads(body) if body.startswith(b"{") else None)


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16)
        if length == 0:
            return whole, data.partition(b"\r\n")[2]
        whole, data = whole + data[:length], data[length + 2 :]
