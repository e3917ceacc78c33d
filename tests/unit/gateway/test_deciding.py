"""Deciding by rules: what is read of a call, when, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.config.conditions import parse
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model, Target
from ringfence.core.identity import Key
from ringfence.core.route import Decision, House, Profile, Tier, Urgency
from ringfence.gateway import deciding
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Deciding, Settings
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.routing.ruleset import Rule, Ruleset
from ringfence.signals.sensitivity import Sensitivity

SMALL = Target("small/1", "small", "vllm", "small", Boundary.HOST)
BIG = Target("big/1", "big", "vllm", "big", Boundary.HOST)
RENTED = Target("rented/1", "rented", "openai", "gpt", Boundary.CLOUD, provider="openai")
OWN = (Model("small", (SMALL,)), Model("big", (BIG,)))
FAR = Profile("default", Boundary.CLOUD, Tier.CLOUD_EXPLICIT)
CARD = "my card is 4111 1111 1111 1111"


def rule(name: str, use: list[str], ending: str = "error", **when: Any) -> Rule:
    conditions = [one for signal, said in when.items() for one in parse(signal, said)]
    return Rule(name, name, (*conditions, *parse("model", "auto")), tuple(use), ending)


def path(*rules: Rule, profile: Profile = FAR, rented: bool = True) -> Deciding:
    models = [*OWN, Model("rented", (RENTED,))] if rented else list(OWN)
    return Deciding(Settings(Catalog.of(models), House({"default": profile}, {}, {}), rules=Ruleset(rules)))


def asked(text: str = "hello", model: str = "auto", **more: Any) -> Call:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return Call("call-1", Key("key_1", "tests"), DIALECT, model, body, len(text), False, 0.0)


def decided(path: Deciding, call: Call) -> Decision:
    found = path.decided(call)
    assert found is not None
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each text that is looked at."""
    found: list[str] = []
    real = Sensitivity.steps

    def steps(self: Sensitivity, *told: Any, **more: Any) -> Any:
        found.append("read")
        return real(self, *told, **more)

    monkeypatch.setattr(Sensitivity, "steps", steps)
    return found


PRIVATE = rule("private", ["big"], sensitivity=["host", "mesh"])


def test_what_cannot_leave_is_not_read(reads: list[str]) -> None:
    near = path(PRIVATE, rule("rest", ["small", "rented"]), profile=Profile("default"))
    assert decided(near, asked(CARD)).rule == "rest"
    no_cloud = path(PRIVATE, rule("rest", ["small"]), rented=False)
    assert decided(no_cloud, asked(CARD)).rule == "rest"
    same = path(PRIVATE, rule("rest", ["big"]))
    found = decided(same, asked(CARD))
    assert (found.rule, found.allowed) == ("rest", Boundary.HOST)
    assert reads == []


def test_what_could_leave_is_read_and_what_it_says_counts(reads: list[str]) -> None:
    far = path(rule("rest", ["rented", "small"]))
    assert decided(far, asked()).chain.targets == (RENTED, SMALL)
    assert decided(far, asked(CARD)).chain.targets == (SMALL,)
    assert len(reads) == 2
    depends = path(PRIVATE, rule("rest", ["small"]))
    assert (decided(depends, asked()).rule, decided(depends, asked(CARD)).rule) == ("rest", "private")
    assert len(reads) == 4, "both stay here, and go to different models"
    gone = path(PRIVATE, rule("rest", ["nobody"]))
    assert decided(gone, asked(CARD)).rule == "private"


def test_a_long_text_is_read_in_turns() -> None:
    far = path(PRIVATE, rule("rest", ["rented"]))
    assert far.decided(asked(CARD + " words" * 5000)) is None


async def test_what_is_decided_in_turns_and_what_is_explained_are_the_same() -> None:
    far = path(PRIVATE, rule("rest", ["rented"]))
    call = asked(CARD + " words" * 5000)
    found = await far.decided_in_turns(call)
    assert (found.rule, found.allowed) == ("private", Boundary.HOST)
    explained = await far.explained(call)
    assert explained is not None
    assert explained[1] is found
    assert (explained[0].tightest, explained[0].kept_by) == (Boundary.HOST, "card")
    assert await far.explained(asked(model="big")) is None


def test_a_call_that_names_a_model_has_no_signals_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "read_for_rules", lambda *_: pytest.fail("nothing looks at them"))
    served = path(rule("rest", ["small"]))
    assert decided(served, asked(model="big")).chain.targets == (BIG,)
    chained = path(rule("rest", ["small"]), profile=Profile("default", chain=("big",)))
    assert decided(chained, asked()).rule == "profile-chain"


def test_a_decision_is_kept_for_calls_that_the_same_rules_match() -> None:
    served = path(rule("hard", ["big"], effort=">6"), rule("rest", ["small"]), profile=Profile("default"))
    hard, easy = (decided(served, asked(reasoning_effort=effort)) for effort in ("high", "low"))
    assert (hard.rule, easy.rule) == ("hard", "rest")
    assert decided(served, asked("other words", reasoning_effort="high")) is hard
    assert decided(served, asked("other words", reasoning_effort="low")) is easy


def test_load_and_tier_of_the_call_are_signals() -> None:
    busy = rule("overflow", ["big"], gpu_load=">=80%")
    served = path(busy, rule("later", ["big"], batch=True), rule("rest", ["small"]), profile=Profile("default"))
    assert decided(served, asked()).rule == "rest"
    assert decided(served, asked(service_tier="flex")).rule == "later"
    served.gpu_load = lambda: 80.0
    assert decided(served, asked()).rule == "overflow"


def test_how_urgent_a_call_is_is_a_signal() -> None:
    far = path(rule("later", ["small"], urgency="background"), rule("rest", ["big"]))
    call = asked()
    assert decided(far, call).rule == "rest"
    call.urgency = Urgency.BACKGROUND
    assert decided(far, call).rule == "later"


def test_what_is_parked_is_foreseen_by_the_rules_that_matched_it() -> None:
    served = path(rule("hard", ["big"], effort=">6"), rule("rest", ["small"]), profile=Profile("default"))
    call = asked(reasoning_effort="high")
    decided(served, call)
    bare = asked()
    bare.body = {}
    assert served.foreseen(bare).chain.targets == (BIG, SMALL), "nothing is known: any that may"
    bare.matched = call.matched
    assert served.foreseen(bare).chain.targets == (BIG,)
    assert served.foreseen(asked(model="small")).chain.targets == (SMALL,)
