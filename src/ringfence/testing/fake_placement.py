"""Made-up placement: models in every phase, what would be done, and a switch of modes that is under way."""

from __future__ import annotations

import time
from copy import deepcopy
from math import sin
from typing import Any

from ringfence.testing.fake_status import GIB, MIB

HOUR_S, EVERY_S = 3600, 5
IMAGES, SPEECH = (f"lease-{number:020x}" for number in (2, 3))
"""Of `FakeLeases`."""


class FakePlacement:
    """Everything can be changed. `script` are the steps that the next switch takes: each question for the modes takes
    one more, and the last of them is its outcome."""

    def __init__(self) -> None:
        now_s = time.time()
        self.plan: dict[str, Any] = sample_plan(now_s)
        self.modes: dict[str, Any] = sample_modes(now_s)
        self.reserved: dict[str, dict[str, int]] = deepcopy(RESERVED)
        self.points = sample_timeline(now_s)
        self.script: list[str] = []
        self._coming: list[str] = []
        self.asked: list[str | None] = []

    def now(self) -> dict[str, Any]:
        """The modes; a switch has come one step further."""
        switch = self.modes["switch"]
        if self._coming and switch is not None and switch["outcome"] is None:
            text = self._coming.pop(0)
            if self._coming:
                switch["steps"].append({"at_s": time.time(), "text": text})
            else:
                switch["outcome"] = text
                self.modes["now"] = switch["to"] if text == "done" else switch["from"]
        return deepcopy(self.modes)

    def switch(self, name: str | None) -> dict[str, Any]:
        """A switch has begun."""
        self.asked.append(name)
        begun = {"to": name, "from": self.modes["now"], "since_s": time.time(), "steps": [], "outcome": None}
        self.modes["switch"] = begun
        self._coming = list(self.script)
        return deepcopy(self.modes)

    def goes_on(self, *steps: str) -> None:
        """The switch that is under way takes these as well: one begun without a script has no end until then."""
        self._coming += steps


RESERVED: dict[str, dict[str, int]] = {
    "cpu": {"headroom_bytes": 4 * GIB, "threshold_bytes": 2 * GIB, "leased_bytes": 4 * GIB},
    "GPU-4090": {"headroom_bytes": GIB, "threshold_bytes": 512 * MIB, "leased_bytes": 0},
    "GPU-3060": {"headroom_bytes": 512 * MIB, "threshold_bytes": 256 * MIB, "leased_bytes": 2 * GIB},
    "sim0": {"headroom_bytes": GIB, "threshold_bytes": 512 * MIB, "leased_bytes": 0},
}


def sample_plan(now_s: float) -> dict[str, Any]:
    """A model whose turn comes, and everybody whom that touches."""
    turn = "llama3.3-70b has waited 41 s for its turn"
    return {
        "actions": [
            _action("unload", "tts-kokoro", {"cpu": 400 * MIB}, "failed", "it failed 3 times in a row"),
            _action("recall", IMAGES, {"GPU-3060": 4 * GIB}, "", "qwen3-8b needs it"),
            _action("load", "vision-7b", {"sim0": 5 * GIB}, "", "1 caller waits for it"),
        ],
        "waiting": [
            {"name": "llama3.3-70b", "reason": "qwen3-14b serves 1 request and leaves after it", "estimate_s": 48.0},
            {"name": SPEECH, "reason": "6.0 GiB of RTX 4090 are held by qwen3-8b", "estimate_s": 610.0},
        ],
        "refused": [{"name": "mixtral-8x22b", "reason": "it takes 79.0 GiB, and no device has more than 64.0 GiB"}],
        "asked_again_in_s": 4.2,
        "models": [
            sample_model("qwen3-8b", "ready", {"GPU-4090": 18 * GIB + 124 * MIB}, priority="P0", running=3, waiting=1),
            sample_model("nomic-embed-text", "ready", {"cpu": 600 * MIB}, idle_s=95.0, basis="configured"),
            sample_model("qwen3-14b", "draining", {"GPU-3060": 6 * GIB + 512 * MIB}, "swap", running=1),
            sample_model("llama3.3-70b", "absent", {}, "swap", waiting=2, basis="predicted"),
            sample_model("coder-80b", "sleeping", {"sim0": GIB}, "lazy", "P2", idle_s=1_830.0),
            sample_model("vision-7b", "starting", {"sim0": 5 * GIB}, "on_demand", "P2", waiting=1, basis="predicted"),
            sample_model("whisper-large-v3", "stopping", {"cpu": 3 * GIB}, "on_demand", "P3", idle_s=61.0),
            sample_model("tts-kokoro", "failed", {"cpu": 400 * MIB}, "lazy", "P3"),
            sample_model("mixtral-8x22b", "absent", {}, "on_demand", "P3", waiting=1, basis="predicted"),
        ],
        "mode": None,
        "recent": [
            _done(now_s - 12, "drain", "qwen3-14b", turn),
            _done(now_s - 31, "sleep", "coder-80b", "nobody used it for 10 min"),
            _done(now_s - 64, "load", "qwen3-14b", "2 callers waited for it"),
            _done(now_s - 700, "grant", IMAGES, "its room is free"),
            _done(now_s - 4_000, "wake", "coder-80b", "1 caller waited for it"),
        ],
    }


def sample_model(
    name: str, phase: str, devices: dict[str, int], residency: str = "always", priority: str = "P1", **more: Any
) -> dict[str, Any]:
    """One row of `models`."""
    rest = {"running": 0, "waiting": 0, "idle_s": None, "basis": "observed"}
    own = {"name": name, "residency": residency, "priority": priority, "phase": phase, "devices": devices}
    return own | rest | more


def _action(what: str, name: str, devices: dict[str, int], cause: str, reason: str) -> dict[str, Any]:
    return {"what": what, "name": name, "devices": devices, "cause": cause, "reason": reason}


def _done(at_s: float, what: str, name: str, reason: str) -> dict[str, Any]:
    return {"at_s": at_s, "what": what, "name": name, "reason": reason}


def sample_modes(now_s: float) -> dict[str, Any]:
    """Three, none of which is on; a switch to one has begun."""
    steps = ["qwen3-14b takes no new requests", "images may have 10.0 GiB of NVIDIA GeForce RTX 3060"]
    return {
        "modes": [
            {"name": "forensic", "devices": ["GPU-4090"], "models": ["llama3.3-70b"], "tenants": []},
            {"name": "creative", "devices": ["GPU-3060"], "models": ["vision-7b"], "tenants": ["images"]},
            {"name": "audio", "devices": ["GPU-3060", "sim0"], "models": ["whisper-large-v3"], "tenants": ["studio"]},
        ],
        "now": None,
        "switch": {
            "to": "creative", "from": None, "since_s": now_s - 9, "outcome": None,
            "steps": [{"at_s": now_s - 9 + place, "text": text} for place, text in enumerate(steps)],
        },
    }  # fmt: skip


def sample_timeline(now_s: float) -> dict[str, list[list[float]]]:
    """The last hour: a model that comes and goes, a program that grows, a lease; and ten minutes without a reading."""
    times = [int(now_s) - HOUR_S + EVERY_S * place for place in range(1, HOUR_S // EVERY_S + 1)]

    def points(ours: Any, others: Any, leased: Any = lambda _place: 0) -> list[list[float]]:
        each = enumerate(times)
        return [[at_s, int(ours(place)), int(others(place)), int(leased(place))] for place, at_s in each]

    swapping = points(
        lambda place: GIB * (6.5 if place // 120 % 2 else 2.8 if place % 120 > 6 else 0.4),
        lambda place: GIB * (1 + place / 720),
        lambda place: 2 * GIB if place > 400 else 0,
    )
    return {
        "cpu": points(lambda place: (6 + sin(place / 40)) * GIB, lambda place: (15 + sin(place / 90)) * GIB),
        "GPU-4090": points(lambda place: 18.1 * GIB if place > 150 else 0, lambda _place: 900 * MIB),
        "GPU-3060": swapping[:300] + swapping[420:],
        "sim0": points(lambda place: GIB if place % 300 > 200 else 5 * GIB, lambda _place: 0),
    }
