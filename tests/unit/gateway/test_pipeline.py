"""What the path remembers of calls is bounded, whatever callers name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.identity import Key
from ringfence.core.route import House, Profile
from ringfence.gateway import deciding
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.pipeline import Pipeline

NAMES = tuple(f"fast-{number}" for number in range(20))


def path() -> Pipeline:
    """With all left out that decides nothing."""
    target = Target("seat/fast", "fast", "vllm", "fast", Boundary.HOST, 4096, 8, abilities=frozenset(Ability))
    catalog = Catalog.of([Model("fast", (target,), aliases=NAMES)])
    left_out: dict[str, Any] = dict.fromkeys(("limits", "admission", "placement", "relay", "health", "emit", "ids"))
    left_out |= {"relay": SimpleNamespace(), "admission": SimpleNamespace(crowded=None)}
    return Pipeline(Settings(catalog, House({"default": Profile("default")}, {}, {})), **left_out)


def named(model: str) -> Call:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return Call("call-1", Key("key_1", "tests"), DIALECT, model, body, 90, False, 0.0)


def test_a_decision_is_made_once_and_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "MAX_DECISIONS", 8)
    served = path()
    kept = served.settings.decisions
    first = served.decided(named(NAMES[0]))
    assert first is not None
    assert first is served.decided(named(NAMES[0]))
    for name in NAMES:
        decision = served.decided(named(name))
        assert decision is not None
        assert decision.model == "fast"
        assert 0 < len(kept) <= 8
    again = served.decided(named(NAMES[0]))
    assert again is not None
    assert again is not first, "it was forgotten, and is made anew"
    assert again.chain.targets == first.chain.targets
