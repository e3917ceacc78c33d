"""How many requests a model works on at a time, where nobody says."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.config.models import ModelSettings
from ringfence.config.schema import ProfileSettings
from ringfence.core.route import Urgency


@pytest.mark.parametrize(
    ("said", "told", "at_once"),
    [
        ({}, None, 4),
        ({"role": "orchestrator"}, None, 24),
        ({"role": "reasoning"}, None, 8),
        ({"role": "vision"}, None, 4),
        ({"role": "coding"}, None, 6),
        ({"gpu_layers": 0}, None, 8),
        ({"devices": ["ram"]}, None, 8),
        ({"devices": ["gpu0", "ram"]}, None, 4),
        ({"devices": ["ram"], "role": "coding"}, None, 6),
        ({"parallel": 3, "role": "orchestrator"}, None, 3),
        ({"role": "orchestrator"}, 2, 2),
        ({"parallel": 9}, 5, 5),
        ({"parallel": 2}, 5, 2),
    ],
)
def test_by_what_it_is_for_and_where_it_runs(said: dict[str, Any], told: int | None, at_once: int) -> None:
    assert ModelSettings.model_validate({"source": "demo", **said}).at_once(told) == at_once


def test_a_profile_has_a_class_and_a_weight() -> None:
    profile = ProfileSettings.model_validate({"priority": "agent", "weight": 3}).profile("p")
    assert (profile.priority, profile.weight) == (Urgency.AGENT, 3)
    assert ProfileSettings().profile("p").priority is Urgency.USER
