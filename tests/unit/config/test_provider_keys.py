"""A provider has one key, or several."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ringfence.config.cloud_keys import handed_to_egress, not_used
from ringfence.config.references import references
from ringfence.config.schema import Config

TWO = ["env:FIRST_KEY", "file:/etc/second.key"]


def config(**keys: Any) -> Config:
    told = {"url": "https://api.groq.com/openai/v1", "calls_per_day": 5, "max_tokens": 9, **keys}
    return Config.model_validate({"providers": {"groq": told}})


def test_several_keys_are_each_referred_to() -> None:
    several = config(api_keys=TWO)
    assert [one.path for one in references(several)] == [("providers", "groq", "api_keys", at) for at in (0, 1)]
    assert handed_to_egress(several) == {"FIRST_KEY": ["groq"], "file:/etc/second.key": ["groq"]}
    assert not_used(["FIRST_KEY", "OTHER_KEY"], several) == ["OTHER_KEY"]
    assert [one.path for one in references(config(api_key=TWO[0]))] == [("providers", "groq", "api_key")]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "is needed"), ({"api_keys": []}, "is needed"), ({"api_key": TWO[0], "api_keys": TWO}, "only one of"),
        ({"api_keys": TWO[:1] * 2}, "one key twice"),
    ],
)  # fmt: skip
def test_none_both_or_one_twice_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**keys)
