"""Who answers: engines and clouds as they are asked in HTTP/1.1, without any socket. They do wrong when told to."""

from __future__ import annotations

import json
from typing import Any

from house import Engine

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "base"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def whole_request(data: bytes) -> tuple[str, str, bytes, bytes] | None:
    """Method, path, head and body of the one request that `data` is; None when it is not whole yet."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    size = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    if len(body) < size:
        return None
    method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
    return method, path, head, body


def is_look(engine: Engine | None, method: str, path: str, raw: bytes) -> bool:
    """A page of an engine; or, of an Ollama, what it says of one model, with the name of that model and no more; or
    whether it ranks, with no text at all."""
    if path == "/v1/rerank":
        return raw == b'{"query":""}'
    if method == "GET" or engine is None or path != "/api/show":
        return method == "GET"
    return raw in [json.dumps({"model": name}, separators=(",", ":")).encode() for name in engine.models]


def page(engine: Engine, path: str) -> Any:
    """What an engine says of itself; None for a page that it does not have."""
    listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in engine.models]}
    path = path.partition("?")[0]
    pages: dict[str, Any] = {"/v1/models": listed}
    if engine.kind == "vllm":
        listed["data"] = [{"id": name, "owned_by": "vllm", "max_model_len": 4096} for name in engine.models]  # type: ignore[assignment]
    elif engine.kind == "llamacpp":
        pages["/props"] = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4}
    elif engine.kind == "router":
        pages["/props"] = {"default_generation_settings": {}, "role": "router"}
        listed["data"] = [  # type: ignore[assignment]
            {"id": "here", "status": {"value": "unloaded", "args": ["--rpc", "127.0.0.1:50052"]}},
            {"id": "spread", "status": {"value": "unloaded", "args": ["--rpc", "127.0.0.1:50052,8.8.8.8:50052"]}},
        ]
    elif engine.kind == "lmstudio":
        rows = [{"id": name, "type": "llm", "state": "not-loaded"} for name in engine.models]
        pages["/api/v0/models"] = {"object": "list", "data": rows}
    elif engine.kind == "ollama":
        pages |= _ollama_pages(engine)
    return pages.get(path)


def _ollama_pages(engine: Engine) -> dict[str, Any]:
    tags: list[dict[str, Any]] = []
    for name in engine.models:
        family = "nomic-bert" if "embed" in name else "llama"
        tags.append({"name": name, "model": name, "details": {"family": family}})
        if name == "stand-in":
            tags[-1] |= {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}
    pages: dict[str, Any] = {
        "/api/version": {"version": "0.11.4" if engine.cloud == "old" else "0.17.0"},
        "/api/tags": {"models": tags},
        "/api/ps": {"models": []},
    }
    if engine.cloud in ("on", "off"):
        pages["/api/status"] = {"cloud": {"disabled": engine.cloud == "off", "source": "env"}}
    return pages


def framed(status: int, body: bytes, *lines: str, kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status} Some", f"content-type: {kind}", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def listing(engine: Engine | None, path: str) -> bytes:
    """The answer to one who looks."""
    found = page(engine, path) if engine is not None else None
    return framed(404, b'{"error":"no"}') if found is None else framed(200, json.dumps(found).encode())


def answer(path: str, body: dict[str, Any]) -> bytes:
    """A good answer, whole or as events, in the dialect in which was asked."""
    if path.endswith("/messages"):
        return _message(body)
    if path.endswith(("/api/chat", "/api/generate", "/api/embed")):
        return _of_ollama(path, body)
    if path.endswith("/embeddings"):
        rows = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        said: dict[str, Any] = {"object": "list", "model": "base", "data": rows, "usage": USAGE}
        return framed(200, json.dumps(said).encode())
    is_chat = "chat" in path
    if body.get("stream"):
        delta = {"delta": {"role": "assistant", "content": "hi"}} if is_chat else {"text": "hi"}
        chunk = CHUNK | {"choices": [{"index": 0, "finish_reason": "stop", **delta}], "usage": USAGE}
        return framed(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), kind="text/event-stream")
    text: dict[str, Any] = {"message": {"role": "assistant", "content": "hi"}} if is_chat else {"text": "hi"}
    choice = {"index": 0, "finish_reason": "stop", **text}
    kind = "chat.completion" if is_chat else "text_completion"
    whole = {"id": "c", "object": kind, "created": 1, "model": "base", "choices": [choice], "usage": USAGE}
    return framed(200, json.dumps(whole, separators=(",", ":")).encode())


def _of_ollama(path: str, body: dict[str, Any]) -> bytes:
    counts = {"prompt_eval_count": 1, "eval_count": 1}
    if path.endswith("/api/embed"):
        return framed(200, json.dumps({"model": "base", "embeddings": [[0.5, 0.25]], **counts}).encode())
    said: dict[str, Any] = {"message": {"role": "assistant", "content": "hi"}} if "chat" in path else {"response": "hi"}
    done = {"model": "base", "done": True, "done_reason": "stop", **counts}
    if not body["stream"]:
        return framed(200, json.dumps(done | said).encode())
    lines = json.dumps({"model": "base", "done": False, **said}) + "\n" + json.dumps(done) + "\n"
    return framed(200, lines.encode(), kind="application/x-ndjson")


def _message(body: dict[str, Any]) -> bytes:
    frame = {"id": "m", "type": "message", "role": "assistant", "model": "far-large", "stop_reason": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    if not body.get("stream"):
        said = frame | {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage}
        return framed(200, json.dumps(said).encode())
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": frame | {"content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    lines = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return framed(200, lines.encode(), kind="text/event-stream")


def wronged(trouble: str, path: str, body: dict[str, Any]) -> tuple[bytes, bool]:
    """What is sent under this trouble, and whether the connection is closed after it. Nothing and open: never."""
    if trouble.startswith("status"):
        return framed(int(trouble.split()[1]), b'{"error":{"message":"not now","type":"x","code":"y"}}'), False
    if trouble in ("redirect", "redirect_here"):
        host = "http://8.8.8.8:80" if trouble == "redirect" else "http://127.0.0.1:8007"
        return framed(307, b"", f"location: {host}{path}"), False
    if trouble == "cut":
        return answer(path, body)[:-9], True
    if trouble == "malformed":
        return b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a": [} ', False
    if trouble == "hang_up":
        return b"", True
    if trouble == "slow":
        return b"", False
    return answer(path, body), trouble == "stale"
