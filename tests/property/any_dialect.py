"""Requests of every dialect that becomes a call of a model, drawn: texts, systems, tools, how much is to be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from conversations import Body, Conversations

from ringfence.config.routing import THINKS

SIGNATURE = "RW1" * 40
OUTPUTS = (1, 16, 300, 4096, 1_000_000)


@dataclass(frozen=True)
class Asked:
    """`field` is what a refusal names as too long."""

    dialect: str
    path: str
    body: Body
    field: str


class Drawn:
    """One request after the other, for a window."""

    def __init__(self, seed: int, window: int) -> None:
        self.random = Random(seed)
        self.talk = Conversations(self.random.randint, window)

    def ask(self, dialect: str) -> Asked:
        asked = MAKES[dialect](self)
        asked.body["model"] = "fast"
        return asked

    def thinks(self, dialect: str) -> Asked:
        """One that is hard enough to be thought about."""
        asked = MAKES[dialect](self)
        asked.body["model"] = THINKS
        asked.body.update(HARD[dialect])
        return asked

    # -- what all have ------------------------------------------------------------------------------------------------

    def text(self) -> str:
        return self.talk.text() or "x"

    def is_so(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def output(self, *names: str, least: int = 0) -> Body:
        """The most of an answer, under one of the names of a dialect, or none."""
        if not least and self.is_so(0.3):
            return {}
        return {self.random.choice(names): self.random.choice(OUTPUTS)}

    def streamed(self) -> Body:
        return {"stream": True} if self.is_so(0.4) else {"stream": False}

    def function(self) -> Body:
        """The function of a drawn tool."""
        return self.talk.tool(0)["function"] | {"name": "look"}

    # -- one each -----------------------------------------------------------------------------------------------------

    def chat(self) -> Asked:
        body = self.talk.body()
        for message in body["messages"]:
            del message["mark"]
        body |= self.output("max_tokens", "max_completion_tokens", "n_predict") | self.streamed()
        return Asked("chat", "/v1/chat/completions", body, "messages")

    def completions(self) -> Asked:
        texts = [self.text() for _ in range(self.random.randint(1, 4))]
        prompt: Any = self.random.choice((texts[0], texts, [7] * self.random.randint(1, 2 * self.talk.window)))
        body = {"prompt": prompt} | self.output("max_tokens") | self.streamed()
        if self.is_so(0.2):
            body["suffix"] = self.talk.word()
        return Asked("completions", "/v1/completions", body, "prompt")

    def embeddings(self) -> Asked:
        texts = [self.text() for _ in range(self.random.randint(1, 4))]
        given: Any = self.random.choice((texts[0], texts, [7] * self.random.randint(1, 2 * self.talk.window)))
        return Asked("embeddings", "/v1/embeddings", {"input": given}, "input")

    def rerank(self) -> Asked:
        texts = [self.text() for _ in range(self.random.randint(1, 4))]
        documents = [text if self.is_so() else {"text": text} for text in texts]
        body = {"query": self.talk.word().strip() or "x", "documents": documents}
        return Asked("rerank", "/v1/rerank", body, "documents")

    def messages(self) -> Asked:
        found: list[Body] = []
        for number in range(self.random.randint(0, 6)):
            found.append({"role": "user", "content": self.blocks("user")})
            if self.is_so(0.4):
                use = {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"q": self.talk.word()}}
                result = {"type": "tool_result", "tool_use_id": use["id"], "content": self.blocks("user")}
                failed = {"is_error": True} if self.is_so(0.3) else {}
                found += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result | failed]}]
            found.append({"role": "assistant", "content": self.blocks("assistant")})
        found.append({"role": "user", "content": self.text()})
        body: Body = {"messages": found} | self.output("max_tokens", least=1) | self.streamed()
        if self.is_so(0.6):
            body["system"] = self.blocks("system")
        if self.is_so(0.3):
            function = self.function()
            body["tools"] = [{"name": "look", "description": self.talk.word(), "input_schema": function["parameters"]}]
        if self.is_so(0.3):
            body["thinking"] = self.random.choice(({"type": "adaptive"}, {"type": "disabled"}))
        return Asked("messages", "/v1/messages", body, "messages")

    def blocks(self, kind: str) -> Any:
        if self.is_so():
            return self.text()
        marker: Body = {"cache_control": {"type": "ephemeral"}} if self.is_so(0.3) else {}
        found = [{"type": "text", "text": self.text(), **marker} for _ in range(self.random.randint(1, 3))]
        if kind == "assistant" and self.is_so():
            signed = self.random.choice(("", SIGNATURE))
            found.insert(0, {"type": "thinking", "thinking": self.text(), "signature": signed})
        return found

    def responses(self) -> Asked:
        body: Body = {"input": self.text() if self.is_so(0.3) else self.items()}
        body |= self.output("max_output_tokens") | self.streamed()
        if self.is_so(0.6):
            body["instructions"] = self.text()
        if self.is_so(0.3):
            body["tools"] = [{"type": "function", "strict": False} | self.function()]
        return Asked("responses", "/v1/responses", body, "input")

    def compact(self) -> Asked:
        body: Body = {"input": self.text() if self.is_so(0.3) else self.items()}
        if self.is_so(0.6):
            body["instructions"] = self.text()
        return Asked("responses_compact", "/v1/responses/compact", body, "input")

    def items(self) -> list[Body]:
        found: list[Body] = []
        for number in range(self.random.randint(0, 6)):
            part = {"type": "input_text", "text": self.text()}
            found.append({"type": "message", "role": self.random.choice(("user", "developer")), "content": [part]})
            if self.is_so(0.3):
                thought = {"type": "reasoning_text", "text": self.text()}
                found.append({"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": [thought]})
            if self.is_so(0.4):
                arguments = f'{{"q": "{number}"}}'
                call = {"type": "function_call", "call_id": f"c{number}", "name": "look", "arguments": arguments}
                found += [call, {"type": "function_call_output", "call_id": f"c{number}", "output": self.text()}]
            found.append({"role": "assistant", "content": [{"type": "output_text", "text": self.text()}]})
        return [*found, {"role": "user", "content": self.text()}]

    def cursor(self) -> Asked:
        """The shape of a response, at the address of a chat."""
        asked = self.responses()
        return Asked("chat", "/v1/chat/completions", asked.body, "messages")

    def ollama_chat(self) -> Asked:
        found: list[Body] = [{"role": "system", "content": self.text()}] if self.is_so() else []
        for _ in range(self.random.randint(0, 6)):
            found.append({"role": "user", "content": self.text()})
            if self.is_so(0.4):
                calls = [{"function": {"name": "look", "arguments": {"q": self.talk.word()}}}]
                found.append({"role": "assistant", "content": "", "tool_calls": calls})
                found.append({"role": "tool", "tool_name": "look", "content": self.text()})
            thinking = {"thinking": self.text()} if self.is_so(0.3) else {}
            found.append({"role": "assistant", "content": self.text()} | thinking)
        body: Body = {"messages": [*found, {"role": "user", "content": self.text()}]}
        if self.is_so(0.3):
            body["tools"] = [{"type": "function", "function": self.function()}]
        return Asked("ollama_chat", "/api/chat", body | self.streamed() | self.options(), "messages")

    def ollama_generate(self) -> Asked:
        body = {"prompt": self.text()} | self.streamed() | self.options()
        if self.is_so(0.3):
            body |= {"raw": True} if self.is_so() else {"suffix": self.talk.word()}
        elif self.is_so():
            body["system"] = self.text()
        return Asked("ollama_generate", "/api/generate", body, "prompt")

    def ollama_embed(self) -> Asked:
        if self.is_so(0.3):
            return Asked("ollama_embed", "/api/embeddings", {"prompt": self.text()}, "prompt")
        texts = [self.text() for _ in range(self.random.randint(1, 4))]
        return Asked("ollama_embed", "/api/embed", {"input": self.random.choice((texts[0], texts))}, "input")

    def options(self) -> Body:
        """Another window is not for callers to choose."""
        found = self.output("num_predict") or ({"num_predict": self.random.choice((-1, -2))} if self.is_so() else {})
        return {"options": found | ({"num_ctx": 1_000_000} if self.is_so(0.3) else {})}


MAKES: dict[str, Callable[[Drawn], Asked]] = {
    "chat": Drawn.chat, "completions": Drawn.completions, "embeddings": Drawn.embeddings, "rerank": Drawn.rerank,
    "messages": Drawn.messages, "responses": Drawn.responses,
    "responses_compact": Drawn.compact, "cursor": Drawn.cursor,
    "ollama_chat": Drawn.ollama_chat, "ollama_generate": Drawn.ollama_generate, "ollama_embed": Drawn.ollama_embed,
}  # fmt: skip
"""By name of the dialect; one of them in two ways."""
IN_BATCHES = ["chat", "completions", "embeddings", "messages", "rerank", "responses"]
HARD: dict[str, Body] = {
    "chat": {"reasoning_effort": "high"},
    "responses": {"reasoning": {"effort": "high"}},
    "messages": {"thinking": {"type": "enabled", "budget_tokens": 40_000}, "max_tokens": 50_000},
    "ollama_chat": {"think": "high"},
}
"""With what each says that it is to be thought about."""
THINKING = sorted(HARD)
