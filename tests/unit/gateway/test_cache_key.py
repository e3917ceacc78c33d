"""What makes two calls the same: one fact that differs makes them two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.route import Caching, Chain, Decision, Overlong
from ringfence.gateway.cache_key import digest_of
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat, completions

TARGET = Target("seat/x", "x", "vllm", "x", Boundary.HOST)
KEY = Key("key_1", "one", agent="scribe")
DECISION = Decision("x", "", "", Chain("x", (TARGET,)), Boundary.HOST, profile="default", told="requested-model")
CALL = Call(
    "c", KEY, chat.DIALECT, "x", {"model": "x", "messages": [], "user": "ada"}, 9, False, 0.0, spoken="chat"
)  # fmt: skip


NOTHING: Mapping[str, Any] = {}
ITS_OWN = Caching()


def digest(
    caching: Caching = ITS_OWN, decision: Mapping[str, Any] = NOTHING, target: Mapping[str, Any] = NOTHING, **call: Any
) -> bytes:
    chain = Chain("x", (replace(TARGET, **target),))
    return digest_of(replace(CALL, **call), replace(DECISION, **{"chain": chain, **decision}), caching, b"secret")


@pytest.mark.parametrize(
    "other",
    [
        {"key": replace(KEY, id="key_2")}, {"key": replace(KEY, profile="swift")}, {"key": replace(KEY, agent="")},
        {"dialect": completions.DIALECT}, {"spoken": "messages"}, {"stream": True},
        {"body": {"model": "x", "messages": [], "seed": 1}},
        {"decision": {"profile": "swift"}}, {"decision": {"allowed": Boundary.MESH}}, {"decision": {"model": "y"}},
        {"decision": {"overlong": Overlong.REFUSE}}, {"decision": {"told": "a-rule"}},
        {"target": {"name": "seat/y"}}, {"target": {"engine": "ollama"}}, {"target": {"engine_model": "y"}},
        {"target": {"boundary": Boundary.MESH}}, {"target": {"window": 512}}, {"target": {"digest": "sha256:1"}},
        {"target": {"quantisation": "Q4_0"}}, {"target": {"device": "gpu0"}}, {"target": {"provider": "cloud"}},
    ],
    ids=lambda other: "-".join(f"{name} {' '.join(of) if isinstance(of, dict) else ''}" for name, of in other.items()),
)  # fmt: skip
def test_one_fact_more_or_less_makes_another_question(other: dict[str, Any]) -> None:
    assert digest(**other) != digest()


@pytest.mark.parametrize(
    "other",
    [
        {}, {"id": "d"}, {"model": "auto"}, {"body": {"model": "auto", "messages": [], "metadata": {"job": "1"}}},
        {"decision": {"rule": "another", "reason": "said otherwise"}},
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_no_answer_makes_none(other: dict[str, Any]) -> None:
    assert digest(**other) == digest()


def test_keys_of_one_profile_are_the_same_where_it_shares() -> None:
    shared = Caching(is_shared=True)
    assert digest(shared, key=replace(KEY, id="key_2")) == digest(shared)
    assert digest(shared, key=replace(KEY, profile="swift")) != digest(shared)
