"""Placement while everything that it rests on is taken away: callers, configuration, devices, memory, files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attacked import QUICK, attacked
from composed import Client, request

pytestmark = pytest.mark.slow

GIB = 1024**3
SWAP = """
devices: {gpu0: {simulated: 10GiB, headroom: 1GiB, threshold: 512MiB}}
models:
  one: {source: demo, residency: swap, memory: 6GiB, devices: [gpu0], parallel: 4}
  two: {source: demo, residency: swap, memory: 6GiB, devices: [gpu0], parallel: 4}
"""
LONG = {"max_tokens": 400, "ignore_eos": True, "stream": True}


async def test_who_waits_for_a_model_that_is_removed_is_told_at_once(tmp_path: Path) -> None:
    async with attacked(tmp_path, QUICK + SWAP) as here:
        here.runtime.placing._tasks[0].cancel()  # nothing is loaded
        waiting = asyncio.create_task(here.chat("two"))
        await here.until(lambda: here.runtime.placement.demands.waiting("two"), "caller who waits")
        outcome = await here.reload(QUICK + SWAP.replace("  two:", "  three:"))
        assert outcome.ok, outcome
        async with asyncio.timeout(15):
            reply = await waiting
        assert reply.status == 503, reply.body
        assert float(reply.headers["retry-after"]) > 0
        assert "two" not in here.runtime.placement.demands._wanted


async def test_a_model_on_a_full_device_is_set_up_otherwise_by_a_reload(tmp_path: Path) -> None:
    text = QUICK + SWAP.replace("residency: swap", "residency: always").replace("  two:", "#")
    async with attacked(tmp_path, text) as here:
        await here.until(lambda: here.states() == {"one": "ready"}, "engine")
        async with asyncio.timeout(15):
            outcome = await here.reload(text.replace("parallel: 4", "parallel: 2"))
        assert outcome.ok, outcome
        assert (await here.chat("one")).status == 200


async def test_an_engine_that_still_drains_after_a_reload_still_holds_its_memory(tmp_path: Path) -> None:
    async with attacked(tmp_path, QUICK + SWAP) as here:
        assert (await here.chat("one")).status == 200
        long = asyncio.create_task(here.chat("one", **LONG))
        users = here.runtime.placement.get("one").users
        await here.until(lambda: users.count, "user")
        assert (await here.reload(QUICK + SWAP.replace("  one:", "  three:"))).ok
        asked = asyncio.create_task(here.chat("two"))
        while users.count:
            assert here.phases().get("two") is None, "no room for it before the other has left"
            await asyncio.sleep(0.02)
        assert b"[DONE]" in (await long).body
        assert (await asked).status == 200


async def test_memory_that_others_take_makes_the_lowest_leave_until_it_is_back(tmp_path: Path) -> None:
    text = (
        QUICK
        + """
devices: {gpu0: {simulated: 20GiB, headroom: 1GiB, threshold: 512MiB}}
models:
  top: {source: demo, priority: P0, memory: 6GiB, devices: [gpu0]}
  mid: {source: demo, priority: P1, memory: 6GiB, devices: [gpu0]}
  low: {source: demo, priority: P3, memory: 6GiB, devices: [gpu0]}
"""
    )
    async with attacked(tmp_path, text) as here:
        ready = {"top": "ready", "mid": "ready", "low": "ready"}
        await here.until(lambda: here.states() == ready, "three engines", 30)
        here.simulated.grab("gpu0", "unknown", 2 * GIB)
        await here.until(lambda: here.phases() == {"top": "ready", "mid": "ready"}, "lowest that left")
        await here.until(lambda: here.simulated.free_bytes("gpu0") == 6 * GIB, "its memory")
        here.simulated.grab("gpu0", "unknown", 8 * GIB)
        await here.until(lambda: here.phases() == {"top": "ready"}, "only the top")
        await here.until(lambda: here.simulated.free_bytes("gpu0") == 6 * GIB, "its memory")
        here.simulated.grab("gpu0", "unknown", 14 * GIB)  # everything: P0 stays all the same
        await asyncio.sleep(0.2)
        assert here.phases() == {"top": "ready"}
        here.simulated.release("gpu0", "unknown")
        await here.until(lambda: here.states() == ready, "three engines again", 30)


async def test_a_device_that_is_lost_under_streams_is_left_and_used_again(tmp_path: Path) -> None:
    text = (
        QUICK
        + """
devices: {gpu0: {simulated: 10GiB}, gpu1: {simulated: 10GiB}}
models: {one: {source: demo, memory: 6GiB, devices: [gpu0, gpu1], parallel: 4}}
"""
    )
    async with attacked(tmp_path, text) as here:
        await here.until(lambda: here.states() == {"one": "ready"}, "engine")
        assert here.runtime.placing.reconciler.site_of("one").shares[0].device == "gpu0"
        streams = [asyncio.create_task(here.chat("one", **LONG | {"max_tokens": 4000})) for _ in range(4)]
        await here.until(lambda: here.runtime.placement.get("one").users.count == 4, "users")
        here.simulated.fail("gpu0", "Xid 79: it has fallen off the bus")
        replies = await asyncio.wait_for(asyncio.gather(*streams), 15)
        for reply in replies:
            assert b"[DONE]" in reply.body or b"engine_failed" in reply.body, reply.body[-200:]
        assert any(b"engine_failed" in reply.body for reply in replies)
        assert (await here.chat("one")).status == 200
        assert here.runtime.placing.reconciler.site_of("one").shares[0].device == "gpu1"
        assert here.runtime.placement.get("one").users.count == 0


async def test_a_mode_that_is_no_longer_configured_ends(tmp_path: Path) -> None:
    mode = "modes: {quiet: {devices: [gpu0], models: [two], run: [[sleep, '1000']]}}\n"
    async with attacked(tmp_path, QUICK + SWAP + mode) as here:
        modes = here.runtime.placing.modes
        modes.begin("quiet")
        await here.until(lambda: modes.switch.outcome, "switch")
        assert modes.switch.outcome == "done"
        [program] = modes._programs._running
        assert (await here.reload(QUICK + SWAP)).ok
        await here.until(lambda: program.returncode is not None, "end of its program")
        await here.until(lambda: modes.now is None, "no mode")
        assert (await here.chat("one")).status == 200
        modes.begin(None)
        await here.until(lambda: modes.switch.outcome == "done", "switch")


async def test_one_model_that_cannot_be_started_keeps_no_other_from_it(tmp_path: Path) -> None:
    text = QUICK + SWAP.replace("residency: swap", "residency: always").replace("10GiB", "20GiB")
    async with attacked(tmp_path, text) as here:
        await here.until(lambda: set(here.states().values()) == {"ready"}, "two engines")
    async with attacked(tmp_path, text) as here:
        desired, starts = here.runtime.placing.desired, here.runtime.placing.desired._starts

        def some(entry, *more):
            if entry.name == "one":
                raise OSError("its file is gone")
            return starts(entry, *more)

        desired._starts = some
        for name in ("one", "two"):
            if name in here.runtime.placing.reconciler._seats:
                await here.runtime.placement.get(name).keeper.stop()
        await here.until(lambda: here.states()["two"] == "ready", "the other engine")
        await asyncio.sleep(0.3)
        reply = await asyncio.wait_for(here.chat("one"), 15)
        assert reply.status == 503


async def test_one_model_that_cannot_be_reckoned_keeps_no_other_from_being_placed(tmp_path: Path) -> None:
    text = QUICK + SWAP.replace(
        "  one: {source: demo, residency: swap, memory: 6GiB", "  one: {source: demo, residency: swap"
    )
    async with attacked(tmp_path, text) as here:
        files = here.runtime.placing.desired.entries["one"].files
        assert files is not None
        here.runtime.placing.desired.entries["one"].files = object()
        here.runtime.placing.memory.book._known.clear()
        here.runtime.placing.memory.book.version += 1
        assert (await here.chat("two")).status == 200
        assert (await here.chat("one")).status == 200


async def test_a_thousand_who_wait_and_hang_up_leave_nothing(tmp_path: Path) -> None:
    async with attacked(tmp_path, QUICK + SWAP) as here:
        placing, demands = here.runtime.placing, here.runtime.placement.demands
        placing._tasks[0].cancel()  # nothing is loaded while it is still
        body = {"model": "one", "messages": [{"role": "user", "content": "hello"}]}
        clients = []
        for _ in range(1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", here.runtime.port)
            clients.append(Client(reader, writer))
            await clients[-1].send(request(body=body, secret=here.key.encode()))
        await here.until(lambda: demands.waiting("one") == 1000, "thousand who wait")
        for client in clients:
            client.leave()
        await here.until(lambda: not demands.waiting("one"), "end of waiting")
        assert here.runtime.placement.get("one").users.count == 0
        assert not here.runtime.pipeline.running
        assert demands.all() == ()
        unknown = await here.chat("made-up")
        assert unknown.status == 404
        assert set(demands._wanted) == {"one"}
        placing._tasks[0] = asyncio.create_task(placing.loop.run())
        assert (await here.chat("one")).status == 200


async def test_a_load_that_ends_with_its_model_frees_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "large.lock"
    text = QUICK.replace("}", f", lock_file: {lock}}}") + SWAP.replace("10GiB", "30GiB").replace("6GiB", "12GiB")
    async with attacked(tmp_path, text) as here:
        asked = asyncio.create_task(here.chat("one"))
        await here.until(lambda: here.runtime.placing.locks._loads, "load that has the lock")
        assert (await here.reload(text.replace("  one:", "  three:"))).ok
        await asked
        await here.until(lambda: not here.runtime.placing.locks._loads, "lock that is free")
        assert (await here.chat("two")).status == 200


@pytest.mark.timed
async def test_a_hot_device_slows_its_callers_and_cools_down(tmp_path: Path) -> None:
    async with attacked(tmp_path, QUICK + SWAP) as here:
        assert (await here.chat("one")).status == 200
        here.simulated.heat("gpu0", 95.0, 0.99)
        await here.until(here.runtime.placing.slowed, "slower admission")
        replies = await asyncio.gather(*(here.chat("one") for _ in range(8)))
        assert [reply.status for reply in replies] == [200] * 8
        here.simulated.heat("gpu0", 50.0, 0.1)
        await here.until(lambda: not here.runtime.placing.slowed(), "usual admission")
