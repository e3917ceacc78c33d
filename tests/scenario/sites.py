"""The sites of `examples/sites` as they are given, started for real: only what is loaded is small and local.

Every model becomes a copy of the demo model, for what it takes is told by its `memory`. Times are short, windows small,
and one thread is enough for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

from ruamel.yaml import YAML
from whole import Running, control

from ringfence.testing.fake_comfyui import FakeComfyUi

ROOT = Path(__file__).resolve().parents[2]
SITES = ROOT / "examples" / "sites"
DEMO = ROOT / "src" / "ringfence" / "models" / "demo.gguf"
SHORT = {"cycle_s": 1, "dwell_s": 0, "quiet_s": 0.1, "patience_s": 3, "return_s": 1, "lazy_idle_s": 2,
         "on_demand_idle_s": 2, "wait_s": 20}  # fmt: skip
WINDOWS = {180_000: 4096, 131_072: 3072, 65_536: 2560}
"""Kept apart, for they tell modes apart; of all others it is the same."""
SETTLED_S = 20.0


def as_given(name: str) -> dict[str, Any]:
    """The settings of a site's file."""
    read = YAML(typ="safe").load((SITES / name).read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return read


def made_small(site: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same site with models that every machine can run."""
    site["placement"] = dict(SHORT)
    for slot in (site.get("slots") or {}).values():
        slot["idle_s"] = 2
    small: dict[str, Any] = {}
    for name, model in site["models"].items():
        small[name] = {word: value for word, value in model.items() if word not in ("engine", "lora_slots")}
        if "source" in model:
            file = folder / f"{name}.gguf"
            copyfile(DEMO, file)
            small[name] |= {"source": str(file), "threads": 1, "parallel": 2, "window": _small(model.get("window"))}
            if model.get("kv_type") == "fp8":
                small[name]["kv_type"] = "q8_0"  # of another engine, which is not here
    site["models"] = small
    for mode in (site.get("modes") or {}).values():
        for settings in mode.get("settings", {}).values():
            settings["window"] = _small(settings.get("window"))
    return site


def _small(window: int | None) -> int:
    return WINDOWS.get(window or 0, 2048)


def written(site: dict[str, Any], folder: Path) -> Path:
    file = folder / "ringfence.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe").dump(site, out)
    return file


class Site:
    """A site that runs. Whenever it is looked at, nothing may be on a device that does not fit there."""

    def __init__(self, up: Running) -> None:
        self.up = up

    def plan(self) -> dict[str, Any]:
        plan = control(self.up, "/plan")
        self._within(plan)
        return dict(plan)

    def _within(self, plan: dict[str, Any]) -> None:
        room = {
            one["id"]: one["total_bytes"] - one["headroom_bytes"] for one in control(self.up, "/devices")["devices"]
        }
        taken = dict.fromkeys(room, 0)
        for model in plan["models"]:
            if model["phase"] not in ("absent", "failed"):
                for device, size in model["devices"].items():
                    taken[device] += size
        assert all(taken[device] <= room[device] for device in room), (taken, room)

    def phases(self) -> dict[str, str]:
        return {one["name"]: one["phase"] for one in self.plan()["models"]}

    def ready(self) -> set[str]:
        return {name for name, phase in self.phases().items() if phase == "ready"}

    def until_ready(self, *names: str, within_s: float = SETTLED_S) -> None:
        """Until these are ready, all others are not there, and there is nothing to be done."""
        wanted = {name: "ready" if name in names else "absent" for name in self.phases()}
        until_s = time.monotonic() + within_s
        while (found := self.phases()) != wanted or (plan := self.plan())["actions"] or plan["waiting"]:
            assert time.monotonic() < until_s, f"{found} and not {wanted}; {self.plan()['waiting']}"
            time.sleep(0.1)

    def moves(self) -> list[tuple[str, str]]:
        """What was done so far, the last first."""
        return [(one["what"], one["name"]) for one in self.plan()["recent"]]

    def processes(self) -> dict[str, int]:
        """By model, of those that run."""
        return {one["name"]: one["pid"] for one in control(self.up, "/status")["instances"] if one["pid"]}

    def switch(self, mode: str | None) -> dict[str, Any]:
        """Switched, and over; what came of it."""
        told = control(self.up, "/mode", "POST", {"mode": mode})
        until_s = time.monotonic() + SETTLED_S
        while told["switch"]["outcome"] is None:
            assert time.monotonic() < until_s, told
            time.sleep(0.1)
            self.plan()
            told = control(self.up, "/modes")
        return dict(told)


class Comfy:
    """ComfyUI as it answers, on a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fake: FakeComfyUi) -> None:
        self._loop = loop
        self._fake = fake
        self.url = fake.endpoint.url

    def draw(self) -> None:
        self._loop.call_soon_threadsafe(self._fake.submit)

    def finish(self) -> None:
        self._loop.call_soon_threadsafe(self._fake.finish)

    @property
    def freed(self) -> int:
        """How often it was asked to free its memory."""
        return len(self._fake.freed)


@contextlib.contextmanager
def comfy() -> Iterator[Comfy]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    fake = FakeComfyUi()
    asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
    try:
        yield Comfy(loop, fake)
    finally:
        asyncio.run_coroutine_threadsafe(fake.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
