"""Turns of a model that calls tools: what a fake engine says in the place of its own words.

engine.once(Behaviour(twist=Says("", (("look", {"at": "a"}),))), Behaviour(twist=Says("It is there.")))
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.testing.fake_twists import EVENTS, JSON, Wire

USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
FRAME = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": "fake-model"}


@dataclass(frozen=True, slots=True)
class Says:
    """A `Twist`: a text, then `calls` of tools by name and arguments (a text stays as it is), and what it reports to
    have used. In a stream each call comes in pieces."""

    text: str = field(default="", repr=False)
    calls: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    usage: dict[str, int] = field(default_factory=lambda: dict(USED))
    after_s: float = 0.0
    finish: str = ""
    """Why it ended; empty: as follows from the rest."""
    probability: float | None = None
    """Of each token, where that is told."""

    async def __call__(self, wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
        await wire.pause(self.after_s)
        if not is_stream:
            data = json.dumps(self._whole()).encode()
            await wire.send(wire.head(200, JSON, len(data)) + data)
            return True
        await wire.send(wire.head(200, EVENTS, None))
        for event in self._events():
            await wire.chunk(b"data: %b\n\n" % json.dumps(event).encode())
        await wire.chunk(b"data: [DONE]\n\n")
        await wire.send(b"0\r\n\r\n")
        return True

    def _called(self) -> list[dict[str, Any]]:
        found = [(name, given if isinstance(given, str) else json.dumps(given)) for name, given in self.calls]
        return [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": given}}
            for place, (name, given) in enumerate(found)
        ]

    @property
    def _finish(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    def _whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            message["tool_calls"] = self._called()
        choices: list[dict[str, Any]] = [{"index": 0, "message": message, "finish_reason": self._finish}]
        if self.probability is not None:
            told = [{"token": word, "logprob": math.log(self.probability)} for word in self.text.split()]
            choices[0]["logprobs"] = {"content": told}
        return {**FRAME, "object": "chat.completion", "choices": choices, "usage": self.usage}

    def _events(self) -> Iterator[dict[str, Any]]:
        frame = {**FRAME, "object": "chat.completion.chunk"}
        for delta in self._deltas():
            yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": self._finish}]}
        yield {**frame, "choices": [], "usage": self.usage}

    def _deltas(self) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        yield from ({"content": f"{word} "} for word in self.text.split())
        for place, call in enumerate(self._called()):
            name, given = call["function"]["name"], call["function"]["arguments"]
            yield {"tool_calls": [{**call, "index": place, "function": {"name": name, "arguments": ""}}]}
            half = len(given) // 2
            for piece in (given[:half], given[half:]):
                yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
