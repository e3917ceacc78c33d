"""What a caller can say in Ollama's own words, or of documents to rank, so that its text goes further than it may."""

from __future__ import annotations

from typing import Any

from ringfence.prove.house import House
from ringfence.prove.temptations import CLOUD_MODEL
from ringfence.prove.way import Tried, Way

ORDER = 2
FEW: dict[str, Any] = {"num_predict": 16}


async def _chatted(house: House, text: str) -> Tried:
    """As a stream and in one piece."""
    messages = [{"role": "user", "content": text}]
    asked: dict[str, Any] = {"model": f"{CLOUD_MODEL}:latest", "messages": messages, "options": FEW}
    streamed = await house.ask("/api/chat", asked)
    whole = await house.ask("/api/chat", {**asked, "stream": False})
    return Tried.by(whole, is_tried=streamed.is_decided)


async def _generated(house: House, text: str) -> Tried:
    asked: dict[str, Any] = {"model": CLOUD_MODEL, "prompt": text, "options": FEW, "stream": False}
    raw = await house.ask("/api/generate", {**asked, "raw": True})
    return Tried.by(await house.ask("/api/generate", asked), is_tried=raw.is_decided)


async def _embedded(house: House, text: str) -> Tried:
    older = await house.ask("/api/embeddings", {"model": CLOUD_MODEL, "prompt": text})
    return Tried.by(await house.ask("/api/embed", {"model": CLOUD_MODEL, "input": text}), is_tried=older.is_decided)


async def _pulled(house: House, text: str) -> Tried:
    """What Ollama would do on the way to its library: the text is in the name of a model."""
    answers = [await house.ask(path, {"model": text}) for path in ("/api/pull", "/api/push", "/api/create")]
    shown = await house.ask("/api/show", {"model": text})
    return Tried(", ".join(said.in_words for said in (*answers, shown)), all(said.status == 403 for said in answers))


async def _ranked(house: House, text: str) -> Tried:
    """No rented model ranks: it is refused, also where clouds are allowed."""
    return Tried.by(await house.ask("/v1/rerank", {"model": CLOUD_MODEL, "query": text, "documents": [text]}))


WAYS = (
    Way("ollama-chat", "asks a rented model by Ollama's chat", _chatted, ("dialect ollama_chat",), reaches=True),
    Way(
        "ollama-generate", "asks a rented model by Ollama's generate", _generated, ("dialect ollama_generate",),
        reaches=True,
    ),
    Way("ollama-embed", "asks a rented model by Ollama's embed", _embedded, ("dialect ollama_embed",)),
    Way("ollama-pull", "has a model pulled whose name is the text", _pulled, stays=True),
    Way("rerank", "has a rented model rank documents", _ranked, ("dialect rerank",), stays=True),
)  # fmt: skip
