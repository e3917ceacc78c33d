"""How patiently a call tries targets."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.trying import MOST_PAUSE_S, PAUSE_S, once_more, pause_s
from ringfence.routing.health import Health

A = Target("a", "m", "vllm", "m", Boundary.HOST)


def failed_at(*names: str, until_s: float = 200.0) -> Call:
    body: dict[str, Any] = {"model": "m", "messages": []}
    call = Call("call-1", Key("key_1", "tests"), DIALECT, "m", body, 90, False, 0.0, failed_at=names)
    call.retry_until_s = until_s
    return call


def test_pauses_grow_differ_and_are_bounded() -> None:
    pauses = [pause_s("call-1", times) for times in range(1, 12)]
    assert pauses == sorted(pauses)
    assert 0.5 * PAUSE_S <= pauses[0] <= 1.5 * PAUSE_S
    assert pauses[-1] <= 1.5 * MOST_PAUSE_S
    assert len({pause_s(f"call-{number}", 1) for number in range(50)}) == 50
    assert pause_s("call-1", 1) == pauses[0]


@pytest.mark.parametrize(
    ("call", "tries"),
    [
        (failed_at(), True),
        (failed_at(until_s=0.0), True),
        (failed_at("b"), True),
        (failed_at("a"), True),
        (failed_at("b", until_s=100.0), False),
    ],
    ids=["first", "not failed yet", "another", "the same", "too late"],
)
async def test_whether_it_tries(call: Call, tries: bool) -> None:
    assert await once_more(call, A, Health(lambda: 100.0)) is tries


async def test_it_does_not_come_again_to_one_that_asked_for_time() -> None:
    health = Health(lambda: 100.0)
    health.record(A, "status", 5.0)
    assert not await once_more(failed_at("a"), A, health)
    assert await once_more(failed_at("b"), A, health)
