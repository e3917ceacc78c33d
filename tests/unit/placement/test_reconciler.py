"""The reconciler over real instances: what is loaded, drained, put to sleep and ended, and when. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from planned import GIB, Scene, model, on, target
from virtual import run, until

from ringfence.core.errors import TargetFailed
from ringfence.placement.lease import Lease
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import Claim, LeasePhase, Mode, Policy, Residency, Site, TenantLease

BIG, SMALL = model("big", on("gpu0", 20)), model("small", on("gpu0", 10))
FAST = Policy(dwell_s=0.0, dwell_loads=0.0, quiet_s=0.0)


async def held(scene: Scene, name: str, timeout_s: float = 120.0) -> Lease:
    return await scene.placement.lease(target(name), timeout_s)


class TestLoad:
    @staticmethod
    def test_a_model_is_loaded_for_who_waits_and_leaves_when_nobody_uses_it() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                await asyncio.sleep(60)
                assert scene.state("big") is State.STOPPED and scene.moves() == []
                lease = await held(scene, "big")
                assert scene.engines["big"].launches[0].command == ("engine", "gpu0"), "where it was planned"
                lease.release()
                idle_s = await until(lambda: scene.state("big") is State.STOPPED, 200)
                assert 59 <= idle_s <= 62
                assert scene.moves() == [("load", ""), ("unload", "idle")]

        run(play)

    @staticmethod
    def test_one_that_is_always_there_is_loaded_unasked() -> None:
        async def play() -> None:
            async with Scene((replace(BIG, residency=Residency.ALWAYS),)) as scene:
                await until(lambda: scene.state("big") is State.READY, 3)

        run(play)

    @staticmethod
    def test_who_gives_up_is_remembered_for_a_while() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                with pytest.raises(TargetFailed) as caught:
                    await held(scene, "big", 0.1)
                assert caught.value.reason == "loading"
                await until(lambda: scene.state("big") is State.READY, 3)

        run(play)

    @staticmethod
    def test_what_a_model_was_seen_to_take_counts_and_while_it_starts_what_was_planned() -> None:
        async def play() -> None:
            scene = Scene((BIG,))
            scene.placement.missed(target("big"))
            scene.cycle()
            scene.known["big", "gpu0"] = 22 * GIB
            [starting] = scene.reconciler.dry()[0].instances
            assert starting.claims == (Claim("gpu0", 20 * GIB),)
            async with scene:
                await until(lambda: scene.state("big") is State.READY, 3)
                [ready] = scene.reconciler.dry()[0].instances
                assert ready.claims == (Claim("gpu0", 22 * GIB),)

        run(play)

    @staticmethod
    def test_a_dry_look_does_nothing() -> None:
        async def play() -> None:
            scene = Scene((BIG,))
            scene.placement.missed(target("big"))
            _state, plan = scene.reconciler.dry()
            assert [type(action).__name__ for action in plan.actions] == ["Load"]
            assert scene.state("big") is State.STOPPED and scene.events == []

        run(play)


class TestTurns:
    @staticmethod
    def test_one_in_use_is_drained_and_only_then_leaves_and_nobody_new_is_let_in() -> None:
        async def play() -> None:
            async with Scene((BIG, SMALL), policy=FAST) as scene:
                lease = await held(scene, "big")
                waiter = asyncio.create_task(held(scene, "small"))
                await until(lambda: scene.state("big") is State.DRAINING, 200)
                assert scene.placement.take(target("big")) is None, "no new one"
                await asyncio.sleep(20)
                assert scene.engines["big"].running, "the one that is there is not cut"
                assert scene.state("small") is State.STOPPED, "there is no room for it yet"
                lease.release()
                assert await until(waiter.done, 5) < 3, "its end is seen at once"
                assert scene.moves("big") == [("load", ""), ("drain", "turn"), ("unload", "drained")]
                assert not scene.engines["big"].running
                (await waiter).release()

        run(play)

    @staticmethod
    def test_a_lease_that_was_taken_since_the_plan_was_made_is_not_cut() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                (await held(scene, "big")).release()
                assert scene._task is not None
                scene.cycle()
                scene._task.cancel()
                await asyncio.sleep(70)
                state = scene.reconciler.dry()[0]
                lease = scene.placement.take(target("big"))
                [action] = scene.reconciler._planner.plan(state, scene.clock()).actions
                assert type(action).__name__ == "Unload", "by what was seen nobody uses it"
                scene.reconciler._act(action, scene.clock())
                await asyncio.sleep(5)
                assert scene.state("big") is State.DRAINING and scene.engines["big"].running
                assert lease is not None
                lease.release()
                scene.cycle()
                await until(lambda: scene.state("big") is State.STOPPED, 3)
                scene.cycle()

        run(play)

    @staticmethod
    def test_a_drain_that_never_ends_is_ended() -> None:
        async def play() -> None:
            async with Scene((BIG, SMALL), policy=FAST, drain_s=50) as scene:
                lease = await held(scene, "big")
                waiter = asyncio.create_task(held(scene, "small", 500))
                await until(lambda: scene.state("big") is State.DRAINING, 200)
                assert 49 <= await until(lambda: scene.state("big") is State.STOPPED, 200) <= 52
                await waiter
                lease.release()

        run(play)

    @staticmethod
    def test_who_waits_hears_why_and_how_long_and_who_waits_in_vain_hears_that_at_once() -> None:
        async def play() -> None:
            never = model("never", on("gpu0", 30))
            async with Scene((BIG, SMALL, never)) as scene:
                began_s = scene.clock()
                with pytest.raises(TargetFailed) as caught:
                    await held(scene, "never")
                assert scene.clock() - began_s < 1 and caught.value.reason == "loading"
                assert "cannot be loaded now" in str(caught.value.failure)
                assert scene.placement.is_refused("never") and not scene.placement.is_refused("small")
                lease = await held(scene, "big")
                with pytest.raises(TargetFailed) as caught:
                    await held(scene, "small", 1)
                assert "should be here in about" in str(caught.value.failure)
                assert (caught.value.failure.retry_after_s or 0) > 2
                lease.release()

        run(play)


class TestSleep:
    @staticmethod
    def test_one_that_can_sleeps_rather_than_leaves_and_wakes_without_a_load() -> None:
        async def play() -> None:
            sleepy = replace(
                BIG, can_sleep=True, idle_s=30.0, sites=(Site(on("gpu0", 20).shares, (Claim("gpu0", GIB),)),)
            )
            async with Scene((sleepy,)) as scene:
                (await held(scene, "big")).release()
                await until(lambda: scene.state("big") is State.SLEEPING, 100)
                assert scene.placement.take(target("big")) is None
                (await held(scene, "big")).release()
                assert len(scene.engines["big"].launches) == 1, "it is the same process"
                assert scene.moves("big") == [("load", ""), ("sleep", "idle"), ("wake", "")]

        run(play)


class TestFailed:
    @staticmethod
    def test_one_that_does_not_start_is_cleared_away_rests_and_is_tried_again() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                engine = scene.engines["big"]
                engine.refuses = "no such file"
                with pytest.raises(TargetFailed) as caught:
                    await held(scene, "big")
                assert "does not start" in str(caught.value.failure)
                await until(lambda: scene.state("big") is State.STOPPED, 5)
                [status] = scene.placement.status()
                assert (status.state, status.reason) == ("failed", "no such file")
                assert scene.moves("big")[:2] == [("load", ""), ("unload", "failed")]
                tries = len(engine.launches)
                engine.refuses = ""
                scene.placement.missed(target("big"))
                await asyncio.sleep(20)
                assert len(engine.launches) == tries, "it rests"
                for _ in range(3):
                    scene.placement.missed(target("big"))
                    await asyncio.sleep(20)
                assert scene.state("big") is State.READY
                assert scene.placement.status()[0].state == "ready"

        run(play)


class TestDevices:
    @staticmethod
    def test_a_device_that_is_lost_takes_its_models_along_and_they_come_elsewhere_at_once() -> None:
        async def play() -> None:
            two = replace(BIG, residency=Residency.ALWAYS, sites=(on("gpu0", 20), on("gpu1", 20)))
            async with Scene((two,), gpus={"gpu0": 24, "gpu1": 24}) as scene:
                lease = await held(scene, "big")
                scene.broken["gpu0"] = "it has fallen off the bus"
                scene.nudged.set()
                took_s = await until(lambda: scene.reconciler.site_of("big") == on("gpu1", 20), 30)
                assert took_s < 5
                await until(lambda: scene.state("big") is State.READY, 5)
                assert scene.moves("big")[-1] == ("load", "")
                assert "device" in [cause for _what, cause in scene.moves("big")]
                assert scene.engines["big"].launches[-1].command == ("engine", "gpu1")
                lease.release()

        run(play)

    @staticmethod
    def test_a_driver_that_says_nothing_for_a_while_costs_no_stream_its_end() -> None:
        async def play() -> None:
            two = replace(BIG, residency=Residency.ALWAYS, sites=(on("gpu0", 20), on("gpu1", 20)))
            async with Scene((two,), gpus={"gpu0": 24, "gpu1": 24}) as scene:
                lease = await held(scene, "big")
                scene.broken["gpu0"] = "its driver has not answered for 5 s"
                scene.nudged.set()
                await until(lambda: scene.state("big") is State.DRAINING, 5)
                await asyncio.sleep(20)
                assert scene.state("big") is State.DRAINING, "it is used"
                lease.release()
                await until(lambda: scene.reconciler.site_of("big") == on("gpu1", 20), 30)

        run(play)

    @staticmethod
    def test_others_who_take_the_memory_make_one_leave_and_it_does_not_come_back_at_once() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                scene.want("big", residency=Residency.ALWAYS)
                await until(lambda: scene.state("big") is State.READY, 5)
                scene.others["gpu0"] = 5 * GIB
                scene.nudged.set()
                await until(lambda: scene.state("big") is State.STOPPED, 40)
                assert scene.moves("big")[1] == ("unload", "pressure")
                scene.others["gpu0"] = 0
                scene.nudged.set()
                assert 50 <= await until(lambda: scene.state("big") is State.READY, 100) <= 62

        run(play)

    @staticmethod
    def test_large_loads_wait_for_another_program_that_holds_the_lock() -> None:
        async def play() -> None:
            locks = Locks()
            locks.is_free = False
            async with Scene((BIG, model("tiny", on("gpu0", 2)))) as scene:
                scene.reconciler.locks = locks
                waiter = asyncio.create_task(held(scene, "big", 300))
                (await held(scene, "tiny")).release()
                await asyncio.sleep(30)
                assert scene.state("big") is State.STOPPED and scene.moves("big") == []
                locks.is_free = True
                (await waiter).release()
                assert locks.begun == {"big": ["gpu0"]}, "a small one needs none"
                scene.nudged.set()
                await until(lambda: "big" in locks.ended, 3)

        run(play)

    @staticmethod
    def test_a_large_load_waits_while_the_lock_of_its_device_is_seen_to_be_held() -> None:
        async def play() -> None:
            async with Scene((BIG,)) as scene:
                scene.loads_until["gpu0"] = scene.clock() + 40
                waiter = asyncio.create_task(held(scene, "big", 300))
                await asyncio.sleep(30)
                assert scene.state("big") is State.STOPPED
                scene.loads_until.clear()
                scene.nudged.set()
                assert await until(waiter.done, 30) < 5
                (await waiter).release()

        run(play)


class Locks:
    """Of one other program."""

    def __init__(self) -> None:
        self.is_free = True
        self.begun: dict[str, list[str]] = {}
        self.ended: list[str] = []

    def begin(self, load: str, devices: list[str]) -> bool:
        if self.is_free:
            self.begun[load] = list(devices)
        return self.is_free

    def end(self, load: str) -> None:
        self.ended.append(load)


class TestSetUp:
    @staticmethod
    def test_one_that_is_set_up_otherwise_is_drained_and_loaded_anew() -> None:
        async def play() -> None:
            async with Scene((replace(BIG, residency=Residency.ALWAYS),)) as scene:
                lease = await held(scene, "big")
                scene.setups["big"] = "with another window"
                scene.nudged.set()
                await until(lambda: scene.state("big") is State.DRAINING, 5)
                assert scene.reconciler.is_outdated("big")
                assert scene.placement.estimate_s(target("big")) is not None, "who waits is told that it comes"
                await asyncio.sleep(5)
                assert scene.engines["big"].running, "not under its caller"
                lease.release()
                await until(lambda: len(scene.engines["big"].launches) == 2, 5)
                await until(lambda: scene.state("big") is State.READY, 5)
                assert not scene.reconciler.is_outdated("big")

        run(play)

    @staticmethod
    def test_one_that_is_not_wanted_any_more_leaves() -> None:
        async def play() -> None:
            async with Scene((replace(BIG, residency=Residency.ALWAYS),)) as scene:
                await until(lambda: scene.state("big") is State.READY, 5)
                scene.wants = ()
                scene.nudged.set()
                await until(lambda: scene.state("big") is State.STOPPED, 5)
                assert scene.moves("big")[-1] == ("unload", "removed")

        run(play)

    @staticmethod
    def test_what_is_not_of_a_mode_leaves_its_devices_and_comes_back_afterwards() -> None:
        async def play() -> None:
            always = replace(SMALL, residency=Residency.ALWAYS)
            async with Scene((always, BIG)) as scene:
                await until(lambda: scene.state("small") is State.READY, 5)
                scene.now = Mode("forensic", frozenset({"gpu0"}), frozenset({"big"}))
                scene.nudged.set()
                await until(lambda: scene.state("big") is State.READY, 30)
                assert scene.state("small") is State.STOPPED
                assert scene.moves("small")[-1] == ("unload", "mode")
                scene.now = None
                scene.nudged.set()
                await until(lambda: scene.state("small") is State.READY, 200)

        run(play)


class TestTenants:
    @staticmethod
    def test_a_lease_is_granted_once_its_room_is_free() -> None:
        async def play() -> None:
            async with Scene((BIG,), policy=FAST) as scene:
                (await held(scene, "big")).release()
                now_s = scene.clock()
                scene.book.rows = [
                    TenantLease("lease_1", "images", "gpu0", 10 * GIB, 0, LeasePhase.ASKED, now_s, now_s + 600)
                ]
                scene.nudged.set()
                await until(lambda: scene.book.told, 60)
                assert scene.book.told[0] == ("granted", "lease_1")
                assert scene.state("big") is State.STOPPED, "its memory was given back before"
                scene.book.rows = []

        run(play)


def test_a_cycle_waits_for_nothing_and_names_when_it_is_to_look_again() -> None:
    async def play() -> None:
        scene = Scene((BIG,), drain_s=50, policy=FAST)
        scene.placement.missed(target("big"))
        began_s = scene.clock()
        plan = scene.cycle()
        assert scene.clock() == began_s and plan is scene.reconciler.last
        assert scene.state("big") is State.STARTING
        wakes_at_s = scene.reconciler.wakes_at_s()
        assert wakes_at_s is not None and wakes_at_s <= began_s + 31, "the wish of who went elsewhere fades"
        await scene.keeper("big").stop()
        await asyncio.sleep(0)

    run(play)
