"""One that sleeps is woken by its bell, by the time, or by its end."""

from __future__ import annotations

import asyncio

import pytest

from ringfence.placement.bell import Bell
from ringfence.simulation.loop import VirtualLoop, run


async def slept(bell: Bell, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await bell.wait(seconds)
    return loop.time() - began


def test_the_time_wakes_it_and_leaves_nothing_behind() -> None:
    async def go() -> list[float]:
        bell = Bell()
        return [await slept(bell, 5), await slept(bell, 0)]

    assert run(go(), VirtualLoop()) == [5, 0]


def test_what_was_rung_stays_rung_until_it_is_stilled() -> None:
    async def go() -> list[float]:
        bell = Bell()
        asyncio.get_running_loop().call_later(2, bell.ring)
        first = await slept(bell, 5)
        again = await slept(bell, 5)
        bell.still()
        return [first, again, await slept(bell, 5)]

    assert run(go(), VirtualLoop()) == [2, 0, 5]


@pytest.mark.parametrize("rings_first", [True, False])
def test_a_cancellation_that_comes_with_the_ringing_is_not_lost(*, rings_first: bool) -> None:
    async def go() -> bool:
        bell = Bell()
        task = asyncio.create_task(bell.wait(5))
        await asyncio.sleep(0)
        for do in (bell.ring, task.cancel)[:: 1 if rings_first else -1]:
            do()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert run(go(), VirtualLoop())
