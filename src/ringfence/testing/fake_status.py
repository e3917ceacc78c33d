"""A made-up status of a busy gateway: two models, three engines, two devices, forty requests."""

from __future__ import annotations

from typing import Any

GIB = 1024**3
MIB = 1024**2


def sample_status(now_s: float) -> dict[str, Any]:
    """Everything that `View.status` returns, with every kind of thing in it at least once."""
    return {
        "version": "0.1.0",
        "base_url": "http://127.0.0.1:7464/v1",
        "started_s": now_s - 93_784,
        "pid": 4242,
        "ready": True,
        "uptime_s": 93_784.0,
        "models": _models(),
        "instances": _instances(now_s),
        "left_out": [
            {"name": "lmstudio-1234", "engine": "LM Studio", "reason": "has no model loaded; load one in LM Studio"}
        ],
        "devices": _devices(),
        "requests": {
            "running": 3,
            "waiting": 1,
            "total": 18_204,
            "errors": 7,
            "per_minute": 42.5,
            "prompt_tokens": 9_204_113,
            "completion_tokens": 2_914_007,
        },
        "recent": [_request(now_s, place) for place in range(40)],
        "cloud_keys": ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"],
    }


def _models() -> list[dict[str, Any]]:
    chat = ["chat", "completions"]
    return [
        {
            "name": "qwen3-8b",
            "aliases": ["local/fast", "auto"],
            "abilities": chat,
            "window": 32_768,
            "owner": "ringfence",
            "targets": [
                _target("llamacpp-qwen3/qwen3-8b-q4_k_m", "llama.cpp", 32_768, 4, running=3, waiting=1),
                _target(
                    "vllm-8000/Qwen/Qwen3-8B",
                    "vLLM",
                    40_960,
                    16,
                    failures=3,
                    reason="not reachable; asked again in 12 s",
                ),
            ],
        },
        {
            "name": "nomic-embed-text",
            "aliases": [],
            "abilities": ["embeddings"],
            "window": 2_048,
            "owner": "ollama",
            "targets": [_target("ollama-11434/nomic-embed-text", "Ollama", 2_048, 4)],
        },
    ]


def _target(
    name: str,
    engine: str,
    window: int,
    slots: int,
    *,
    running: int = 0,
    waiting: int = 0,
    failures: int = 0,
    reason: str = "",
) -> dict[str, Any]:
    busy = {"running": running, "waiting": waiting, "failures": failures, "reason": reason}
    return {"name": name, "engine": engine, "boundary": "HOST", "window": window, "slots": slots, **busy}


def _instances(now_s: float) -> list[dict[str, Any]]:
    def instance(name: str, engine: str, model: str, kind: str, state: str, port: int, **more: Any) -> dict[str, Any]:
        usual = {
            "pid": None,
            "restarts": 0,
            "window": None,
            "slots": None,
            "in_use": 0,
            "rss_bytes": None,
            "cpu_percent": None,
        }
        named = {"name": name, "engine": engine, "model": model, "kind": kind, "state": state, "port": port}
        return {**named, "since_s": now_s - 3_700, **usual, "reason": "", **more}

    process = {"pid": 4250, "rss_bytes": 6 * GIB, "cpu_percent": 213.0, "window": 32_768, "slots": 4, "in_use": 3}
    return [
        instance("llamacpp-qwen3", "llama.cpp", "qwen3-8b", "supervised", "ready", 40_211, restarts=1, **process),
        instance(
            "vllm-8000",
            "vLLM",
            "Qwen/Qwen3-8B",
            "adopted",
            "backing_off",
            8_000,
            reason="not reachable; asked again in 12 s",
        ),
        instance("ollama-11434", "Ollama", "nomic-embed-text", "adopted", "ready", 11_434, window=2_048, slots=4),
    ]


def _devices() -> list[dict[str, Any]]:
    ram = {"total_bytes": 64 * GIB, "free_bytes": 41 * GIB, "load_percent": 31.0, "others_bytes": 16 * GIB}
    gpu = {"total_bytes": 24 * GIB, "free_bytes": 5 * GIB, "load_percent": 88.0, "others_bytes": 900 * MIB}
    return [
        {"name": "AMD Ryzen 9 7950X", "kind": "ram", **ram},
        {"name": "NVIDIA GeForce RTX 4090", "kind": "gpu", **gpu},
    ]


def _request(now_s: float, place: int) -> dict[str, Any]:
    failed, left = place % 13 == 5, place % 17 == 8
    outcome = "engine_failed" if failed else "client_left" if left else "ok"
    return {
        "id": f"req-{place}",
        "at_s": now_s - 7 * place,
        "model": "nomic-embed-text" if place % 5 == 3 else "qwen3-8b",
        "target": ""
        if failed
        else "ollama-11434/nomic-embed-text"
        if place % 5 == 3
        else "llamacpp-qwen3/qwen3-8b-q4_k_m",
        "rule": "name",
        "dialect": "embeddings" if place % 5 == 3 else "chat",
        "status": 502 if failed else 200,
        "outcome": outcome,
        "stream": place % 5 != 3,
        "first_byte_ms": None if failed else 38.0 + 11 * (place % 7),
        "total_ms": 4_210.0 - 90 * place if place % 5 != 3 else 8.4,
        "prompt_tokens": None if failed else 812 + 31 * place,
        "completion_tokens": None if failed else 240 - 5 * place if place % 5 != 3 else 0,
        "key": "laptop" if place % 3 else "open-webui",
    }
