"""Gateway, egress and engine are killed at random points: the journal has no gap, nothing private leaves, no cap is
passed, and a local answer is back within 3 s.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from renting import SECRET, House, clouds, started_up
from whole import ask, kill, open_request, question, until

from ringfence.egress.journal_chain import Call, calls, read, verify
from ringfence.testing.fake_cloud import make_certificate
from share import share_of

KILLS = share_of(200, least=30)
BACK_WITHIN_S = 3.0
LOOK_EVERY = 25
SCARCE_CALLS = 40
MOST_TOKENS = 48
ASKED_TOKENS = 4000
PAUSE_S = 0.05
"""Between two questions of a caller: without it the callers alone would fill a small machine."""
CONFIG = f"""
discovery: {{adopt: false}}
providers:
  rented: {{url: RENTED, api_key: "env:RENTED_KEY", calls_per_day: 1000000, max_tokens: {MOST_TOKENS}}}
  other:
    {{dialect: anthropic, url: OTHER, api_key: "env:RENTED_KEY", calls_per_day: 1000000, max_tokens: {MOST_TOKENS}}}
  scarce: {{url: SCARCE, api_key: "env:RENTED_KEY", calls_per_day: {SCARCE_CALLS}, max_tokens: {MOST_TOKENS}}}
models:
  fast: {{source: TINY, threads: 1}}
  smart: {{provider: rented, provider_model: fake-large, price: {{input: 3, output: 15}}}}
  wise: {{provider: other, provider_model: fake-large, price: {{input: 3, output: 15}}}}
  rare: {{provider: scarce, provider_model: fake-large, price: {{input: 3, output: 15}}}}
profiles:
  private: {{tier: T1, chain: [fast]}}
  personal: {{tier: T2, chain: [smart, wise, fast]}}
  bold: {{tier: T3, chain: [rare, smart]}}
"""
PROVIDERS = {"rented": "openai", "other": "anthropic", "scarce": "openai"}


@pytest.fixture
def house(tmp_path: Path, tiny_model: Path) -> Iterator[House]:
    certificate, file = make_certificate(tmp_path), tmp_path / "ringfence.yaml"
    with clouds(certificate, PROVIDERS) as made:
        text = CONFIG.replace("TINY", str(tiny_model))
        for name, cloud in made.items():
            text = text.replace(name.upper() + ",", json.dumps(cloud.url) + ",")
        file.write_text(text)
        with started_up(file, made, certificate) as house:
            house.make_keys("private", "personal", "bold")
            yield house


# -- traffic -------------------------------------------------------------------------------------------------------


class Traffic:
    """Callers that ask without a pause, each request with a word of its own; `wrong` is what must never be."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._over = threading.Event()
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._keep_asking, args=told, daemon=True)
            for told in (
                ("private", "auto", False), ("private", "fast", True), ("private", "smart", False),
                ("personal", "auto", False), ("personal", "smart", True), ("personal", "wise", True),
                ("bold", "auto", False),
            )
        ]  # fmt: skip
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def word(self, profile: str) -> str:
        """Told by nobody else."""
        return f"canary-{profile}-{next(self._numbers)}-"

    def _keep_asking(self, profile: str, model: str, stream: bool) -> None:
        while not self._over.is_set():
            try:
                self._ask(profile, model, stream)
            except (OSError, http.client.HTTPException, ValueError):
                self.seen[f"{profile}: broken off"] += 1
            self._over.wait(PAUSE_S)

    def _ask(self, profile: str, model: str, stream: bool) -> None:
        body = question(self.word(profile), model=model, stream=stream, max_tokens=ASKED_TOKENS)
        body["max_tokens"] = 8 if profile == "private" else ASKED_TOKENS if model == "smart" else 20
        key = self._house.keys[profile]
        with open_request(self._house.root_url, "POST", "/v1/chat/completions", body, key, 20.0) as response:
            response.read()
            reached = response.headers.get("x-ringfence-boundary", "none")
            self.seen[f"{profile}: {response.status} {reached}"] += 1
            expected = (
                {(403, "none"), (503, "none")} if model == "smart" else {(200, "HOST"), (502, "none"), (503, "none")}
            )
            if profile == "private" and (response.status, reached) not in expected:
                self.wrong.append(f"private asked {model} and reached {reached} with {response.status}")


def local_again_s(house: House, traffic: Traffic, since: float) -> float:
    """Seconds from `since` to a whole answer to a private caller that tries until it gets one."""
    body = question(traffic.word("private"), model="auto")
    while time.monotonic() - since < 20:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            reply = ask(house.root_url, "POST", "/v1/chat/completions", body, house.keys["private"], 20.0)
            if reply.status == 200 and reply.headers["x-ringfence-boundary"] == "HOST" and reply.text:
                return time.monotonic() - since
        time.sleep(0.01)
    raise AssertionError("no local answer within 20 s")


# -- kills ---------------------------------------------------------------------------------------------------------


class Killer:
    """One strike after the other: alone, two at once, or again while what was killed is starting."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self._house = house
        self._chance = chance
        self.killed: Counter[str] = Counter()

    def strike(self) -> str:
        """The kinds that were killed, in order."""
        chance = self._chance
        kinds = chance.choices(("gateway", "egress", "engine"), (25, 45, 30), k=1 if chance.random() < 0.8 else 2)
        time.sleep(chance.uniform(0, 0.25))
        if kinds[0] == "egress" and chance.random() < 0.8:  # else it would hardly ever get as far as serving
            until(lambda: _listens(self._house.folder / "egress" / "egress.sock"), 25, "an egress process that serves")
        for number, kind in enumerate(kinds):
            if number:
                time.sleep(chance.choice((0.0, chance.uniform(0, 0.8))))
            self._kill(kind)
        return " ".join(kinds)

    def _kill(self, kind: str) -> None:
        """Whatever it is doing, or not yet doing."""
        for pid in self._house.pids(kind):
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
                self.killed[kind] += 1


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(480)
def test_killed_at_random(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32))
    with capsys.disabled():
        _tell(f"RINGFENCE_KILL_SEED={seed}")
    killer, took_s = Killer(house, random.Random(seed)), defaultdict[str, list[float]](list)
    until(lambda: house.pids("engine"), 25, "an engine")
    began = time.monotonic()
    with Traffic(house) as traffic:
        looked, late = 0, list[str]()
        while (number := killer.killed.total()) < KILLS:
            kinds = killer.strike()
            took = local_again_s(house, traffic, time.monotonic())
            took_s[kinds if " " not in kinds else "two"].append(took)
            if took > BACK_WITHIN_S:
                late.append(f"{took:.2f} s after strike {number} at {kinds}")
            if number // LOOK_EVERY > looked:
                looked = number // LOOK_EVERY
                assert (verdict := verify(house.journal)).is_whole, (seed, verdict)
        until(lambda: _reaches_a_cloud(house, traffic), 15, "an answer from a cloud after all that")
        until(lambda: _is_enough(house, traffic), 60, "as many answers in peace as kills did not let through")
    with capsys.disabled():
        _report(took_s, killer.killed, traffic.seen, time.monotonic() - began)
    assert (late, traffic.wrong) == ([], []), seed
    assert not any(" 4" in what and "private: 403" not in what for what in traffic.seen), "a caller was called wrong"
    house.process.terminate()
    assert house.process.wait(40) == 0
    _check_journal(house)
    _check_what_arrived(house)


def _reaches_a_cloud(house: House, traffic: Traffic) -> bool:
    body = question(traffic.word("personal"), model="smart", max_tokens=20)
    reply = ask(house.root_url, "POST", "/v1/chat/completions", body, house.keys["personal"])
    return reply.status == 200 and reply.headers["x-ringfence-boundary"] == "CLOUD"


def _is_enough(house: House, traffic: Traffic) -> bool:
    """Of what is looked at in the end: answers, and a cap that was reached."""
    answers = min(traffic.seen["private: 200 HOST"], traffic.seen["personal: 200 CLOUD"])
    scarce = calls(house.journal, provider="scarce")
    return answers > KILLS and max(_by_day(scarce).values(), default=0) >= SCARCE_CALLS


def _by_day(calls: list[Call]) -> Counter[str]:
    return Counter(call.sent.time[:10] for call in calls)


def _check_journal(house: House) -> None:
    """No gap: the chain is whole, and what a cloud has seen is written there, byte for byte and as often."""
    verdict = verify(house.journal)
    assert verdict.is_whole, verdict
    assert verdict.unfinished_bytes == 0
    entries = list(read(house.journal))
    assert [entry.seq for entry in entries if entry.kind != "recovered"] == sorted(
        set(range(1, verdict.lines + 1)) - {entry.seq for entry in entries if entry.kind == "recovered"}
    )
    written = calls(house.journal)
    assert {call.sent.profile for call in written} == {"personal", "bold"}
    assert {call.sent.allowed for call in written} == {"CLOUD"}
    for name, cloud in house.clouds.items():
        seen = Counter((len(asked.body_bytes), sha256(asked.body_bytes).hexdigest()) for asked in cloud.requests)
        rows = [call for call in written if call.sent.provider == name]
        sent = Counter((call.sent.bytes_out, call.sent.sha256_out) for call in rows)
        assert not seen - sent, f"{name} has seen calls that the journal does not have"
        certain = [call.sent for call in rows if call.ended is not None and call.ended.status]
        told = Counter((one.bytes_out, one.sha256_out) for one in certain)
        assert not told - seen, f"the journal says that {name} answered calls which it has not seen"
        # at midnight begins a day of which less may be used up
        assert name != "scarce" or max(_by_day(rows).values()) == SCARCE_CALLS, _by_day(rows)
        assert len(cloud.requests) <= len(rows)


def _check_what_arrived(house: House) -> None:
    """In every byte that came to a cloud, whole requests or not."""
    arrived = {name: b"".join(cloud.heard) for name, cloud in house.clouds.items()}
    assert all(b"canary-personal-" in arrived[name] for name in ("rented", "other"))
    assert b"canary-bold-" in arrived["scarce"]
    assert not any(b"canary-private-" in data for data in arrived.values())
    asked = [one.body for cloud in house.clouds.values() for one in cloud.requests]
    assert max(body.get("max_completion_tokens") or body["max_tokens"] for body in asked) == MOST_TOKENS
    kept = b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    assert b"canary-" not in kept
    assert SECRET.encode() not in kept


def _report(took_s: dict[str, list[float]], killed: Counter[str], seen: Counter[str], all_s: float) -> None:
    _tell(f"{killed.total()} kills {dict(killed)} in {all_s:.0f} s; {dict(sorted(seen.items()))}")
    for kinds, found in [*sorted(took_s.items()), ("all", [one for several in took_s.values() for one in several])]:
        ranked = sorted(found)
        p50, p99 = (ranked[min(len(ranked) - 1, int(len(ranked) * share))] for share in (0.5, 0.99))
        _tell(f"a local answer after {kinds} ({len(ranked)}): p50 {p50:.2f} s, p99 {p99:.2f} s, max {ranked[-1]:.2f} s")


def _tell(line: str) -> None:
    sys.stdout.write(f"\n{line}")
    sys.stdout.flush()
