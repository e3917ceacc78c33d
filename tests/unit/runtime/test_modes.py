"""Switching modes: over real instances, with real programs. The engines are only pretended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from planned import Scene, model, on, target

from ringfence.config.placing import ModeSettings
from ringfence.placement.events import Moved
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import Mode, Policy, Priority, Residency
from ringfence.runtime import mode_programs, modes
from ringfence.runtime.modes import Modes, SwitchGoesOn

SMALL = model("small", on("gpu0", 10), residency=Residency.ALWAYS)
BIG = model("big", on("gpu0", 20))


STAYS = "trap 'touch {0}/ended; exit' TERM; touch {0}/ready; sleep 60 & wait"
"""A program that tells when it could be ended, and that it was."""


class Owner:
    """What the owner wants, as far as modes look at it: the place of `Desired`."""

    def __init__(self, scene: Scene, said: dict[str, ModeSettings]) -> None:
        self.scene = scene
        self.config = SimpleNamespace(modes=said)
        self.entries: dict[str, Any] = {one.name: one for one in scene.wants}
        self.name: str | None = None

    @property
    def now(self) -> str | None:
        return self.name

    @now.setter
    def now(self, name: str | None) -> None:
        said = self.config.modes.get(name)
        self.name = name
        self.scene.now = Mode(name, frozenset(said.devices), frozenset(said.models)) if name and said else None

    def mode(self) -> Mode | None:
        return self.scene.now


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 0.1)
    monkeypatch.setattr(mode_programs, "GRACE_S", 25)


@pytest.fixture
def _looks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a program takes until it has ended by itself."""
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 25)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene((SMALL, BIG), policy=Policy(dwell_s=0.0, dwell_loads=0.0, quiet_s=0.0)) as scene:
        for engine in scene.engines.values():
            engine.load_s = 0.02
        yield scene


@pytest.fixture
async def switching(scene: Scene, tmp_path: Path) -> AsyncIterator[Callable[..., Modes]]:
    made: list[Modes] = []

    def switching(run: str = "", **more: Any) -> Modes:
        commands = (("/bin/sh", "-c", run),) if run else ()
        said = ModeSettings(devices=("gpu0",), models=("big",), run=commands, **more)
        owner = Owner(scene, {"forensic": said, "other": ModeSettings(devices=("gpu0",), models=("small",))})
        made.append(Modes(owner, scene.reconciler, scene.nudged.set, tmp_path / "mode"))  # type: ignore[arg-type]
        return made[-1]

    yield switching
    for each in made:
        await each.close()


async def over(modes: Modes) -> str:
    """How the switch ended."""
    async with asyncio.timeout(25):
        while modes.switch is None or modes.switch.outcome is None:
            await asyncio.sleep(0.01)
    return modes.switch.outcome


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(25):
        while not claim():
            await asyncio.sleep(0.01)


async def test_a_switch_waits_for_strangers_to_leave_and_for_its_own_to_be_ready(
    scene: Scene, switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes, began = switching(f"touch {tmp_path}/begun; exec sleep 60"), tmp_path / "begun"
    lease = await scene.placement.lease(target("small"), 5)
    modes.begin("forensic")
    await until(lambda: scene.state("small") is State.DRAINING)
    await asyncio.sleep(0.1)
    assert modes.switch is not None and modes.switch.outcome is None and not began.exists()
    lease.release()
    assert await over(modes) == "done"
    assert scene.state("small") is State.STOPPED and scene.state("big") is State.READY
    await until(began.exists)
    assert (modes.now, (tmp_path / "mode").read_text()) == ("forensic", "forensic\n")
    told = [step.text for step in modes.switch.steps]
    assert told == ["the devices are handed over", "sh was started", "everything that belongs to it is ready"]


async def test_when_it_ends_its_programs_are_stopped_and_the_others_come_back(
    scene: Scene, switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes, ended = switching(STAYS.format(tmp_path)), tmp_path / "ended"
    modes.begin("forensic")
    assert await over(modes) == "done" and not ended.exists()
    await until((tmp_path / "ready").exists)
    modes.begin(None)
    assert await over(modes) == "done"
    assert ended.exists() and modes.now is None and not (tmp_path / "mode").exists()
    scene.want("big", idle_s=0.1)
    await until(lambda: scene.state("small") is State.READY)


async def test_what_never_leaves_may_stay(scene: Scene, switching: Callable[..., Modes]) -> None:
    kept = model("kept", on("gpu0", 1), residency=Residency.ALWAYS, priority=Priority.P0)
    scene.wants = (*scene.wants, kept)
    scene.add("kept")
    scene.engines["kept"].load_s = 0.02
    await scene.placement.lease(target("kept"), 5)
    modes = switching()
    modes.begin("forensic")
    assert await over(modes) == "done"
    assert scene.state("kept") is State.READY


async def test_it_is_taken_back_when_a_member_does_not_start(
    scene: Scene, switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes = switching(STAYS.format(tmp_path))
    scene.engines["big"].loads_after = (tmp_path / "ready").exists
    scene.engines["big"].refuses = "no such file"
    modes.begin("forensic")
    assert await over(modes) == "rolled back: big does not start: no such file"
    assert modes.now is None and not (tmp_path / "mode").exists() and (tmp_path / "ended").exists()
    await until(lambda: scene.state("small") is State.READY)


async def test_it_is_taken_back_when_a_member_is_not_ready_in_time(
    scene: Scene, switching: Callable[..., Modes]
) -> None:
    modes = switching(ready_s=0.2)
    scene.engines["big"].load_s = 60.0
    modes.begin("forensic")
    assert await over(modes) == "rolled back: not ready in time: big"
    assert modes.now is None


@pytest.mark.usefixtures("_looks_on")
async def test_it_is_taken_back_to_the_mode_before_when_a_program_fails(
    scene: Scene, switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes = switching("exit 3")
    modes.begin("other")
    assert await over(modes) == "done"
    modes.begin("forensic")
    assert await over(modes) == "rolled back: /bin/sh ended at once, with exit status 3"
    assert (modes.now, (tmp_path / "mode").read_text()) == ("other", "other\n")
    await until(lambda: scene.state("small") is State.READY)


async def test_a_second_switch_is_refused_until_the_first_is_over(
    scene: Scene, switching: Callable[..., Modes]
) -> None:
    modes = switching()
    modes.begin("forensic")
    with pytest.raises(SwitchGoesOn, match="forensic"):
        modes.begin(None)
    with pytest.raises(KeyError):
        modes.begin("unknown")
    assert await over(modes) == "done"
    modes.begin(None)
    assert await over(modes) == "done"


async def test_what_is_moved_meanwhile_is_told(scene: Scene, switching: Callable[..., Modes]) -> None:
    modes = switching()
    modes.moved(Moved("load", "small", "it is to be here"))  # nobody switches
    modes.begin("forensic")
    modes.moved(Moved("unload", "small", "mode forensic"))
    assert await over(modes) == "done"
    shown = modes.shown()
    assert (shown["now"], shown["switch"]["to"], shown["switch"]["from"]) == ("forensic", "forensic", None)
    assert shown["switch"]["steps"][0]["text"] == "unload small: mode forensic"
    assert [one["name"] for one in shown["modes"]] == ["forensic", "other"]


class TestRestart:
    async def test_the_mode_that_was_on_is_on_before_anything_is_loaded_and_its_programs_run_again(
        self, scene: Scene, switching: Callable[..., Modes], tmp_path: Path
    ) -> None:
        (tmp_path / "mode").write_text("forensic\n")
        modes = switching(f"touch {tmp_path}/begun; exec sleep 60")
        await modes.restore()
        assert modes.now == "forensic" and modes.switch is None
        modes.resume()
        assert await over(modes) == "done"
        assert scene.state("big") is State.READY
        await until((tmp_path / "begun").exists)

    @pytest.mark.parametrize("written", ["gone\n", "", None])
    async def test_one_that_is_not_configured_any_more_is_not(
        self, switching: Callable[..., Modes], tmp_path: Path, written: str | None
    ) -> None:
        if written is not None:
            (tmp_path / "mode").write_text(written)
        modes = switching()
        await modes.restore()
        modes.resume()
        assert modes.now is None and modes.switch is None

    @pytest.mark.usefixtures("_looks_on")
    async def test_one_whose_program_fails_is_off(self, switching: Callable[..., Modes], tmp_path: Path) -> None:
        (tmp_path / "mode").write_text("forensic\n")
        modes = switching("exit 1")
        await modes.restore()
        modes.resume()
        assert (await over(modes)).startswith("rolled back") and modes.now is None


async def test_one_that_is_taken_out_of_the_configuration_ends(
    scene: Scene, switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes = switching(STAYS.format(tmp_path))
    modes.begin("forensic")
    assert await over(modes) == "done"
    await until((tmp_path / "ready").exists)
    modes.follow()
    assert modes.now == "forensic"
    del modes._desired.config.modes["forensic"]
    modes.follow()
    assert await over(modes) == "done"
    assert modes.now is None and (tmp_path / "ended").exists()


async def test_a_gateway_that_ends_ends_its_programs_and_keeps_the_mode(
    switching: Callable[..., Modes], tmp_path: Path
) -> None:
    modes = switching(STAYS.format(tmp_path))
    modes.begin("forensic")
    assert await over(modes) == "done"
    await until((tmp_path / "ready").exists)
    await modes.close()
    assert (tmp_path / "ended").exists() and (tmp_path / "mode").read_text() == "forensic\n"


async def test_one_that_is_set_up_otherwise_in_the_mode_is_loaded_anew(
    scene: Scene, switching: Callable[..., Modes]
) -> None:
    scene.wants = (replace(BIG, residency=Residency.ALWAYS),)
    await until(lambda: scene.state("big") is State.READY)
    modes = switching()
    scene.setups["big"] = "with another window"
    modes.begin("forensic")
    assert await over(modes) == "done"
    assert len(scene.engines["big"].launches) == 2
