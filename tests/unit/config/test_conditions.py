"""Conditions as data: what they mean, why they do not hold, and how they are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ringfence.config.conditions import NotACondition, parse
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.route import Caller, Signals

READ: dict[str, Any] = {
    "task": "code", "effort": 7, "context_tokens": 16_000, "gpu_load": 79.5, "budget_left_usd_micros": 500_000,
    "caller": Caller("laptop", "private", "coder"), "batch": True, "model": "auto",
    "now_s": datetime(2026, 7, 1, 21, 30, tzinfo=UTC).timestamp(),
}  # fmt: skip
SIGNALS = Signals(Ability.CHAT, 64_000, tightest=Boundary.MESH, **READ)


@pytest.mark.parametrize(
    ("signal", "given", "holds", "why"),
    [
        ("task", "code", True, "task code is code"),
        ("task", ["rag", "chat"], False, "task code is not rag or chat"),
        ("effort", "<=6", False, "effort 7 is not <= 6"),
        ("effort", 7, True, "effort 7 is = 7"),
        ("effort", ">6 <9", True, "effort 7 is > 6 and < 9"),
        ("effort", [1, ">=7"], True, "effort 7 is = 1 or >= 7"),
        ("context_tokens", ">16000", False, "context_tokens 16000 is not > 16000"),
        ("gpu_load", "<80%", True, "gpu_load 79.5% is < 80%"),
        ("budget_left_usd", "<=0.25", False, "budget_left_usd 0.5 is not <= 0.25"),
        ("sensitivity", ["host", "mesh"], True, "sensitivity mesh is host or mesh"),
        ("batch", False, False, "batch true is not false"),
        ("speed", "critical", False, "speed unknown is not critical"),
        ("ability", "embeddings", False, "ability chat is not embeddings"),
        ("caller", {"profile": ["private", "other"]}, True, "caller.profile private is private or other"),
        ("caller", {"agent": "writer"}, False, "caller.agent coder is not writer"),
        ("model", "fast", False, "model auto is not fast"),
        ("hours", "22:00-06:00 Europe/Berlin", True, "hours Europe/Berlin 23:30 is 22:00-06:00"),
        ("hours", "22:00-06:00 UTC", False, "hours UTC 21:30 is not 22:00-06:00"),
    ],
)
def test_what_holds_and_why(signal: str, given: Any, holds: bool, why: str) -> None:
    (condition,) = parse(signal, given)
    assert (condition.holds(SIGNALS), condition.why(SIGNALS)) == (holds, why)


def test_a_budget_that_nobody_set_is_unlimited() -> None:
    (condition,) = parse("budget_left_usd", "<=1000000")
    assert condition.why(Signals(Ability.CHAT, 1)) == "budget_left_usd unlimited is not <= 1000000"


def test_hours_are_looked_at_again_when_they_change() -> None:
    (condition,) = parse("hours", "22:00-06:00 UTC")
    midnight = datetime(2026, 7, 2, tzinfo=UTC).timestamp()
    held = [
        condition.holds(Signals(Ability.CHAT, 1, now_s=midnight + hour * 3600)) for hour in (-3, -2, 0, 5, 6, 7, 22, 1)
    ]
    assert held == [False, True, True, True, False, False, True, True]


def test_every_model_is_no_condition() -> None:
    assert list(parse("model", "*")) == list(parse("model", ["*", "fast"])) == []


@pytest.mark.parametrize(
    ("signal", "given", "told"),
    [
        ("efort", 3, "no such signal; did you mean 'effort'"),
        ("caller.profile", "x", "no such signal"),
        ("task", "coding", "no task 'coding'; did you mean 'code'"),
        ("task", 3, "expected a word"),
        ("effort", "much", "expected a comparison"),
        ("effort", "<", "expected a comparison"),
        ("effort", "", "expected a comparison"),
        ("effort", True, "expected a comparison"),
        ("gpu_load", "<80 percent", 'such as "<80%"'),
        ("context_tokens", "<16,000", "expected <, <=, >, >= or = before '000'"),
        ("effort", ">3 7", "before '7'"),
        ("tools", "yes", "expected true or false"),
        ("hours", "22:00-06:00", "which clocks"),
        ("hours", 3, "expected hours"),
        ("caller", "private", "such as {profile: private}"),
        ("caller", {"name": "x"}, "there is no 'name'"),
        ("sensitivity", "private", "there is no sensitivity 'private'"),
    ],
)
def test_what_is_no_condition(signal: str, given: Any, told: str) -> None:
    with pytest.raises(NotACondition) as refused:
        list(parse(signal, given))
    assert told in str(refused.value)
