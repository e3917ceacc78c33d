"""The page of `ringfence explain`: what is given up, in words."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from ringfence.cli.explaining import explain_page

FITTED = {
    "target": "seat/m", "window": 1024, "asked": None, "max_tokens": 332, "bound": 45_000, "estimate": 13_900,
    "by": "estimate", "error": "", "before": 13_900, "after": 180, "state": "truncated",
    "shares": {"input": 256, "output": 614, "least_output": 256, "reserve": 512},
}  # fmt: skip


def page(**fitted: Any) -> str:
    found = {
        "model": "m", "reason": "asked for", "rule": "requested-model", "allowed": "HOST", "profile": "default",
        "agent": "", "chain": [], "excluded": [], "ending": "error", "window": FITTED | fitted,
    }  # fmt: skip
    shown = explain_page(found)
    assert isinstance(shown, Text)
    return shown.plain


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
