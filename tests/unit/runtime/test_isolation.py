"""Isolation claimed and checked: what is believed, and what is served meanwhile."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ringfence.config.schema import Config
from ringfence.core.errors import Forbidden, TargetUnavailable
from ringfence.core.isolation import Isolation, Wall
from ringfence.core.route import Profile, Tier
from ringfence.egress.attempt import Attempt
from ringfence.placement.instance import InstanceStatus
from ringfence.routing.standing import walled
from ringfence.runtime.isolation import CLAIM, Fenced, processes

PROBED = Config.model_validate({"isolation": {"probe": "192.0.2.7:443"}})
CLAIMED = {CLAIM: "1"}


class Tries:
    """Stands for the network; remembers where to."""

    def __init__(self, *got_out: bool) -> None:
        self.results = list(got_out)
        self.tried: list[tuple[str, int]] = []

    async def __call__(self, address: str, port: int, timeout_s: float) -> Attempt:
        self.tried.append((address, port))
        return Attempt(self.results.pop(0), "so it was")


@pytest.mark.parametrize("environment", [{}, {CLAIM: "0"}, {CLAIM: ""}])
async def test_where_nothing_is_claimed_nothing_is_tried(environment: dict[str, str]) -> None:
    tries = Tries()
    fenced = Fenced(environment, tries)
    assert not await fenced.look(PROBED)
    assert (fenced.standing.wall, tries.tried) == (Wall.UNCLAIMED, [])


async def test_a_claim_without_a_probe_is_believed_and_said_to_be() -> None:
    fenced = Fenced(CLAIMED, Tries())
    fenced.begin(Config())
    assert (fenced.standing.wall, fenced.standing.keeps_promise) == (Wall.UNCHECKED, True)
    assert "isolation.probe" in fenced.standing.mend


async def test_a_claim_is_tried_before_it_is_believed() -> None:
    tries = Tries(True, True, False)
    fenced = Fenced(CLAIMED, tries)
    fenced.begin(PROBED)
    seen = [fenced.standing.wall]
    changed = []
    for _ in range(3):
        changed.append(await fenced.look(PROBED))
        seen.append(fenced.standing.wall)
    assert seen == [Wall.CHECKING, Wall.OPEN, Wall.OPEN, Wall.HELD]
    assert changed == [True, False, True]
    assert tries.tried == [("192.0.2.7", 443)] * 3


async def test_the_log_says_it_and_how_to_mend_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await Fenced(CLAIMED, Tries(True)).look(PROBED)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "192.0.2.7:443 worked: so it was. Look whether" in record.getMessage()


async def test_what_could_not_be_tried_leaves_an_open_wall_open(caplog: pytest.LogCaptureFixture) -> None:
    async def cannot(address: str, port: int, timeout_s: float) -> Attempt:
        raise OSError(24, "Too many open files")

    fenced = Fenced(CLAIMED, cannot)
    fenced.begin(PROBED)
    assert not await fenced.look(PROBED) and fenced.standing.wall is Wall.CHECKING
    fenced.standing = Isolation(Wall.OPEN, "it was")
    assert not await fenced.look(PROBED) and fenced.standing.wall is Wall.OPEN
    assert "Too many open files" in caplog.text


async def test_the_last_look_counts_however_long_one_before_it_takes() -> None:
    """A probe that is dropped takes its time; the one that a reload names instead may answer before."""
    answers: dict[str, asyncio.Future[Attempt]] = {}

    async def slow(address: str, port: int, timeout_s: float) -> Attempt:
        answers[address] = asyncio.get_running_loop().create_future()
        return await answers[address]

    fenced = Fenced(CLAIMED, slow)
    other = Config.model_validate({"isolation": {"probe": "192.0.2.8:443"}})
    first, second = asyncio.create_task(fenced.look(PROBED)), asyncio.create_task(fenced.look(other))
    await asyncio.sleep(0)
    answers["192.0.2.8"].set_result(Attempt(True, "it answered"))
    assert await second and fenced.standing.wall is Wall.OPEN
    answers["192.0.2.7"].set_result(Attempt(False, "nothing came back"))
    assert not await first and fenced.standing.wall is Wall.OPEN


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("wall", list(Wall))
def test_only_t1_rests_on_the_wall(tier: Tier, wall: Wall) -> None:
    profile, standing = Profile("p", tier=tier), Isolation(wall, "because")
    if tier is Tier.SOVEREIGN and wall is Wall.OPEN:
        with pytest.raises(Forbidden, match="because") as refused:
            walled(profile, standing)
        assert refused.value.code == "not_isolated"
    elif tier is Tier.SOVEREIGN and wall is Wall.CHECKING:
        with pytest.raises(TargetUnavailable) as waits:
            walled(profile, standing)
        assert (waits.value.code, waits.value.retry_after_s) == ("isolation_being_tried", 1)
    else:
        assert walled(profile, standing) is profile


def instance(name: str, *, is_ours: bool) -> InstanceStatus:
    return InstanceStatus(
        name, "", "", "ready", 0.0, None, None, 0, None, None, 0, None, None, "", is_ours=is_ours
    )  # fmt: skip


def test_each_process_is_told_with_what_it_may_reach_and_how_it_is_mended() -> None:
    rented = {"url": "https://rented.example/v1", "api_key": "env:RENTED", "calls_per_day": 9, "max_tokens": 99}
    config = Config.model_validate({"providers": {"rented": rented}, "mesh": ["192.168.10.0/24"]})
    statuses = [instance("qwen", is_ours=True), instance("vllm", is_ours=False), instance("out", is_ours=True)]
    gateway, ours, theirs, egress = processes(Isolation(Wall.OPEN, "it got out", "Mend it."), config, statuses, "out")
    assert gateway == {
        "process": "gateway", "may_reach": "this machine, 192.168.10.0/24", "wall": "open", "reason": "it got out",
        "mend": "Mend it.",
    }  # fmt: skip
    assert ours == gateway | {"process": "qwen", "reason": "it runs within the gateway's wall"}
    assert (theirs["may_reach"], theirs["wall"], theirs["mend"] != "") == ("unknown", "unknown", True)
    assert (egress["process"], egress["may_reach"], egress["wall"]) == ("egress", "1 provider", "way out")
    assert processes(Isolation(Wall.HELD), Config(), statuses, "out")[3]["may_reach"] == "0 providers"
