"""A day of each kind of site: what must hold holds, a seed is one run, and time passes only where it should."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from ringfence.simulation.loop import Deadlock, VirtualLoop, run
from ringfence.simulation.run import BUSY, QUIET, simulate
from ringfence.simulation.setting import SETTINGS

FAULTS_AN_HOUR = 6.0


@pytest.mark.parametrize(("seed", "hours", "busy"), [(1, 1, True), (2, 1, True), (3, 1, True), (4, 2, False),
                                                     (5, 2, False), (6, 2, False)])  # fmt: skip
def test_nine_hours(seed: int, hours: float, busy: bool) -> None:
    outcome = simulate(seed, hours, busy)
    assert not outcome.problems, outcome.told()
    assert outcome.hours == pytest.approx(hours, abs=0.02)
    assert outcome.faults >= FAULTS_AN_HOUR * hours
    assert outcome.requests >= 0.8 * hours * 3600 * (BUSY if busy else QUIET)
    assert outcome.counts["call ok"] > 0.5 * outcome.requests
    assert outcome.counts["load"] > 5


def test_all_sites_are_simulated() -> None:
    assert {simulate(seed, 0.1, busy=False).setting for seed in range(3)} == {each.name for each in SETTINGS}


def test_a_seed_is_one_run_whatever_the_process() -> None:
    def digest(hash_seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ringfence.simulation", "--seed", "7", "--hours", "0.2", "--busy"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, timeout=50, check=True,
        )  # fmt: skip
        return next(line for line in done.stdout.splitlines() if "digest" in line)

    assert digest("1") == digest("2")


def test_another_seed_is_another_run() -> None:
    assert simulate(1, 0.1, busy=True).digest != simulate(4, 0.1, busy=True).digest


def test_time_passes_only_while_everybody_waits() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        async def wait(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(loop.time())

        await asyncio.gather(wait(86_400.0), wait(0.5), wait(0.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.0):
                await asyncio.Event().wait()
        seen.append(loop.time())
        return seen

    assert run(main(), VirtualLoop()) == [0.0, 0.5, 86_400.0, 86_460.0]


def test_a_deadlock_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main(), VirtualLoop())


def test_after_a_suspension_all_timers_of_that_time_are_due_in_their_order() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        order: list[int] = []
        for number, at_s in enumerate((30.0, 10.0, 20.0)):
            loop.call_later(at_s, order.append, number)
        loop.pass_time(3600.0)
        await asyncio.sleep(0.001)
        return order

    assert run(main(), VirtualLoop()) == [1, 2, 0]
