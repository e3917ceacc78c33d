"""[pure] Every rule, and why it did or did not decide a call."""

from __future__ import annotations

from typing import Any

from ringfence.config.conditions import MICROS
from ringfence.core.catalog import Catalog, Model
from ringfence.core.route import Decision, Profile, Signals
from ringfence.routing.rules import ordered, sift, tighten
from ringfence.routing.ruleset import Ruleset


def rule_rows(
    rules: Ruleset, catalog: Catalog, signals: Signals, profile: Profile, decision: Decision
) -> list[dict[str, Any]]:
    """One row per rule, in order: whether it matches, whether it decided, why, and which of its targets can serve."""
    allowed = tighten(profile.boundary, signals)
    rows: list[dict[str, Any]] = []
    for rule in rules.rules:
        able, excluded = sift(Model(rule.name, ordered(rules.targets(rule, catalog), profile)), signals, allowed)
        row: dict[str, Any] = {
            "name": rule.name, "text": rule.text, "matched": rule.matches(signals),
            "taken": rule.name == decision.rule, "why": rule.why(signals), "use": list(rule.use), "else": rule.ending,
            "targets": [target.name for target in able],
            "excluded": [{"target": one.target, "reason": one.reason} for one in excluded],
        }  # fmt: skip
        rows.append(row)
    return rows


def signal_row(signals: Signals) -> dict[str, Any]:
    """Each signal by the name that rules have for it; `why` says how the text was read."""
    budget = signals.budget_left_usd_micros
    return {
        "model": signals.model, "ability": signals.ability.value, "task": signals.task, "effort": signals.effort,
        "context_tokens": signals.context_tokens, "prompt_bytes": signals.prompt_bytes,
        "sensitivity": signals.tightest.name.lower(), "gpu_load": signals.gpu_load,
        "budget_left_usd": None if budget is None else budget / MICROS, "tools": signals.tools,
        "stream": signals.stream, "batch": signals.batch, "speed": signals.speed, "urgency": signals.urgency,
        "now_s": signals.now_s, "caller": signals.caller._asdict(), "why": list(signals.why),
    }  # fmt: skip
