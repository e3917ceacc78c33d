"""Made-up answers about money: caps in every state, calls under way, and a month of days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

DAY_S = 86_400
USD = 1_000_000
USD_PER_KWH = 0.32
ENDS_IN_S = {"day": 7 * 3600, "week": 3 * DAY_S, "month": 9 * DAY_S}
LASTS_S = {"day": DAY_S, "week": 7 * DAY_S, "month": 30 * DAY_S}


def sample_money(now_s: float) -> dict[str, Any]:
    """Everything that `View.money` returns, with every kind of thing in it at least once."""
    told: list[tuple[str, str, str, float | None, float, float]] = [
        ("house", "", "day", None, 4.31, 0.42),
        ("house", "", "week", None, 17.02, 0.42),
        ("house", "", "month", 100.0, 63.40, 0.42),
        ("provider", "anthropic", "month", 60.0, 51.75, 0.36),
        ("provider", "groq", "month", None, 11.65, 0.06),
        ("profile", "bold", "day", 5.0, 4.25, 0.36),
        ("profile", "personal", "week", 20.0, 3.10, 0.06),
        ("key", "laptop", "month", 10.0, 9.97, 0.0),
        ("key", "open-webui", "month", 25.0, 0.0, 0.0),
    ]
    return {
        "at_s": now_s,
        "zone": "Europe/Berlin",
        "providers": ["anthropic", "groq"],
        "can_write": True,
        "problem": "",
        "standings": [_standing(*one, now_s) for one in told],
        "call_caps": [
            {"scope": "profile", "name": "bold", "label": "bold", "limit_usd_micros": 500_000},
            {"scope": "key", "name": "key_ci", "label": "ci", "limit_usd_micros": 40_000},
        ],
        "keys_set_aside": [
            {"provider": "groq", "of": 3, "number": 2, "reason": "limited", "until_s": now_s + 95},
        ],
        "holds": [
            _hold(1, "laptop", "bold", "claude-sonnet-4-5", "anthropic", 0.36, 41.0),
            _hold(2, "open-webui", "personal", "llama-3.3-70b", "groq", 0.06, 2.4),
        ],
    }


def sample_spend(now_s: float, days: int = 30) -> dict[str, Any]:
    """Everything that `View.spend` returns: work days with two providers, weekends with none; the tenth day cost
    more than it would have elsewhere."""
    begins_s = int(now_s // DAY_S * DAY_S) - (days - 1) * DAY_S
    return {
        "zone": "Europe/Berlin",
        "against": {"scenario": "all-frontier", "price": "$3.00 in, $15.00 out per million tokens"},
        "usd_per_kwh": USD_PER_KWH,
        "days": [_day(begins_s + place * DAY_S, place) for place in range(days)],
    }


def _standing(
    scope: str, name: str, period: str, limit: float | None, spent: float, held: float, now_s: float
) -> dict[str, Any]:
    ends_s = int(now_s) + ENDS_IN_S[period]
    return {
        "scope": scope, "name": f"key_{name}" if scope == "key" else name, "label": name, "period": period,
        "limit_usd_micros": None if limit is None else round(limit * USD), "spent_usd_micros": round(spent * USD),
        "held_usd_micros": round(held * USD), "soft_percent": 80,
        "begins_s": ends_s - LASTS_S[period], "ends_s": ends_s,
        "projected_usd_micros": round(1.3 * spent * USD), "is_ahead": name == "anthropic",
    }  # fmt: skip


def _hold(number: int, key: str, profile: str, model: str, provider: str, usd: float, age_s: float) -> dict[str, Any]:
    return {
        "id": f"hold_{number:020x}", "call": f"call-{number}", "key": key, "profile": profile, "agent": "",
        "model": model, "provider": provider, "usd_micros": round(usd * USD), "age_s": age_s,
    }  # fmt: skip


def _day(begins_s: int, place: int) -> dict[str, Any]:
    calls, providers = 180 + 7 * place, dict[str, int]()
    if place % 7 < 5:
        dear = 4_003_000 if place == 9 else (1_150_000 + 90_000 * (place % 9)) // (1 + place % 2)
        providers = {"anthropic": dear, "groq": 210_000 + 31_000 * (place % 4)}
    cost, elsewhere, energy_j = sum(providers.values()), 12_000 * calls, 4_000.0 * calls
    return {
        "day": datetime.fromtimestamp(begins_s, UTC).date().isoformat(), "begins_s": begins_s, "calls": calls,
        "cost_usd_micros": cost, "unpriced_calls": int(bool(providers) and place % 11 == 0),
        "local_tokens": 2_440 * calls, "cloud_tokens": 2_440 * (52 + place) if providers else 0,
        "kept_tokens": 900 * place, "elsewhere_usd_micros": elsewhere, "saved_usd_micros": elsewhere - cost,
        "energy_j": energy_j, "electricity_usd_micros": round(energy_j / 3.6 * USD_PER_KWH), "providers": providers,
    }  # fmt: skip
