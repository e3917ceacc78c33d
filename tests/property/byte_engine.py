"""Engines for which a token is a byte: some count when asked, some only refuse, some cut without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from conversations import prompt

from ringfence.gateway.count import byte_length
from ringfence.gateway.thinking.tool import NAMES
from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.fake_turns import Says
from ringfence.testing.fake_twists import Wire

Body = dict[str, Any]
MARKS = ("<|im_start|>", "<|im_end|>")
"""One token each, as in any vocabulary that has them."""


@dataclass(frozen=True)
class Seat:
    """A kind of engine as the gateway knows it (`engine`) and as it behaves (`speaks`)."""

    name: str
    engine: str
    speaks: str
    counts: bool = False
    cuts: bool = False
    """Without a word: nothing that is too long may ever reach it. One that neither counts nor cuts refuses it."""


SEATS = (
    Seat("vllm", "vllm", "vllm", counts=True),
    Seat("llamacpp", "llamacpp", "llamacpp", counts=True),
    Seat("mute", "vllm", "vllm"),
    Seat("studio", "openai_compatible", "lmstudio", cuts=True),
    Seat("ollama", "ollama", "ollama", cuts=True),
)


class InBytes(Dialect):
    """Counts, and refuses as its kind does, by bytes."""

    def told(self, path: str, body: Body) -> Any:
        if self.kind == "vllm" and path == "/tokenize":
            return {"count": max(tokens(body)), "max_model_len": self.models[0].window}
        if self.kind == "llamacpp" and path == "/v1/chat/completions/input_tokens":
            return {"input_tokens": max(tokens(body)), "object": "response.input_tokens"}
        if self.kind == "llamacpp" and path == "/tokenize":
            return {"tokens": [0] * byte_length(body["content"])}
        return super().told(path, body)

    def refusal(self, model: FakeModel | None, body: Body) -> tuple[int, Any] | None:
        if model is None or self.kind == "lmstudio":
            return super().refusal(model, body) if model is None else None
        given, wanted = max(tokens(body)), output(body) if self.kind == "vllm" else 0
        if given + wanted <= model.window:
            return None
        if given > model.window or self.kind == "llamacpp":
            return 400, self._too_long(given, model.window)
        said = (
            f"This model's maximum context length is {model.window} tokens. However, you requested {wanted} output "
            f"tokens and your prompt contains {given} input tokens, for a total of {given + wanted} tokens."
        )
        return 400, {"error": {"message": said, "type": "BadRequestError", "param": "input_tokens", "code": 400}}


def byte_engine(seat: Seat, window: int = 4096) -> FakeEngine:
    engine = FakeEngine(seat.speaks)
    dialect = engine.dialect
    engine.dialect = InBytes(dialect.kind, dialect.models, dialect.slots, dialect.words)
    if not seat.counts:
        engine.lacks = frozenset(("/tokenize",))
    sized(engine, window)
    return engine


def sized(engine: FakeEngine, window: int) -> None:
    engine.dialect = replace(engine.dialect, models=(FakeModel(window=window),))


def tokens(body: Body) -> list[int]:
    """Of each prompt in what an engine is sent: each has the window for itself."""
    if "messages" in body:
        messages: list[Body] = body["messages"]
        text = prompt(body | {"messages": [message | {"mark": ""} for message in messages]})
        for mark in MARKS:
            text = text.replace(mark, "|")
        thoughts = sum(byte_length(message.get("reasoning_content") or "") for message in messages)
        return [thoughts + byte_length(text)]
    if "documents" in body:
        return [byte_length(body["query"]) + byte_length(text) + 1 for text in body["documents"]]
    given: Any = body["prompt"] if "prompt" in body else body["input"]
    beside = byte_length(body.get("suffix") or "")
    return [beside + (len(one) if isinstance(one, list) else byte_length(one)) for one in _listed(given)]


def _listed(given: Any) -> Iterator[Any]:
    is_one = isinstance(given, str) or all(type(one) is int for one in given)
    yield from [given] if is_one else given


def output(body: Body) -> int:
    """The most that it is asked to say."""
    options: Body = body.get("options") or {}
    return body.get("max_tokens") or options.get("num_predict") or 0


def overflows(body: Body, window: int) -> bool:
    """Whether what an engine was sent is more than its window. What is no chat and no continuation has no output."""
    return max(tokens(body)) + output(body) > window


class Thinker:
    """A `Twist`: a model that calls the tool that it is offered, a question at a time, and then answers."""

    def __init__(self, engine: FakeEngine, questions: list[str]) -> None:
        self._engine = engine
        self._questions = questions

    async def __call__(self, wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
        body = self._engine.calls[-1].body
        names = [tool["function"]["name"] for tool in body.get("tools", ())]
        tool = next((name for name in NAMES if name in names), "")
        if not tool or body.get("tool_choice") == "none" or not self._questions:
            return await Says("It is so.")(wire, parts, is_stream)
        return await Says("", ((tool, {"question": self._questions.pop()}),))(wire, parts, is_stream)
