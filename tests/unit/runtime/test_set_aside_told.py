"""That a target is set aside is told: by the status, by the command line, by the metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ringfence.cli.show import again_in_words
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model, Target
from ringfence.routing.breaker import FAILURES_IN_A_ROW
from ringfence.routing.health import Health
from ringfence.runtime.gauges import _targets

A, B = (Target(name, "m", "vllm", "m", Boundary.HOST) for name in "ab")


def test_of_each_target_how_it_stands() -> None:
    now = [100.0]
    health = Health(lambda: now[0])
    for _ in range(FAILURES_IN_A_ROW):
        health.record(B, "lost")
    catalog = Catalog.of([Model("m", (A, B)), Model("n", (B,))])
    runtime: Any = SimpleNamespace(health=health, pipeline=SimpleNamespace(settings=SimpleNamespace(catalog=catalog)))
    assert _targets(runtime) == [(("a",), 0.0), (("b",), 2.0)]
    assert (health.set_aside_s(A), health.set_aside_s(B)) == (None, 1.0)
    now[0] += 1
    assert _targets(runtime) == [(("a",), 0.0), (("b",), 1.0)]
    assert health.set_aside_s(B) == 0.0


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"reason": "first_byte_timeout", "set_aside_s": 1.2}, "sent nothing in time; it is tried again in 2 s"),
        ({"reason": "crowded_out", "set_aside_s": 0.0}, "crowded out; it is tried again by the next call"),
        ({"reason": "", "set_aside_s": 0.0}, "failures; it is tried again by the next call"),
    ],
)
def test_in_words(target: dict[str, Any], words: str) -> None:
    assert again_in_words(target) == words
