"""The page of `ringfence explain`: what is given up, in words."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from ringfence.cli.explaining import explain_page
from ringfence.testing.fake_explained import sample_explained

FITTED = {
    "target": "seat/m", "window": 1024, "asked": None, "max_tokens": 332, "bound": 45_000, "estimate": 13_900,
    "by": "estimate", "error": "", "before": 13_900, "after": 180, "state": "truncated",
    "shares": {"input": 256, "output": 614, "least_output": 256, "reserve": 512},
}  # fmt: skip


def page(**fitted: Any) -> str:
    found = {
        "rules": [],
        "model": "m", "reason": "asked for", "rule": "requested-model", "allowed": "HOST", "profile": "default",
        "agent": "", "chain": [], "excluded": [], "ending": "error", "window": FITTED | fitted,
    }  # fmt: skip
    shown = explain_page(found)
    assert isinstance(shown, Text)
    return shown.plain


def test_why_what_is_rented_comes_last() -> None:
    sample = sample_explained() | {"is_past_soft_limit": True}
    assert len(sample["chain"]) > 1
    told = "a budget is past its soft limit: what costs nothing goes first"
    assert told in explain_page(sample).plain  # type: ignore[union-attr]
    assert told not in explain_page(sample | {"is_past_soft_limit": False}).plain  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("dropped", "shortened", "done", "given_up"),
    [
        (0, {"system": 1, "user": 1}, "the system prompt is trimmed", "shortened 1 system prompt, 1 user message"),
        (3, {"tool_result": 2}, "messages are left out", "shortened 2 tool results; 3 messages left out"),
    ],
)
def test_what_is_given_up(dropped: int, shortened: dict[str, int], done: str, given_up: str) -> None:
    text = page(dropped=dropped, shortened=shortened)
    assert f"; truncated: {done}\n" in text
    assert f"13,900 → 180 tokens: {given_up}\n" in text


def test_every_rule_stands_with_its_ground_and_the_taken_one_is_marked() -> None:
    found = sample_explained()
    found["chain"][0]["set_aside_s"] = 3.2
    found["signals"]["effort"] = {"value": 4, "why": "it was said"}
    found["rules"][0] |= {"matched": True, "why": "it is [bold]a[/] batch", "excluded": found["excluded"]}
    shown = explain_page(found)
    assert isinstance(shown, Text)
    lines = shown.plain.splitlines()
    assert "Signal    one file, and tests are asked for" in lines
    assert "Signal    effort 4: it was said" in lines
    told = " ".join(line.removeprefix("Signal    ") for line in lines if line.startswith("Signal"))
    assert "budget_left_usd unlimited, " in told and "batch no, speed none, urgency agent, " in told
    assert told.endswith("caller key laptop profile personal agent coder")
    assert max(len(line) for line in lines if line.startswith("Signal")) <= 80
    assert [line for line in lines if line.startswith("Rule")] == [
        "Rule      background (batch: true): matches, cannot serve; it is [bold]a[/] batch",
        "Rule      long (context_tokens: >16000): no match; context_tokens is 1,204, not above 16,000",
        "Rule      code (task: code, effort: <=6): taken; task is code, and effort 4 is at most 6",
        "Rule      hard-code (task: code, effort: >6): no match; effort is 4, not above 6",
        "Rule      own (tools: true): would match too; it offers tools",
        "Rule      rest: would match too; it asks nothing",
    ]
    assert any(line.endswith("not ready  set aside: cannot be reached; it is tried again in 4 s") for line in lines)
    assert "          not groq/llama-3.3-70b: lies at CLOUD, beyond HOST" in lines


def test_without_rules_the_name_of_the_decision_stands_there() -> None:
    found = sample_explained() | {"rules": [], "rule": "requested-model"}
    shown = explain_page(found)
    assert isinstance(shown, Text)
    assert "Rule      requested-model" in shown.plain.splitlines()
    assert "Signal" not in shown.plain
