"""The gateway, and `ringfence up` with it, are killed at random points while requests are parked: every ticket that was
given is answered, its answer is recorded once, and whoever waited without one ends as cancelled.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from parked import TICKET, Engine, House
from whole import ask, children, is_alive, kill, open_request, question, until

KILLS = 200
BROKEN = (OSError, http.client.HTTPException, ValueError)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    engine = Engine()
    house = House(tmp_path, engine)
    house.file.write_text(house.file.read_text().replace("deadline_s: 60", "deadline_s: 900, most: 100000"))
    house.start()
    yield house
    house.stop()
    engine.close()


class Traffic:
    """Callers that take tickets, callers that wait, and one that looks what has become of the tickets."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self._house = house
        self._chance = chance
        self._over = threading.Event()
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._keep_on, args=(work,), daemon=True)
            for work in (self._take_ticket, self._take_ticket, self._wait, self._look)
        ]
        self.tickets: list[str] = []
        self.answers: dict[str, bytes] = {}
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

    def look(self, ticket: str) -> bool:
        """Whether it is answered; an answer that has been seen stays as it is."""
        reply = self._house.look(ticket)
        if reply.status != 200:
            if reply.status != 202:
                self.wrong.append(f"{ticket}: {reply.status} {reply.body!r}")
            return False
        if self.answers.setdefault(ticket, reply.body) != reply.body:
            self.wrong.append(f"{ticket} was answered twice")
        return bool(reply.text)

    def _keep_on(self, work: object) -> None:
        while not self._over.is_set():
            try:
                work()  # type: ignore[operator]
            except BROKEN as error:
                self.seen[type(error).__name__] += 1
            self._over.wait(0.03)

    def _body(self, **more: object) -> dict[str, object]:
        return question(f"canary-{next(self._numbers)}-", **more)

    def _take_ticket(self) -> None:
        house = self._house
        reply = ask(house.root_url, "POST", "/v1/chat/completions", self._body(), house.key, 30.0, TICKET)
        self.seen[f"ticket {reply.status}"] += 1
        if reply.status == 202:
            self.tickets.append(reply.json["id"])
        elif reply.status not in (200, 503):
            self.wrong.append(f"{reply.status} {reply.body!r}")

    def _wait(self) -> None:
        body = self._body(stream=True)
        with open_request(
            self._house.root_url, "POST", "/v1/chat/completions", body, self._house.key, self._chance.uniform(0.1, 2)
        ) as response:
            whole = response.read().endswith(b"data: [DONE]\n\n")
        self.seen[f"waited, {'answered' if whole else 'not answered'}"] += 1

    def _look(self) -> None:
        for ticket in self._chance.sample(self.tickets, min(3, len(self.tickets))):
            self.look(ticket)


def strike(house: House, chance: random.Random) -> str:
    """One process is killed, whatever it does at this moment."""
    until(lambda: ask(house.root_url, "GET", "/health").status == 200, 30, "a gateway that listens")
    if chance.random() < 0.8:  # else it would be given up, as one that never gets as far as being ready
        until(lambda: is_alive(house.pid()), 30, "a gateway that is ready")
    time.sleep(chance.uniform(0, 0.25))
    if chance.random() < 0.6:
        house.engine.go()
        time.sleep(chance.uniform(0, 0.25))
    assert house.process is not None
    if chance.random() < 0.05:
        below = children(house.process.pid)
        kill(house.process.pid)
        house.process.wait(10)
        until(lambda: not any(map(is_alive, below)), 10, "the end of the gateway")
        house.start()
        return "up"
    for pid in children(house.process.pid):
        with contextlib.suppress(OSError):
            if b"ringfence.runtime.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                kill(pid)
                until(lambda pid=pid: not is_alive(pid), 10, "its end")
                return "gateway"
    return "nothing"


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_every_ticket_outlives_every_kill(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32))
    with capsys.disabled():
        _tell(f"RINGFENCE_KILL_SEED={seed}")
    chance, killed, began = random.Random(seed), Counter[str](), time.monotonic()
    with Traffic(house, random.Random(seed + 1)) as traffic:
        while killed["gateway"] + killed["up"] < KILLS:
            killed[strike(house, chance)] += 1
            if chance.random() < 0.8:  # a gateway is ready the sooner, and is struck while it serves what was parked
                house.engine.come()
    house.engine.come()
    until(lambda: ask(house.root_url, "GET", "/health").status == 200, 30, "a gateway that listens")
    for ticket in traffic.tickets:
        until(lambda ticket=ticket: traffic.look(ticket), 60, f"an answer for {ticket}")
    for ticket in traffic.tickets:
        assert traffic.look(ticket)
    with capsys.disabled():
        took_s = time.monotonic() - began
        _tell(f"{dict(killed)} kills in {took_s:.0f} s; {len(traffic.tickets)} tickets; {dict(traffic.seen)}")
    assert traffic.wrong == [], seed
    assert len(traffic.tickets) > KILLS
    _check_record(house, traffic)
    kept = b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    assert b"canary-" not in kept


def _check_record(house: House, traffic: Traffic) -> None:
    """Nothing waits any more; every ticket is done, and whoever went away without one is cancelled."""

    def rows() -> list[tuple[str, str, bool]]:
        with sqlite3.connect(f"file:{house.folder / 'ringfence.db'}?mode=ro", uri=True) as read:
            return read.execute("SELECT id, state, ticketed FROM parked").fetchall()

    until(lambda: not [row for row in rows() if row[1] == "waiting"], 10, "an end of each in the record")
    ended = Counter((bool(ticketed), state) for _, state, ticketed in rows())
    assert {state for ticketed, state in ended if ticketed} <= {"done", "cancelled"}
    assert {parked for parked, state, ticketed in rows() if ticketed and state == "done"} >= set(traffic.tickets)
    assert {state for ticketed, state in ended if not ticketed} <= {"done", "cancelled"}
    assert ended[False, "cancelled"] > 0


def _tell(line: str) -> None:
    sys.stdout.write(f"\n{line}")
    sys.stdout.flush()
