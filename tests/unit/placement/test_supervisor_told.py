"""A supervisor that is told what to do, again and again, on a clock of its own: load, unload, sleep, wake, fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from virtual import LAUNCH, Controls, Engine, run, supervised, until

from ringfence.core.errors import TargetFailed
from ringfence.placement.events import InstanceFailed, InstanceReady, InstanceStopped
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import ImpossibleMove, State
from ringfence.placement.supervisor import Supervisor


def sleepy(engine: Engine, events: list[Any] | None = None, **more: Any) -> Supervisor:
    return supervised(engine, events, controls=Controls(engine), ask_at=engine.ask_at, **more)


def test_it_is_loaded_and_unloaded_again_and_again_each_time_as_told() -> None:
    async def scene() -> None:
        engine, moves = Engine(), list[State]()
        keeper = supervised(engine)
        keeper.on_moved = lambda: moves.append(keeper.state)
        for window in (1024, 2048, 4096):
            keeper.launch = replace(LAUNCH, spec={"window": window})
            keeper.start()
            with pytest.raises(RuntimeError):
                keeper.launch = LAUNCH
            await keeper.wait_ready(5)
            await keeper.stop()
            assert (keeper.state, keeper.endpoint, keeper.pid) == (State.STOPPED, None, None)
            assert not engine.running
        assert [launch.spec["window"] for launch in engine.launches] == [1024, 2048, 4096]
        assert moves == [State.STARTING, State.READY, State.STOPPING, State.STOPPED] * 3
        assert keeper.restarts == 0, "to be loaded is not to be restarted"

    run(scene)


def test_stopping_twice_at_once_and_while_a_caller_gives_up() -> None:
    async def scene() -> None:
        engine, events = Engine(undead_s=1.0), list[Any]()
        keeper = supervised(engine, events)
        keeper.start()
        await keeper.wait_ready(5)
        first = asyncio.create_task(keeper.stop())
        await asyncio.sleep(0.1)
        with pytest.raises(ImpossibleMove):
            keeper.start()
        first.cancel()
        await asyncio.gather(keeper.stop(), keeper.stop())
        assert keeper.state is State.STOPPED
        assert sum(isinstance(event, InstanceStopped) for event in events) == 1
        assert not engine.running

    run(scene)


def test_one_that_is_told_to_stop_while_it_backs_off() -> None:
    async def scene() -> None:
        engine = Engine(refuses="no")
        keeper = supervised(engine)
        keeper.start()
        await until(lambda: keeper.state is State.BACKING_OFF)
        await keeper.stop()
        assert keeper.state is State.STOPPED

    run(scene)


def test_a_start_that_failed_is_tried_again_as_its_output_tells() -> None:
    smaller = replace(LAUNCH, spec={"window": 1024}, command=("engine", "--small"))
    heard: list[tuple[str, ...]] = []

    def retry(lines: Any) -> Launch | None:
        heard.append(tuple(lines))
        return smaller

    async def scene() -> None:
        engine, events = Engine(refuses="out of memory"), list[Any]()
        keeper = supervised(engine, events)
        keeper.launch = replace(LAUNCH, retry=retry)
        keeper.start()
        await until(lambda: keeper.state is State.BACKING_OFF)
        engine.refuses = ""
        await keeper.wait_ready(5)
        assert engine.launches[1] is smaller
        assert keeper.launch is smaller
        assert heard == [("the window must be at most 1024",)]
        [failed] = [event for event in events if isinstance(event, InstanceFailed)]
        assert failed.reason == "out of memory; it is tried again with window 1024, --small"
        await keeper.stop()

    run(scene)


def test_sleep_and_wake() -> None:
    async def scene() -> None:
        engine, events = Engine(), list[Any]()
        keeper = sleepy(engine, events)
        keeper.start()
        await keeper.wait_ready(5)
        sleeping = asyncio.create_task(keeper.sleep())
        await asyncio.sleep(0)
        assert (keeper.state, keeper.endpoint) == (State.STOPPING, None), "its memory is not free yet"
        assert await sleeping
        assert keeper.state is State.SLEEPING
        with pytest.raises(TargetFailed):
            await keeper.wait_ready(5)
        await asyncio.sleep(600)
        assert keeper.state is State.SLEEPING
        assert engine.asked[-1] == "/is_sleeping"
        keeper.wake()
        keeper.wake()
        assert keeper.state is State.STARTING
        assert await until(lambda: keeper.endpoint) < 1
        assert len(engine.lives) == 1
        assert sum(isinstance(event, InstanceReady) for event in events) == 2
        keeper.drain()
        assert await keeper.sleep(), "a drained one may sleep too"
        await keeper.stop()
        assert keeper.state is State.STOPPED

    run(scene)


@pytest.mark.parametrize("sleeps_in_s", [None, 100.0])
def test_one_that_does_not_fall_asleep_is_stopped(sleeps_in_s: float | None) -> None:
    async def scene() -> None:
        engine = Engine(sleeps_in_s=sleeps_in_s)
        keeper = sleepy(engine)
        keeper.start()
        await keeper.wait_ready(5)
        assert not await keeper.sleep()
        assert keeper.state is State.STOPPED
        assert not engine.running
        keeper.start()
        await keeper.wait_ready(5)
        falling = asyncio.create_task(keeper.sleep())
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await keeper.stop()
        assert asyncio.get_running_loop().time() - began < 1, "who is to be stopped is not waited for"
        assert not await falling

    run(scene)


@pytest.mark.parametrize("way", ["dies", "wakes", "hangs"])
def test_one_that_breaks_in_its_sleep_is_missed_by_nobody(way: str) -> None:
    async def scene() -> None:
        engine, events = Engine(), list[Any]()
        keeper = sleepy(engine, events)
        keeper.start()
        await keeper.wait_ready(5)
        await keeper.sleep()
        if way == "dies":
            engine.lives[0].die()
        elif way == "wakes":
            engine.is_asleep = False
        else:
            engine.hangs = True
        assert await until(lambda: keeper.state is State.STOPPED) < 30
        await asyncio.sleep(600)
        assert len(engine.lives) == 1, "it is not started again"
        assert isinstance(events[-1], InstanceFailed)
        assert keeper.reason
        keeper.start()
        await keeper.wait_ready(5)
        await keeper.stop()

    run(scene)


def test_one_that_does_not_wake_up_is_started_anew() -> None:
    async def scene() -> None:
        engine = Engine()
        keeper = sleepy(engine)
        keeper.start()
        await keeper.wait_ready(5)
        await keeper.sleep()
        engine.hangs = True
        keeper.wake()
        await until(lambda: keeper.endpoint)
        assert len(engine.lives) == 2
        await keeper.stop()

    run(scene)


@pytest.mark.parametrize("way", ["loading", "waking"])
def test_one_that_dies_before_its_first_good_look_is_missed_at_once(way: str) -> None:
    """It said where it listens, or was told to wake up, and nobody has seen it well yet."""

    async def scene() -> None:
        engine, events = Engine(), list[Any]()
        keeper = sleepy(engine, events)
        keeper.start()
        if way == "loading":
            await until(lambda: engine.lives)
            engine.hangs = True
            await until(lambda: engine.asked)
        else:
            await keeper.wait_ready(5)
            await keeper.sleep()
            engine.hangs = True
            keeper.wake()
            await until(lambda: engine.asked[-1] == "/wake_up")
        engine.lives[0].die()
        assert await until(lambda: keeper.endpoint) < 3
        assert len(engine.lives) == 2
        [failed] = [event for event in events if isinstance(event, InstanceFailed)]
        assert failed.reason.startswith("the engine was ended by SIGSEGV")
        assert not failed.gave_up
        await keeper.stop()

    run(scene)


def test_one_whose_device_is_lost_is_not_started_there_again() -> None:
    async def scene() -> None:
        engine, events = Engine(), list[Any]()
        keeper = supervised(engine, events)
        keeper.fail("nothing is there yet")
        assert keeper.state is State.STOPPED
        keeper.start()
        await keeper.wait_ready(5)
        keeper.fail("gpu0: its driver reported the fault Xid 79")
        keeper.fail("gpu0: its driver reported the fault Xid 79")
        assert (keeper.state, keeper.endpoint) == (State.FAILED, None)
        await asyncio.sleep(600)
        assert not engine.running
        assert (len(engine.lives), keeper.pid) == (1, None)
        assert "Xid 79" in keeper.reason
        assert sum(isinstance(event, InstanceFailed) for event in events) == 1
        keeper.start()
        await keeper.wait_ready(5)
        await keeper.stop()

    run(scene)


def test_a_process_that_cannot_be_ended_is_told() -> None:
    async def scene() -> None:
        engine = Engine(undead_s=100.0)
        keeper = supervised(engine)
        keeper.start()
        await keeper.wait_ready(5)
        keeper.fail("its device is lost")
        await asyncio.sleep(20)
        assert "reboot" in keeper.reason
        assert keeper.pid == 1, "it still holds what it holds"
        await keeper.stop()
        assert keeper.state is State.STOPPED

    run(scene)
