"""Made-up answers about what left: a busy day of two profiles, and one that nothing ever left for."""

from __future__ import annotations

from typing import Any

FOLDER = "/home/ann/.local/state/ringfence/journal"
HASH = "9f2c" * 16
DAY_S = 86_400.0


def sample_what_left(now_s: float) -> dict[str, Any]:
    """Everything that `View.egress` returns, with every kind of thing in it at least once."""
    calls = [_call(now_s, place) for place in range(30)]
    groups = [
        _group("personal", "laptop", "groq", "llama-3.3-70b", 41),
        _group("personal", "open-webui", "openrouter", "anthropic/claude-sonnet-4.5", 17),
        _group("bold", "laptop", "anthropic", "claude-sonnet-4-5", 2),
    ]
    total = {name: sum(group[name] for group in groups) for name in ("calls", "bytes_out", "bytes_in", "not_sent")}
    return {
        "now_s": now_s,
        "since_s": now_s // DAY_S * DAY_S,
        "providers": ["groq", "openrouter", "anthropic"],
        "known_since_s": now_s - 40 * DAY_S,
        "journal": {
            "state": "whole", "begun_s": now_s - 40 * DAY_S, "problem": "", "mend": "", "lines": 18_204, "files": 3,
            "head": f"18204:{HASH}", "recovered": 1, "unfinished_bytes": 0, "checked_s": now_s - 40,
        },
        "profiles": [
            _profile("private", "HOST", now_s - 40 * DAY_S, "journal"),
            _profile("client", "HOST", now_s - 3 * DAY_S, "last_call"),
            _profile("personal", "CLOUD", now_s - 12, "last_call", calls=58, bytes_out=240_000, bytes_in=910_000),
            _profile("bold", "CLOUD", now_s - 2, "last_call", calls=2, bytes_out=8_000, bytes_in=64_000, running=True),
            _profile("trial", None, now_s - 20 * DAY_S, "last_call"),
        ],
        "groups": groups,
        "total": total,
        "calls": calls,
        "more_calls": total["calls"] + total["not_sent"] - len(calls),
    }  # fmt: skip


def _profile(name: str, boundary: str | None, since_s: float, since: str, **more: Any) -> dict[str, Any]:
    counts = {"calls": 0, "bytes_out": 0, "bytes_in": 0, "not_sent": 0}
    return {
        "name": name, "is_configured": boundary is not None, "boundary": boundary, "has_own_network": False,
        "since_s": since_s, "since": since, "is_running": more.pop("running", False), **counts, **more,
    }  # fmt: skip


def _group(profile: str, key: str, provider: str, model: str, calls: int) -> dict[str, Any]:
    return {
        "profile": profile, "key": f"key_{key}", "key_name": key, "provider": provider, "model": model,
        "calls": calls, "bytes_out": 4_100 * calls, "bytes_in": 15_600 * calls, "not_sent": calls // 20,
        "addresses": ["104.18.2.115:443", "[2606:4700::6812:273]:443"][: 1 + calls % 2],
    }  # fmt: skip


def _call(now_s: float, place: int) -> dict[str, Any]:
    outcome = "" if place == 0 else "not_sent" if place == 4 else "first_byte_timeout" if place == 9 else "ok"
    is_bold = place == 0
    return {
        "seq": 18_204 - 2 * place, "call": f"call-{place}", "at_s": now_s - 2 - 45 * place,
        "ended_s": None if place == 0 else now_s - 45 * place,
        "profile": "bold" if is_bold else "personal", "key": "key_laptop", "key_name": "laptop",
        "provider": "anthropic" if is_bold else "groq",
        "model": "claude-sonnet-4-5" if is_bold else "llama-3.3-70b", "address": "104.18.2.115:443",
        "bytes_out": 3_100 + 41 * place, "bytes_in": 0 if outcome in ("", "not_sent") else 15_000 + 900 * place,
        "status": 0 if outcome != "ok" else 429 if place == 7 else 200, "outcome": outcome,
        "has_left": outcome != "not_sent",
    }  # fmt: skip
