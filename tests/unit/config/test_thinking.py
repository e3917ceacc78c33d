"""The settings of thinking: what they name must be there, and whose the name is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ringfence.config.routing import THINKS
from ringfence.config.schema import Config
from ringfence.runtime import settings

MODELS: dict[str, Any] = {"quick": {"source": "demo"}, "large": {"source": "demo"}}


def config(**told: Any) -> Config:
    return Config.model_validate({"models": MODELS, **told})


def test_without_a_word_it_is_there() -> None:
    bounds = settings.thinking(Config())
    assert bounds is not None and (bounds.model, bounds.reasoning) == ("local/fast", "local/quality")
    assert settings.ruleset(Config()).chains[THINKS].models == ("local/fast",)


@pytest.mark.parametrize(
    "told",
    [
        {"thinking": {"offered": False, "model": "nowhere"}},
        {"chains": {THINKS: {"models": ["large"]}}},
        {"models": {THINKS: {"source": "demo"}}},
        {"models": {"quick": {"source": "demo", "aliases": [THINKS]}}},
    ],
)
def test_switched_off_or_a_name_of_the_owners(told: dict[str, Any]) -> None:
    found = config(**told)
    assert settings.thinking(found) is None
    assert settings.ruleset(found).chains.keys() == found.chains.keys()


def test_a_chain_answers_and_thinks() -> None:
    chains = {"deep": {"models": ["large", "quick"], "else": "queue"}}
    found = config(chains=chains, thinking={"model": "deep", "reasoning": "large", "thoughts": 1, "depth": 2})
    bounds = settings.thinking(found)
    assert bounds is not None and (bounds.model, bounds.reasoning, bounds.thoughts, bounds.depth) == (
        "deep", "large", 1, 2,
    )  # fmt: skip
    assert settings.ruleset(found).chains[THINKS].waits


@pytest.mark.parametrize(
    ("thinking", "message"),
    [
        ({"model": "quik"}, "did you mean 'quick'"),
        ({"reasoning": "cloud/frontier"}, "no model has the alias 'cloud/frontier'"),
        ({"model": THINKS}, f"there is no model, alias or chain '{THINKS}'"),
        ({"depth": 9}, "less than or equal to 5"),
        ({"tokens": 3}, "greater than or equal to 64"),
    ],
)
def test_what_is_not_there_is_refused(thinking: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config(thinking=thinking)
    assert message in str(refused.value)
