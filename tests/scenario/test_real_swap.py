"""Two real models, of which one fits: fifty callers who want both are all served, with hardly more swaps than somebody
would have needed who knew all requests beforehand."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median

import pytest
from swap_optimum import Times, least_swaps
from whole import control, open_request, question

from ringfence.testing.tiny_model import tiny_model as made_tiny_model

CALLERS = 50
LASTS_S = float(os.environ.get("RINGFENCE_SWAP_S", "120"))
MODELS = ("day", "night")
CONFIG = """
models:
  day: {{source: {day}, residency: swap, memory: 600MiB, devices: [sim0], parallel: 8, window: 512}}
  night: {{source: {night}, residency: swap, memory: 600MiB, devices: [sim0], parallel: 8, window: 512}}
devices:
  sim0: {{simulated: 1GiB, headroom: 64MiB, threshold: 32MiB}}
placement: {{dwell_s: 3, quiet_s: 1, patience_s: 12, wait_s: 120}}
admission: {{wait_s: 120}}
discovery: {{adopt: false}}
"""


@dataclass(frozen=True, slots=True)
class Asked:
    model: str
    sent_s: float
    began_s: float
    status: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Stay:
    """A model was loaded from `load_s`, answered from `ready_s`, and was left at `left_s`."""

    model: str
    load_s: float
    ready_s: float
    left_s: float


class Callers:
    """Each has something going on with either model, and asks it again a little after its answer: so either is asked
    all the time, whichever is loaded."""

    def __init__(self, root_url: str, key: str) -> None:
        self.asked: list[Asked] = []
        self.broken: list[BaseException] = []
        self._at = root_url, key
        self._over = threading.Event()

    @contextmanager
    def calling(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._keep_on, args=(number, model))
            for number in range(CALLERS)
            for model in MODELS
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(150)

    def _keep_on(self, number: int, model: str) -> None:
        chance = Random(number)
        while not self._over.wait(chance.uniform(1.0, 4.0)):
            try:
                self.asked.append(self._ask(model))
            except (OSError, http.client.HTTPException) as broken:
                self.broken.append(broken)

    def _ask(self, model: str) -> Asked:
        root_url, key = self._at
        body = question("night and day", model=model, stream=True, ignore_eos=True)
        sent_s = time.time()
        with open_request(root_url, "POST", "/v1/chat/completions", body, key, 150.0) as response:
            began_s = time.time()
            return Asked(model, sent_s, began_s, response.status, response.read())


@pytest.mark.slow
@pytest.mark.timeout(int(LASTS_S) + 240)
def test_hardly_more_swaps_than_with_foresight_and_no_request_fails(start_up, tmp_path: Path) -> None:
    sources = {name: made_tiny_model(tmp_path, seed) for seed, name in enumerate(MODELS)}
    (tmp_path / "ringfence.yaml").write_text(CONFIG.format(**sources))
    up = start_up(folder=tmp_path)
    callers = Callers(up.root_url, up.api_key)
    moves: dict[tuple[float, str, str], None] = {}
    with callers.calling():
        until_s = time.monotonic() + LASTS_S
        while time.monotonic() < until_s:
            time.sleep(0.2)
            told = control(up, "/plan")
            moves |= {(each["at_s"], each["what"], each["name"]): None for each in told["recent"]}
            held = [each for each in told["models"] if each["phase"] not in ("absent", "stopping")]
            assert len(held) <= 1, held
    assert callers.broken == []
    assert [each for each in callers.asked if each.status != 200 or b"[DONE]" not in each.text] == []
    stays = stays_of(sorted(moves), callers.asked)
    swaps = len(stays) - 1
    assert swaps > 2
    arrivals = [
        (each.sent_s, each.model) for each in callers.asked if stays[0].ready_s < each.sent_s < stays[-2].left_s
    ]
    times = times_of(stays)
    longest_s = max(wait_s(stays, times, at_s, model) for at_s, model in arrivals)
    least = least_swaps(arrivals, times, longest_s, first=stays[0].model, begins_s=stays[0].ready_s)
    print(
        f"{len(callers.asked)} requests, {swaps} swaps, at least {least}; away for {longest_s:.1f} s at most; {times}"
    )
    assert least
    assert swaps <= max(1.2 * least, least + 1)


def stays_of(moves: list[tuple[float, str, str]], asked: list[Asked]) -> list[Stay]:
    """From what was done and when the first request was answered."""
    found: list[Stay] = []
    for at_s, what, model in moves:
        if what == "load":
            ready_s = min((each.began_s for each in asked if each.model == model and each.began_s > at_s), default=at_s)
            found.append(Stay(model, at_s, ready_s, float("inf")))
        elif found and found[-1].model == model and found[-1].left_s > at_s:
            found[-1] = replace(found[-1], left_s=at_s)
    return found


def wait_s(stays: list[Stay], times: dict[str, Times], at_s: float, model: str) -> float:
    """How long a model that is asked for now has to be waited for: until the other one is left for it, and a swap of
    the usual length. That an engine answers only so many at a time is left out, as where the least is reckoned."""
    for before, stay in pairwise(stays):
        if before.model == model and before.left_s >= at_s:
            return 0.0
        if stay.model == model and stay.left_s >= at_s:
            swap_s = times[before.model].drain_s + times[model].load_s
            return max(0.0, before.left_s - at_s) + swap_s if stay.ready_s > at_s else 0.0
    raise AssertionError("nobody came back for it")


def times_of(stays: list[Stay]) -> dict[str, Times]:
    """As they mostly were in this run: from a load to the first answer, and from being left to the next load."""
    return {
        model: Times(
            median(stay.ready_s - stay.load_s for stay in stays if stay.model == model),
            median(then.load_s - stay.left_s for stay, then in pairwise(stays) if stay.model == model),
        )
        for model in MODELS
    }
