"""Made-up answers of `View.explain`, for the targets of `sample_status`: one where rules choose, one without them."""

from __future__ import annotations

from typing import Any

from ringfence.testing.fake_status import TARGETS

RENTED = "groq/llama-3.3-70b"
OTHER = "vllm-8000/Qwen/Qwen3-8B"


def sample_window(**told: Any) -> dict[str, Any]:
    """What the window does: nothing, unless it is told otherwise."""
    return {
        "target": TARGETS[0], "window": 32_768, "overlong": "shrink", "asked": None, "max_tokens": 4_096,
        "shares": {"input": 28_160, "output": 4_096, "least_output": 256, "reserve": 512},
        "bound": 1_912, "estimate": 1_204, "by": "bound", "error": "",
        "state": "fit", "before": 0, "after": 0, "dropped": 0, "shortened": {},
    } | told  # fmt: skip


def sample_chain() -> list[dict[str, Any]]:
    """One that does not answer, and one that is ready: as `sample_status` has them."""
    here = {"provider": "", "host": "", "boundary": "HOST"}
    return [
        {"target": OTHER, "engine": "vLLM", **here, "window": 40_960, "usable": False, "note": "connect"},
        {"target": TARGETS[0], "engine": "llama.cpp", **here, "window": 32_768, "usable": True, "note": ""},
    ]


def sample_explained() -> dict[str, Any]:
    """A request for `auto` that the third of six rules takes."""
    beyond = {"target": RENTED, "reason": "lies at CLOUD, beyond HOST"}
    return {
        "model": "auto", "rule": "code", "reason": "rule 'code'", "allowed": "HOST", "kept_by": "label 'client'",
        "held_by": "", "profile": "personal", "agent": "coder", "chain": sample_chain(), "ending": "park",
        "excluded": [beyond], "window": sample_window(), "signals": sample_signals(),
        "rules": [
            _rule("background", "batch: true", "it is no batch", ["local/fast"]),
            _rule("long", "context_tokens: >16000", "context_tokens is 1,204, not above 16,000", ["local/long"]),
            _rule("code", "task: code, effort: <=6", "task is code, and effort 4 is at most 6",
                  ["local/quality", "cloud/mid"], matched=True, taken=True, excluded=[beyond]),
            _rule("hard-code", "task: code, effort: >6", "effort is 4, not above 6", ["cloud/frontier"]),
            _rule("own", "tools: true", "it offers tools", ["local/fast"], matched=True),
            _rule("rest", "", "it asks nothing", ["local/fast", "cloud/fast"], matched=True),
        ],
    }  # fmt: skip


def sample_signals() -> dict[str, Any]:
    """By the names that rules have for them; `why` is how the text was read."""
    return {
        "model": "auto", "ability": "chat", "task": "code", "effort": 4, "context_tokens": 1_204,
        "prompt_bytes": 4_816, "sensitivity": "host", "gpu_load": 88.0, "budget_left_usd": None, "tools": True,
        "stream": False, "batch": False, "speed": "", "urgency": "agent", "now_s": 1_793_534_400.0,
        "caller": {"key": "laptop", "profile": "personal", "agent": "coder"},
        "why": ["a block of code, and “function”", "one file, and tests are asked for"],
    }  # fmt: skip


def _rule(name: str, text: str, why: str, use: list[str], **how: Any) -> dict[str, Any]:
    return {
        "name": name, "text": text, "matched": False, "taken": False, "why": why, "use": use, "else": "error",
        "targets": list(TARGETS[:1]), "excluded": [],
    } | how  # fmt: skip
