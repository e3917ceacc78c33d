"""A made-up status of a busy gateway: two models, three engines, four devices, forty requests."""

from __future__ import annotations

from typing import Any

GIB = 1024**3
MIB = 1024**2
TARGETS = ("llamacpp/qwen3-8b", "ollama-11434/nomic-embed-text")
ADOPTED = ("vllm-8000", "ollama-11434")
FENCE_IT = "`ringfence service install --engine UNIT` keeps its unit in."
SILENT = "not reachable; asked again in 12 s"


def sample_status(now_s: float) -> dict[str, Any]:
    """Everything that `View.status` returns, with every kind of thing in it at least once."""
    return {
        "version": "0.1.0",
        "base_url": "http://127.0.0.1:7464/v1",
        "started_s": now_s - 93_784,
        "pid": 4242,
        "ready": True,
        "uptime_s": 93_784.0,
        "money": {"zone": "UTC", "can_write": True, "above_held": [], "caps": [_cap(now_s)]},
        "models": _models(),
        "offered": ["auto", "local/long"],
        "instances": _instances(),
        "left_out": [{"name": "lmstudio-1234", "engine": "LM Studio", "reason": "no model is loaded; load one in it"}],
        "devices": _devices(),
        "requests": {
            "running": 3,
            "waiting": 1,
            "waiting_by_class": {"user": 0, "agent": 0, "background": 1},
            "total": 18_204,
            "errors": 7,
            "per_minute": 42.5,
            "prompt_tokens": 9_204_113,
            "completion_tokens": 2_914_007,
        },
        "recent": [_request(now_s, place) for place in range(40)],
        "cloud_keys": ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"],
        "handed_to_egress": {},
        "parking": {"waiting": 4, "most": 1000, "problem": ""},
        "isolation": [
            sample_process("gateway", "held", "an attempt to reach 192.0.2.7:443 failed: no answer in 2 s"),
            sample_process("qwen3-8b", "held", "it runs within the gateway's wall"),
            sample_process("egress", "way out", "it is the way out", reach="2 providers"),
            *(sample_process(name, "unknown", "Ringfence did not start it", FENCE_IT, "unknown") for name in ADOPTED),
        ],
    }


def sample_process(name: str, wall: str, reason: str, mend: str = "", reach: str = "this machine") -> dict[str, Any]:
    """One row of `isolation`."""
    return {"process": name, "may_reach": reach, "wall": wall, "reason": reason, "mend": mend}


def _cap(now_s: float) -> dict[str, Any]:
    return {
        "scope": "house", "name": "", "period": "month", "limit": 100_000_000, "spent": 84_250_000, "held": 120_000,
        "soft_percent": 80, "start_s": now_s - 2_000_000, "end_s": now_s + 600_000, "projected": 109_525_000,
        "is_soft": True, "is_ahead": False,
    }  # fmt: skip


def _models() -> list[dict[str, Any]]:
    return [
        {
            "name": "qwen3-8b",
            "aliases": ["local/fast", "auto"],
            "abilities": ["chat", "completions"],
            "window": 32_768,
            "owner": "ringfence",
            "targets": [
                _target(TARGETS[0], "llama.cpp", 32_768, 4, running=3, waiting=1),
                _target("vllm-8000/Qwen/Qwen3-8B", "vLLM", 40_960, 16, failures=3, reason="connect", set_aside_s=4.0),
            ],
        },
        {
            "name": "nomic-embed-text",
            "aliases": [],
            "abilities": ["embeddings"],
            "window": 2_048,
            "owner": "ollama",
            "targets": [_target(TARGETS[1], "Ollama", 2_048, 4)],
        },
    ]


def _target(
    name: str, engine: str, window: int, slots: int, *, reason: str = "", set_aside_s: float | None = None, **load: int
) -> dict[str, Any]:
    busy = {"running": 0, "waiting": 0, "failures": 0} | load
    return {
        "name": name,
        "engine": engine,
        "provider": "",
        "host": "",
        "boundary": "HOST",
        "window": window,
        "slots": slots,
        "reason": reason,
        "set_aside_s": set_aside_s,
        **busy,
    }


def _instances() -> list[dict[str, Any]]:
    adopted = {"kind": "adopted", "since_s": 3_700.0, "pid": None, "restarts": 0, "in_use": 0}
    unread = {"window": None, "slots": None, "rss_bytes": None, "cpu_percent": None, "reason": ""}
    usual = adopted | unread
    process = {
        "kind": "supervised",
        "pid": 4250,
        "restarts": 1,
        "rss_bytes": 6 * GIB,
        "cpu_percent": 213.0,
        "in_use": 3,
    }
    ours = {
        "name": "qwen3-8b",
        "engine": "llama.cpp",
        "model": "Qwen3-8B-Q4_K_M.gguf",
        "state": "ready",
        "port": 40_211,
    }
    vllm = {"name": "vllm-8000", "engine": "vLLM", "model": "Qwen/Qwen3-8B", "state": "backing_off", "port": 8_000}
    ollama = {"name": "ollama-11434", "engine": "Ollama", "model": "nomic-embed-text", "state": "ready", "port": 11_434}
    return [
        {**usual, **process, **ours, "window": 32_768, "slots": 4},
        {**usual, **vllm, "reason": SILENT},
        {**usual, **ollama, "window": 2_048, "slots": 4},
    ]


def _devices() -> list[dict[str, Any]]:
    ram = {"total_bytes": 64 * GIB, "free_bytes": 41 * GIB, "load_percent": 31.0, "others_bytes": 16 * GIB}
    gpu = {"total_bytes": 24 * GIB, "free_bytes": 5 * GIB, "load_percent": 88.0, "others_bytes": 900 * MIB}
    second = {"total_bytes": 12 * GIB, "free_bytes": 3 * GIB + 512 * MIB, "load_percent": 12.0, "others_bytes": 2 * GIB}
    said = {"total_bytes": 16 * GIB, "free_bytes": 15 * GIB, "load_percent": None, "others_bytes": 0}
    well = {"temperature_c": None, "out_of_service": ""}
    return [
        {"id": "cpu", "name": "AMD Ryzen 9 7950X", "kind": "ram", **ram, **well},
        {"id": "GPU-4090", "name": "NVIDIA GeForce RTX 4090", "kind": "gpu", **gpu, **well, "temperature_c": 71},
        {"id": "GPU-3060", "name": "NVIDIA GeForce RTX 3060", "kind": "gpu", **second, **well, "temperature_c": 54},
        {"id": "sim0", "name": "Simulated 16 GiB", "kind": "gpu", **said, **well},
    ]


def sample_holders() -> dict[str, list[dict[str, Any]]]:
    """Who holds what, by device: it adds up to what `sample_status` says."""
    expected = {"predicted_bytes": 17 * GIB, "observed_bytes": 18 * GIB + 124 * MIB, "loads": 3, "basis": "observed"}
    bars = {"bytes": 18 * GIB + 124 * MIB, "low_bytes": 18 * GIB, "high_bytes": 18 * GIB + 124 * MIB}
    swapped = {"predicted_bytes": 7 * GIB, "observed_bytes": 6 * GIB + 512 * MIB, "loads": 12, "basis": "observed"}
    swapped |= {"bytes": 6 * GIB + 512 * MIB, "low_bytes": 6 * GIB, "high_bytes": 6 * GIB + 512 * MIB}
    untried = {"predicted_bytes": 3 * GIB, "observed_bytes": None, "loads": 0, "basis": "predicted"}
    untried |= {"bytes": 3 * GIB, "low_bytes": 2 * GIB, "high_bytes": 4 * GIB}
    nobody = {"kind": "unnamed", "name": "", "pid": None, "footprint": None}
    ours = {"kind": "instance", "name": "qwen3-8b", "pid": None}
    return {
        "cpu": [
            {**ours, "held_bytes": 7 * GIB, "footprint": None},
            {**nobody, "held_bytes": 16 * GIB},
        ],
        "GPU-4090": [
            {**ours, "held_bytes": 18 * GIB + 124 * MIB, "footprint": expected | bars},
            {"kind": "program", "name": "ComfyUI", "pid": 812, "held_bytes": 600 * MIB, "footprint": None},
            {"kind": "program", "name": "Xorg", "pid": 99, "held_bytes": None, "footprint": None},
            {**nobody, "held_bytes": 300 * MIB},
        ],
        "GPU-3060": [
            {**ours, "name": "qwen3-14b", "held_bytes": 6 * GIB + 512 * MIB, "footprint": swapped},
            {"kind": "program", "name": "ComfyUI", "pid": 813, "held_bytes": 2 * GIB, "footprint": None},
        ],
        "sim0": [{**ours, "name": "coder-80b", "held_bytes": GIB, "footprint": untried}],
    }


def _request(now_s: float, place: int) -> dict[str, Any]:
    failed, left = place % 13 == 5, place % 17 == 8
    outcome = "engine_failed" if failed else "client_gone" if left else "ok"
    return {
        "id": f"req-{place}",
        "at_s": now_s - 7 * place,
        "model": "nomic-embed-text" if place % 5 == 3 else "qwen3-8b",
        "target": "" if failed else "ollama-11434/nomic-embed-text" if place % 5 == 3 else "llamacpp/qwen3-8b",
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
        "fitting": None if failed else FITTINGS.get(place, _fitting("fit")),
    }


def _fitting(
    state: str,
    before: int = 0,
    after: int = 0,
    dropped: int = 0,
    output: tuple[int, int] | None = None,
    **shortened: int,
) -> dict[str, Any]:
    """What was done to one request so that it fits its window."""
    asked, sent = output or (None, 4096)
    return {
        "state": state,
        "before": before,
        "after": after,
        "dropped": dropped,
        "shortened": shortened,
        "asked": asked,
        "output": sent,
    }


FITTINGS = {
    1: _fitting("truncated", 61_204, 27_912, 14, tool_result=3, document=1),
    2: _fitting("clamped", output=(32_000, 19_660)),
    4: _fitting("compressed", 41_310, 28_160, tool_result=1),
}
