"""The routes of its own by which an Ollama is asked: what goes there, and how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, Failure
from ringfence.engines import ollama_answer, ollama_request
from ringfence.engines import openai_dialect as dialect
from ringfence.engines.ollama_stream import ChatStream, CompletionStream, LineStream

Body = dict[str, Any]

OVERFLOWS = (
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"prompt is longer than the context length"),
    re.compile(r"input length exceeds (?:the|maximum) context length"),
    re.compile(r"prompt too long; exceeded (?:max )?context length"),
)


def failure(status: int, body: Any) -> Failure:
    return dialect.failure(status, body, OVERFLOWS)


@dataclass(frozen=True, slots=True)
class Route:
    """One of them. A route without `streams` answers at one go."""

    path: str
    ask: Callable[[Body], Body]
    read: Callable[[Body], Body]
    streams: type[LineStream] | None = None

    def request(self, body: Body) -> Body:
        return self.ask(body)

    def answer(self, body: Body) -> Body:
        """Versions differ in the status of an error: some begin with 200 before they know."""
        if body.get("error"):
            raise failure(500, body)
        return self.read(body)

    def stream(self, include_usage: bool) -> LineStream:
        if self.streams is None:
            raise EngineFailed(f"'{self.path}' does not stream.")
        return self.streams(include_usage, failure)


WIRES = {
    Ability.CHAT: Route("/api/chat", ollama_request.chat, ollama_answer.chat, ChatStream),
    Ability.COMPLETIONS: Route("/api/generate", ollama_request.completion, ollama_answer.completion, CompletionStream),
    Ability.EMBEDDINGS: Route("/api/embed", ollama_request.embedding, ollama_answer.embedding),
}
