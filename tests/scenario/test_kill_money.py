"""Gateway and egress are killed at random points, under load of calls that are paid for and of others: no paid call is
without a row, none is there twice, no cap is passed, and what was answered a moment before is written down.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_rows import rows
from parked import Engine
from renting import House, clouds, started_up
from whole import kill, open_request, question, until

from ringfence.testing.fake_cloud import make_certificate
from ringfence.testing.fake_cloud_rules import words_in
from share import share_of

KILLS = share_of(200, least=30)
WRITTEN_AFTER_S = 0.1
"""An answer that was there so long before a kill is in the ledger: 50 ms, and as much for the machine."""
READ_S = 0.5
"""So long after a kill, on a busy machine, a caller may find an answer that was there before."""
MOST_TOKENS = 48
MOST_S = 400.0
INPUT, OUTPUT = 3, 15
TIGHT_MICROS, WIDE_MICROS = 200_000, 50_000_000
CONFIG = f"""
discovery: {{adopt: false}}
timeouts: {{connect_s: 1}}
logging: {{requests: false}}
providers:
  rented: {{url: RENTED, api_key: "env:RENTED_KEY", calls_per_day: 1000000, max_tokens: {MOST_TOKENS}}}
models:
  near: {{url: "http://127.0.0.1:ENGINE", engine: vllm, engine_model: fake-model}}
  smart: {{provider: rented, provider_model: fake-large, price: {{input: {INPUT}, output: {OUTPUT}}}}}
profiles:
  private: {{tier: T1, chain: [near]}}
  wide: {{tier: T3, chain: [smart], budget: {{month: {WIDE_MICROS / 1e6}}}}}
  tight: {{tier: T3, chain: [smart], budget: {{month: {TIGHT_MICROS / 1e6}}}}}
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    certificate, file, engine = make_certificate(tmp_path), tmp_path / "ringfence.yaml", Engine()
    engine.come()
    try:
        with clouds(certificate, {"rented": "openai"}) as made:
            made["rented"].pause_s = 0.002
            file.write_text(
                CONFIG.replace("RENTED,", json.dumps(made["rented"].url) + ",").replace("ENGINE", str(engine.port))
            )
            with started_up(file, made, certificate) as house:
                house.make_keys("private", "wide", "tight")
                yield house
    finally:
        engine.close()


class Traffic:
    """Callers that ask without a pause, each call under an id of its own; and when each answer was whole."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._over = threading.Event()
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._keep_asking, args=told, daemon=True)
            for told in (("private", False), ("private", True), ("wide", False), ("wide", True), ("tight", True))
        ]
        self.answered: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """By profile and id, in monotonic seconds."""
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _keep_asking(self, profile: str, stream: bool) -> None:
        while not self._over.is_set():
            call = f"{profile}-{next(self._numbers)}"
            try:
                self._ask(profile, stream, call)
            except (OSError, http.client.HTTPException, ValueError):
                self.seen[f"{profile}: broken off"] += 1
            self._over.wait(0.02)

    def _ask(self, profile: str, stream: bool, call: str) -> None:
        body = question(f"say {call}.", model="auto", stream=stream, max_tokens=8)
        key, head = self._house.keys[profile], {"x-request-id": call}
        with open_request(self._house.root_url, "POST", "/v1/chat/completions", body, key, 20.0, head) as response:
            data = response.read()
            self.seen[f"{profile}: {response.status}"] += 1
            if response.status == 200 and (not stream or b"[DONE]" in data):
                self.answered[profile][call] = time.monotonic()


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(560)
def test_killed_at_random(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32))
    _tell(capsys, f"RINGFENCE_KILL_SEED={seed}")
    chance, killed, moments = random.Random(seed), Counter[str](), list[float]()
    began = time.monotonic()
    with Traffic(house) as traffic:
        while killed.total() < KILLS and time.monotonic() - began < MOST_S:
            kind = chance.choices(("gateway", "egress"), (65, 35))[0]
            before = len(traffic.answered["wide"])
            with contextlib.suppress(AssertionError):  # a kill while it starts is one as well
                until(lambda: len(traffic.answered["wide"]) > before, 6, "an answer")  # noqa: B023
            time.sleep(chance.uniform(0, 0.15))
            for pid in house.pids(kind):
                with contextlib.suppress(ProcessLookupError):
                    at_s = time.monotonic()
                    kill(pid)
                    killed[kind] += 1
                    moments += [at_s] if kind == "gateway" else []
        _tell(capsys, f"{killed.total()} kills {dict(killed)}; {dict(sorted(traffic.seen.items()))}")
        before = len(traffic.answered["wide"])
        until(lambda: len(traffic.answered["wide"]) > before + 2, 60, "answers after all that")
    took_s = time.monotonic() - began
    house.process.terminate()
    assert house.process.wait(40) == 0
    _tell(capsys, f"{killed.total()} kills {dict(killed)} in {took_s:.0f} s; {dict(sorted(traffic.seen.items()))}")
    _check_money(house, seed, capsys)
    _check_local_rows(house, traffic, moments, seed, capsys)
    assert killed.total() >= KILLS, seed


def _check_money(house: House, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What the cloud has seen has a row, which is no cheaper than what the cloud charges; nothing is held any more."""
    charged: Counter[str] = Counter()
    for asked in house.clouds["rented"].calls:
        body = asked.body
        call = body["messages"][-1]["content"].removeprefix("say ").removesuffix(".")
        words = min(8, body.get("max_completion_tokens") or body["max_tokens"])
        charged[call] += words_in(body["messages"]) * INPUT + words * OUTPUT
    rows = _read(house, "SELECT id, profile, cost_usd_micros, hold_id, outcome FROM calls WHERE provider = 'rented'")
    paid: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for call, profile, cost, _, _ in rows:
        paid[call] += cost
        spent[profile] += cost
    holds = [hold for *_, hold, _ in rows if hold is not None]
    outcomes = Counter(outcome for *_, outcome in rows)
    _tell(capsys, f"{len(charged)} calls left, {len(rows)} rows {dict(outcomes)}; charged {sum(charged.values())}, "
          f"spent {dict(spent)} micro-dollars")  # fmt: skip
    assert len(set(holds)) == len(holds), seed
    assert _read(house, "SELECT * FROM holds") == [], seed
    assert {call: (cost, paid[call]) for call, cost in charged.items() if paid[call] < cost} == {}, seed
    assert 0 < spent["tight"] <= TIGHT_MICROS, seed
    assert 0 < spent["wide"] <= WIDE_MICROS, seed


def _check_local_rows(
    house: House, traffic: Traffic, moments: list[float], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of answers that cost nothing may be lost, but none of one that was there a moment before the kill."""
    rows = {row[0] for row in _read(house, "SELECT id FROM calls WHERE profile = 'private'")}
    lost = {call: at_s for call, at_s in traffic.answered["private"].items() if call not in rows}
    early = {call: min(abs(at_s - kill) if at_s < kill else max(0.0, at_s - kill - READ_S) for kill in moments)
             for call, at_s in lost.items()}  # fmt: skip
    longest = max(early.values(), default=0.0)
    _tell(capsys, f"{len(lost)} local rows lost of {len(traffic.answered['private'])}, the oldest {longest:.3f} s old")
    assert longest <= WRITTEN_AFTER_S, (seed, {call: one for call, one in early.items() if one > WRITTEN_AFTER_S})


def _read(house: House, query: str) -> list[tuple[str, ...]]:
    return rows(house.folder / "ringfence.db", query)


def _tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")
