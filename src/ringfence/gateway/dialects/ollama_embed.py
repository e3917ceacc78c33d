"""POST /api/embed, and the older POST /api/embeddings with one `prompt`."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, cast

import orjson

from ringfence.gateway.dialects import embeddings
from ringfence.gateway.dialects.dialect import Body, Dialect, wrong
from ringfence.gateway.dialects.ollama_told import LINES_HEAD, InOllama, check_keep_alive, flag, steering
from ringfence.gateway.head import Head
from ringfence.gateway.route import Foreign, Heard


class OllamaEmbed(InOllama, Foreign):
    name = "ollama_embed"
    paths = ("/api/embed", "/api/embeddings")
    goes_as: Dialect = embeddings.DIALECT

    def heard(self, body: Body, head: Head) -> Heard:
        """A text that is too long is refused, whatever `truncate` says: the vector would be that of another text."""
        flag(body, "truncate", True)
        check_keep_alive(body, is_bare=False)
        is_older = "input" not in body
        given = body.get("prompt" if is_older else "input")
        texts = cast("list[Any]", given if isinstance(given, list) and not is_older else [given])
        if not texts or not all(isinstance(one, str) for one in texts):
            raise wrong("prompt" if "prompt" in body else "input", "a text or a list of texts, not empty")
        asked = {**steering(body), "model": body["model"], "input": texts, "encoding_format": "float"}
        if body.get("dimensions") is not None:
            asked["dimensions"] = body["dimensions"]
        said_in = "prompt" if is_older else "" if isinstance(given, list) else "input"
        return Heard(asked, EmbedVoice(body["model"], is_older=is_older), said_in=said_in)


class EmbedVoice:
    """Tells vectors, all or the one."""

    stream_head = LINES_HEAD

    def __init__(self, model: str, *, is_older: bool) -> None:
        self._model = model
        self._is_older = is_older
        self._began_ns = monotonic_ns()

    def answer(self, body: bytes) -> bytes:
        told: Body = orjson.loads(body)
        rows = sorted(cast("list[Body]", told["data"]), key=lambda row: row.get("index", 0))
        vectors = [row["embedding"] for row in rows]
        if self._is_older:
            return orjson.dumps({"embedding": vectors[0] if vectors else []})
        usage: Body = told.get("usage") or {}
        return orjson.dumps({
            "model": self._model, "embeddings": vectors, "total_duration": monotonic_ns() - self._began_ns,
            "load_duration": 0, "prompt_eval_count": usage.get("prompt_tokens", 0),
        })  # fmt: skip

    def feed(self, data: bytes) -> bytes:
        """Nothing here is streamed."""
        return b""

    def end(self) -> bytes:
        return b""


DIALECT = OllamaEmbed()
