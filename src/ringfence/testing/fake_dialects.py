"""What each engine really answers, as far as the gateway looks at it: descriptions, answers, events and errors."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

KINDS = ("llamacpp", "vllm", "ollama", "lmstudio")
CREATED_S = 1_790_000_000
DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class FakeModel:
    """One model of a fake engine. `window` is tokens; a fake counts words. `num_ctx` is what an Ollama's Modelfile
    says, `trained` what its model was trained for, `vram_bytes` what it holds on a GPU while it is loaded."""

    name: str = "fake-model"
    window: int = 4096
    num_ctx: int | None = None
    trained: int = 131_072
    embeds: bool = False
    ranks: bool = False
    remote_host: str | None = None
    is_loaded: bool = True
    vram_bytes: int = 0
    kv_blocks: int | None = None
    """Of a vLLM: blocks of 16 tokens that it can keep; None while it does not know yet."""
    hears: bool = False
    """Of a vLLM: it transcribes, and does nothing else."""
    sees: bool | None = None
    """None: it does not tell, as older versions."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The bodies of one kind of engine."""

    kind: str
    models: tuple[FakeModel, ...]
    slots: int
    words: tuple[str, ...] = field(repr=False)

    def description(self, path: str) -> Any:
        """The answer to a GET, or None for a path that this engine does not have."""
        return getattr(self, f"_{self.kind}_pages")().get(path.partition("?")[0])

    def told(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST that asks for no inference, or None for a path that this engine does not have."""
        route = (self.kind, path)
        if route == ("llamacpp", "/v1/chat/completions/input_tokens"):
            return {"input_tokens": words_in(body), "object": "response.input_tokens"}
        if route == ("llamacpp", "/apply-template"):
            return {"prompt": " ".join(json.dumps(m.get("content"), ensure_ascii=False) for m in body["messages"])}
        if route == ("llamacpp", "/tokenize"):
            return {"tokens": list(range(len(str(body["content"]).split())))}
        if route == ("vllm", "/tokenize"):
            count = words_in(body)
            return {"count": count, "max_model_len": self.models[0].window, "tokens": list(range(count))}
        return self._shown(body) if route == ("ollama", "/api/show") else None

    def lacking(self, path: str) -> int:
        """The status of a POST to which there is no answer."""
        if path != "/v1/rerank":
            return 404
        if any(model.ranks for model in self.models):
            return 400
        return 501 if self.kind == "llamacpp" else 404

    def _shown(self, body: dict[str, Any]) -> Any:
        model = self.find(body.get("model"))
        if model is None:
            return None
        parameters = f"num_ctx                        {model.num_ctx}\n" if model.num_ctx else ""
        facts = {"general.architecture": "llama", "llama.context_length": model.trained}
        return {"parameters": parameters + 'stop    "<|im_end|>"', "model_info": facts}

    def find(self, name: Any) -> FakeModel | None:
        """llama.cpp serves the one it has, whatever it is called."""
        if self.kind == "llamacpp":
            return self.models[0]
        return next((model for model in self.models if model.name == name), None)

    # -- descriptions ---------------------------------------------------------------------------------------------

    def _listed(self, owner: str, **more: Any) -> dict[str, Any]:
        data = [{"id": m.name, "object": "model", "created": CREATED_S, "owned_by": owner, **more} for m in self.models]
        return {"object": "list", "data": data}

    def _llamacpp_pages(self) -> dict[str, Any]:
        model = self.models[0]
        props = {
            "default_generation_settings": {"params": {"n_predict": -1}, "n_ctx": model.window},
            "total_slots": self.slots,
            "model_alias": model.name,
            "model_path": f"/models/{model.name}.gguf",
            "is_sleeping": False,
            **({} if model.sees is None else {"modalities": {"vision": model.sees, "audio": False}}),
        }
        slots = [{"id": number, "n_ctx": model.window, "is_processing": False} for number in range(self.slots)]
        listed = self._listed("llamacpp", meta={"n_ctx": model.window, "n_ctx_train": model.window * 2})
        return {"/health": {"status": "ok"}, "/props": props, "/slots": slots, "/v1/models": listed}

    def _vllm_pages(self) -> dict[str, Any]:
        listed = self._listed("vllm", root="/models", parent=None, max_model_len=self.models[0].window)
        model = self.models[0]
        routes = (
            ["/v1/audio/transcriptions", "/v1/audio/translations"]
            if model.hears
            else ["/v1/rerank", "/v2/rerank"]
            if model.ranks
            else ["/v1/embeddings"]
            if model.embeds
            else ["/v1/chat/completions", "/v1/completions"]
        )
        return {
            "/health": {},
            "/version": {"version": "0.33.0"},
            "/v1/models": listed,
            "/metrics": kept_page(self.models[0].kv_blocks),
            "/openapi.json": {"openapi": "3.1.0", "paths": {route: {} for route in routes}},
        }

    def _ollama_pages(self) -> dict[str, Any]:
        tags: list[dict[str, Any]] = []
        for model in self.models:
            family = "nomic-bert" if model.embeds else "llama"
            tag: dict[str, Any] = {"name": model.name, "model": model.name, "size": 1, "details": {"family": family}}
            if model.remote_host:
                tag |= {"remote_host": model.remote_host, "remote_model": model.name}
            if model.sees is not None:
                tag["capabilities"] = ["completion", "vision"] if model.sees else ["completion"]
            tags.append(tag)
        running = [
            {"name": m.name, "model": m.name, "size_vram": m.vram_bytes, "context_length": m.window}
            for m in self.models
            if m.is_loaded and not m.remote_host
        ]
        return {
            "/api/version": {"version": "0.33.0"},
            "/api/status": {"cloud": {"disabled": True, "source": "env"}},
            "/api/tags": {"models": tags},
            "/api/ps": {"models": running},
            "/v1/models": self._listed("library"),
        }

    def _lmstudio_pages(self) -> dict[str, Any]:
        data: list[dict[str, Any]] = []
        for model in self.models:
            entry = {
                "id": model.name,
                "object": "model",
                "type": "embeddings" if model.embeds else "llm",
                "state": "loaded" if model.is_loaded else "not-loaded",
                "max_context_length": model.window * 4,
            }
            data.append(entry | ({"loaded_context_length": model.window} if model.is_loaded else {}))
        return {"/api/v0/models": {"object": "list", "data": data}, "/v1/models": self._listed("organization_owner")}

    # -- answers --------------------------------------------------------------------------------------------------

    def answer(self, route: str, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to a chat, a completion or a request for embeddings."""
        if route == "embeddings":
            return self._embeddings(model, body)
        if route == "rerank":
            return self._ranking(model, body)
        text = "".join(self._spoken(body))
        said = {"text": text} if route == "completions" else {"message": {"role": "assistant", "content": text}}
        return {
            **self._frame("text_completion" if route == "completions" else "chat.completion", model),
            "choices": [{"index": 0, "finish_reason": self._finish(body), **said}],
            "usage": self._usage(route, model, body),
        }

    def events(self, route: str, model: FakeModel, body: dict[str, Any]) -> Iterator[bytes]:
        """The events of a stream, each ending in an empty line, as this engine sends them."""
        is_chat = route != "completions"
        frame = self._frame("chat.completion.chunk" if is_chat else "text_completion", model)
        if is_chat and self.kind in ("llamacpp", "vllm"):
            opening = None if self.kind == "llamacpp" else ""
            yield _event(frame, {"delta": {"role": "assistant", "content": opening}})
        for word in self._spoken(body):
            role = {"role": "assistant"} if self.kind in ("ollama", "lmstudio") else {}
            yield _event(frame, {"delta": {**role, "content": word}} if is_chat else {"text": word})
        closing = {"delta": {}} if is_chat else {"text": ""}
        yield _event(frame, closing, self._finish(body))
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            yield _data({**frame, "choices": [], "usage": self._usage(route, model, body)})
        yield b"data: [DONE]\n\n"

    def _frame(self, kind: str, model: FakeModel) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": CREATED_S, "model": model.name}

    def _spoken(self, body: dict[str, Any]) -> tuple[str, ...]:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        return self.words[:limit] if isinstance(limit, int) else self.words

    def _finish(self, body: dict[str, Any]) -> str:
        return "length" if len(self._spoken(body)) < len(self.words) else "stop"

    def _usage(self, route: str, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        prompt = words_in(body)
        if self.kind == "ollama":
            prompt = min(prompt, model.window)  # it has cut the rest away, without a word
        spoken = 0 if route in ("embeddings", "rerank") else len(self._spoken(body))
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": spoken, "total_tokens": prompt + spoken}
        return usage | ({"prompt_tokens_details": {"cached_tokens": 0}} if self.kind == "llamacpp" else {})

    def _embeddings(self, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("input")
        texts = given if isinstance(given, list) else [given]
        encode = _packed if body.get("encoding_format") == "base64" else list
        data = [
            {"object": "embedding", "index": number, "embedding": encode(_vector(str(text)))}
            for number, text in enumerate(texts)
        ]
        return {"object": "list", "model": model.name, "data": data, "usage": self._usage("embeddings", model, body)}

    def _ranking(self, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        """By how many words of the query a document has. vLLM puts the documents into its answer, asked or not; an
        older llama.cpp neither sorts nor cuts."""
        query, documents = set(str(body["query"]).lower().split()), body["documents"]
        rows: list[dict[str, Any]] = [
            {"index": place, "relevance_score": len(query & set(text.lower().split())) / len(query)}
            for place, text in enumerate(documents)
        ]
        usage = self._usage("rerank", model, body)
        if self.kind != "vllm":
            told = {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["total_tokens"]}
            return {"model": model.name, "object": "list", "usage": told, "results": rows}
        rows = sorted(rows, key=lambda row: -row["relevance_score"])[: body.get("top_n") or None]
        rows = [{"index": row["index"], "document": {"text": documents[row["index"]]}, **row} for row in rows]
        return {
            "id": "rerank-1", "model": model.name, "usage": {"total_tokens": usage["total_tokens"]}, "results": rows,
        }  # fmt: skip

    # -- errors ---------------------------------------------------------------------------------------------------

    def refusal(self, model: FakeModel | None, body: dict[str, Any]) -> tuple[int, Any] | None:
        """(status, body) when this engine would not take the request."""
        if model is None:
            said = f"model '{body.get('model')}' not found"
            return 404, {"error": {"message": said, "type": "NotFoundError", "param": "model", "code": 404}}
        tokens = longest_pair(body) if "documents" in body and "query" in body else words_in(body)
        if tokens <= model.window or self.kind == "ollama":
            return None
        return 400, self._too_long(tokens, model.window)

    def _too_long(self, tokens: int, window: int) -> Any:
        if self.kind == "llamacpp":
            said = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
            numbers = {"n_prompt_tokens": tokens, "n_ctx": window}
            return {"error": {"code": 400, "message": said, "type": "exceed_context_size_error", **numbers}}
        if self.kind == "vllm":
            said = (
                f"This model's maximum context length is {window} tokens. However, your prompt contains {tokens} input "
                "tokens, which exceeds this limit even without any output tokens."
            )
            return {"error": {"message": said, "type": "BadRequestError", "param": "input_tokens", "code": 400}}
        return {
            "error": f"Trying to keep the first {tokens} tokens when context the overflows. However, the model is "
            f"loaded with context length of only {window} tokens, which is not enough."
        }


def kept_page(kv_blocks: int | None) -> str:
    """The metrics of a vLLM, as far as they tell of its cache."""
    return (
        "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
        "# TYPE vllm:cache_config_info gauge\n"
        'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",gpu_memory_utilization="0.9",'
        f'mamba_block_size="None",num_cpu_blocks="None",num_gpu_blocks="{kv_blocks}",'
        'num_gpu_blocks_override="None",sliding_window="None"} 1.0\n'
    )


def words_in(body: dict[str, Any]) -> int:
    """A fake's tokens: the words of everything that is asked."""
    asked = [body.get("prompt"), body.get("input"), body.get("query"), body.get("documents")]
    messages = body.get("messages")
    if isinstance(messages, list):
        asked += [message.get("content") for message in messages if isinstance(message, dict)]
    return sum(len(json.dumps(part, ensure_ascii=False).split()) for part in asked if part)


def longest_pair(body: dict[str, Any]) -> int:
    """The words of the query and of the longest document: each pair has the window for itself."""
    return len(str(body["query"]).split()) + max(len(str(text).split()) for text in body["documents"])


def _event(frame: dict[str, Any], choice: dict[str, Any], finish: str | None = None) -> bytes:
    return _data({**frame, "choices": [{"index": 0, **choice, "finish_reason": finish}]})


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _vector(text: str) -> tuple[float, ...]:
    return tuple(((len(text) * 31 + sum(text.encode()) * (place + 1)) % 97) / 97 for place in range(DIMENSIONS))


def _packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
