"""An engine in a process of its own, to be killed: `parked_engine.py PORT`. No two of its answers are the same, and
each tells by a digest what was asked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault
from ringfence.tether import die_with_parent

PIECE_S = 0.02
"""Between the pieces of an answer: it takes long enough to be struck meanwhile."""
SAID = "answer-of-the-engine-"


def digest(text: str) -> str:
    """Of what was asked, as it stands in the answer."""
    return SAID + sha256(text.encode()).hexdigest()[:12]


class Distinct(Dialect):
    def answer(self, route: str, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        said = super().answer(route, model, body)
        if "messages" in body:  # and not the one token that it is asked for where it is doubted
            said["choices"][0]["message"]["content"] = "".join(_words(body))
        return said

    def events(self, route: str, model: FakeModel, body: dict[str, Any]) -> Iterator[bytes]:
        words = _words(body)
        yield from Dialect(self.kind, self.models, self.slots, words).events(route, model, body)


def _words(body: dict[str, Any]) -> tuple[str, ...]:
    return digest(body["messages"][-1]["content"]), f" {uuid4().hex}"


class KilledEngine:
    """Always at the same port; when it goes it is killed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def come(self) -> None:
        if self._process is None:
            command = [sys.executable, str(Path(__file__)), str(self.port)]
            self._process = subprocess.Popen(command)

    def go(self) -> bool:
        """Whether there was one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(25)
        return process is not None


async def _serve(port: int) -> None:
    engine = FakeEngine("vllm")
    engine.dialect = Distinct("vllm", engine.dialect.models, 4, ())
    engine.always = Behaviour(Fault.SLOW_HEAD, between_s=PIECE_S)
    await engine.start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    asyncio.run(_serve(int(sys.argv[1])))
