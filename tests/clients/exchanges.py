"""A recorded request, sent as it was over a socket, and its answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """An answer. Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Name and data of each event; comments are left out."""
        found: list[tuple[str, Any]] = []
        for block in self.text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if data := fields.get("data"):
                found.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
        return found


def sent(url: str, method: str, target: str, headers: Mapping[str, str], body: Any = None) -> Told:
    """To the host of `url`; `body` None: nothing is sent along."""
    address = urlsplit(url)
    line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        line.request(method, target, None if body is None else json.dumps(body), dict(headers))
        answer = line.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Told(answer.status, named, answer.read().decode())
    finally:
        line.close()
