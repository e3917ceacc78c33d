"""Runs and waiters: a coroutine resumed from inside the callback that brought its value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ringfence.gateway.step import Run, Waiter, in_task


@pytest.fixture
async def escaped() -> list[BaseException]:
    """What ended up with the loop's handler."""
    found: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context["exception"]))
    return found


async def test_a_waiter_woken_before_it_is_awaited() -> None:
    waiter: Waiter[int] = Waiter()
    waiter.wake(1)
    seen: list[int] = []

    async def read() -> None:
        seen.append(await waiter)
        seen.append(await waiter)

    run = Run(read())
    run.step()
    assert (seen, run.is_done) == ([1, 1], True)


async def test_waking_resumes_before_it_returns_and_only_once() -> None:
    waiter: Waiter[int] = Waiter()
    seen: list[int] = []

    async def read() -> None:
        seen.append(await waiter)

    run = Run(read())
    run.step()
    assert seen == []
    waiter.wake(1)
    assert (seen, run.is_done) == ([1], True)
    waiter.wake(2)
    assert (seen, waiter.value) == ([1], 1)


async def test_cancelled_while_waiting() -> None:
    waiter: Waiter[int] = Waiter()
    seen: list[str] = []

    async def read() -> None:
        try:
            await waiter
        finally:
            seen.append("left")

    run = Run(read())
    run.step()
    run.cancel()
    assert (seen, run.is_done) == (["left"], True)
    waiter.wake(1)
    run.cancel()
    assert seen == ["left"]


async def test_cancelled_again_inside_finally() -> None:
    first, second = Waiter[int](), Waiter[int]()
    seen: list[str] = []

    async def read() -> None:
        try:
            await first
        finally:
            try:
                seen.append(f"got {await second}")
            finally:
                seen.append("left")

    run = Run(read())
    run.step()
    run.cancel()
    assert (seen, run.is_done) == ([], False)
    run.cancel()
    assert (seen, run.is_done) == (["left"], True)


async def test_a_cancelled_run_may_go_on() -> None:
    first, second = Waiter[int](), Waiter[int]()
    seen: list[int] = []

    async def read() -> None:
        try:
            await first
        except asyncio.CancelledError:
            seen.append(await second)

    run = Run(read())
    run.step()
    run.cancel()
    second.wake(2)
    assert (seen, run.is_done) == ([2], True)


async def test_cancelled_from_within() -> None:
    """After the step that is running: its next await is where it ends."""
    waiter: Waiter[int] = Waiter()
    seen: list[str] = []

    async def read() -> None:
        run.cancel()
        seen.append("still here")
        await waiter

    run = Run(read())
    run.step()
    assert not run.is_done
    await asyncio.sleep(0)
    assert (seen, run.is_done) == (["still here"], True)


async def test_an_exception_goes_to_the_loop(escaped: list[BaseException]) -> None:
    waiter: Waiter[int] = Waiter()

    async def read() -> None:
        await waiter
        raise ZeroDivisionError

    run = Run(read())
    run.step()
    waiter.wake(1)
    assert run.is_done
    assert [type(error) for error in escaped] == [ZeroDivisionError]


async def test_an_exception_on_cancel_goes_to_the_loop_too(escaped: list[BaseException]) -> None:
    waiter: Waiter[int] = Waiter()

    async def read() -> None:
        try:
            await waiter
        finally:
            raise ZeroDivisionError

    run = Run(read())
    run.step()
    run.cancel()
    assert run.is_done
    assert [type(error) for error in escaped] == [ZeroDivisionError]


async def test_futures_and_bare_yields() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[Any] = []

    async def read() -> None:
        await asyncio.sleep(0)
        seen.append(await future)
        try:
            await failed
        except KeyError:
            seen.append("failed")

    run = Run(read())
    run.step()
    await asyncio.sleep(0)
    future.set_result(1)
    failed.set_exception(KeyError())
    for _ in range(3):
        await asyncio.sleep(0)
    assert (seen, run.is_done) == ([1, "failed"], True)


async def test_cancelled_while_a_future_is_awaited() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        await future

    run = Run(read())
    run.step()
    run.cancel()
    future.set_result(1)
    await asyncio.sleep(0)
    assert run.is_done


class Thing:
    returned = False

    def give_back(self) -> None:
        self.returned = True


async def test_a_task_brings_its_value() -> None:
    thing, seen = Thing(), []

    async def fetch() -> Thing:
        await asyncio.sleep(0)
        return thing

    async def read() -> None:
        seen.append(await in_task(fetch(), Thing.give_back))

    Run(read()).step()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen, thing.returned) == ([thing], False)


@pytest.mark.parametrize("turns", range(5))
async def test_what_a_task_brings_too_late_is_given_back(turns: int) -> None:
    """Cancelled at any turn of the loop, before and after the task is done: never kept by nobody."""
    made: list[Thing] = []
    taken: list[Thing] = []

    async def fetch() -> Thing:
        await asyncio.sleep(0)
        made.append(Thing())
        return made[0]

    async def read() -> None:
        taken.append(await in_task(fetch(), Thing.give_back))

    run = Run(read())
    run.step()
    for _ in range(turns):
        await asyncio.sleep(0)
    run.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert run.is_done
    assert [thing.returned for thing in made] == [not taken] * len(made)


async def test_a_task_that_cannot_be_stopped_gives_back_as_well() -> None:
    thing, release = Thing(), asyncio.Event()

    async def stubborn() -> Thing:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return thing

    async def read() -> None:
        await in_task(stubborn(), Thing.give_back)

    run = Run(read())
    run.step()
    await asyncio.sleep(0)
    run.cancel()
    assert run.is_done
    release.set()
    for _ in range(4):
        await asyncio.sleep(0)
    assert thing.returned
