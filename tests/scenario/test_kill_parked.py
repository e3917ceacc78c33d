"""Gateway, engine, egress and `ringfence up` are killed at random points while requests are parked: every ticket that
was given is answered, its answer is recorded once, and whoever went away without one ends as cancelled.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kept_rows import is_intact, rows
from parked import House
from parked_callers import ANSWERED, GONE, HASTY_S, NOTHING, Traffic
from parked_engine import SAID, KilledEngine
from renting import KINDS, SECRET, HeardCloud, beside, clouds
from whole import ask, children, is_alive, kill, until

from ringfence.store.failure import StoreFailed
from ringfence.testing.fake_cloud import Certificate
from ringfence.testing.ports import free_port
from share import share_of

KILLS = share_of(200, least=30)
OFTEN = {"gateway": 65, "engine": 20, "egress": 10, "up": 5}
"""Of a hundred strikes."""
LATE = KILLS * 3 // 4
"""After so many kills chance has no say any more in whether each kind is struck."""
MOST_S = 240.0
"""No more kills after that, whatever was seen; one comes about each second."""
BETWEEN_LOOKS = 5
"""Strikes: a look at the database mends what a kill left there, which is for the gateway to do."""
MOST_EARLY = 2
"""Strikes in a row at a gateway that is not ready yet: five make one that does not start."""
RENTED = """
  far: {{provider: rented, provider_model: fake-large, price: {{input: 3, output: 15}}}}
providers:
  rented: {{url: "{url}", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 48}}"""


@pytest.fixture
def engine() -> Iterator[KilledEngine]:
    engine = KilledEngine(free_port())
    yield engine
    engine.go()


@pytest.fixture
def cloud(certificate: Certificate) -> Iterator[HeardCloud]:
    """Rented, and nobody here may reach it."""
    with clouds(certificate, {"rented": "openai"}) as made:
        yield made["rented"]


@pytest.fixture
def house(tmp_path: Path, engine: KilledEngine, certificate: Certificate, cloud: HeardCloud) -> Iterator[House]:
    house = House(
        tmp_path, engine, program=beside(certificate), more=RENTED.format(url=cloud.url), RENTED_KEY=SECRET,
        PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=str(tmp_path / "compiled"),  # a start is most of the time
    )  # fmt: skip
    house.file.write_text(house.file.read_text().replace("deadline_s: 60", "deadline_s: 900, most: 100000"))
    house.start()
    yield house
    house.stop()


class Killer:
    """One strike after the other, whatever it hits is doing at that moment."""

    def __init__(self, house: House, engine: KilledEngine, chance: random.Random) -> None:
        self._house = house
        self._engine = engine
        self._chance = chance
        self._early = 0
        self.killed: Counter[str] = Counter()

    def strike(self) -> None:
        chance = self._chance
        [kind] = chance.choices([*OFTEN], [*OFTEN.values()])
        if self.killed.total() > LATE:
            kind = next((one for one in OFTEN if not self.killed[one]), kind)
        until(lambda: ask(self._house.root_url, "GET", "/health").status == 200, 30, "a gateway that listens")
        self._early = self._early + 1 if kind == "gateway" and chance.random() < 0.25 else 0
        if not 0 < self._early <= MOST_EARLY:
            self._early = 0
            until(lambda: is_alive(self._house.pid()), 30, "a gateway that is ready")
        time.sleep(chance.uniform(0, 0.25) if chance.random() < 0.95 else chance.uniform(2, 4))
        if kind == "gateway" and chance.random() < 0.4:  # and what comes waits
            self._kill_engine()
            time.sleep(chance.uniform(0, 0.25))
        {"engine": self._kill_engine, "up": self._kill_up}.get(kind, lambda: self._kill_below(kind))()
        if chance.random() < 0.8:  # a gateway is ready the sooner, and is struck while it serves what was parked
            self._engine.come()

    def _kill_engine(self) -> None:
        self.killed["engine"] += self._engine.go()

    def _kill_below(self, kind: str) -> None:
        assert self._house.process is not None
        for pid in children(self._house.process.pid):
            with contextlib.suppress(OSError):
                if KINDS[kind].encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    kill(pid)
                    self.killed[kind] += 1
                    until(lambda pid=pid: not is_alive(pid), 25, "its end")

    def _kill_up(self) -> None:
        process = self._house.process
        assert process is not None
        below = children(process.pid)
        kill(process.pid)
        process.wait(25)
        self.killed["up"] += 1
        until(lambda: not any(map(is_alive, below)), 25, "the end of what it started")
        self._house.start()


@pytest.mark.slow
@pytest.mark.timed  # two hundred starts: beside another test they take longer than it may
@pytest.mark.timeout(360)
def test_every_ticket_outlives_every_kill(
    house: House, engine: KilledEngine, cloud: HeardCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, began = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32)), time.monotonic()
    with capsys.disabled():
        _tell(f"RINGFENCE_KILL_SEED={seed}")
    killer = Killer(house, engine, random.Random(seed))
    with Traffic(house, random.Random(seed + 1)) as traffic:
        while killer.killed.total() < KILLS:
            killer.strike()
        while not _is_enough(house, traffic) and time.monotonic() - began < MOST_S:
            for _ in range(BETWEEN_LOOKS):
                killer.strike()
        killing_s = time.monotonic() - began
        until(lambda: _has_seen_both_ends(house, engine, traffic), 90, "who waits served, and deadlines that pass")
    until(lambda: ask(house.root_url, "GET", "/health").status == 200, 30, "a gateway that listens")
    for ticket in traffic.tickets:
        until(lambda ticket=ticket: traffic.look(ticket), 60, f"an answer for {ticket}")
    for ticket in traffic.tickets:
        assert traffic.look(ticket)
    rows = _rows_at_rest(house)
    with capsys.disabled():
        took_s, ended = time.monotonic() - began, Counter((row.ticketed, row.state) for row in rows)
        _tell(f"{dict(killer.killed)} kills in {killing_s:.0f} s, all of it {took_s:.0f} s; {traffic.told()}")
        _tell(f"in the record, with a ticket or without: {dict(ended)}")
    assert traffic.wrong == [], seed
    assert set(killer.killed) == set(OFTEN)
    assert traffic.seen["ticket 202"] > KILLS
    _check_tickets(rows, traffic)
    _check_who_waited(rows, traffic)
    assert cloud.heard == [] and cloud.requests == []
    kept = b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    assert b"canary-" not in kept and SAID.encode() not in kept


@dataclass(frozen=True)
class Row:
    """One line of the record."""

    id: str
    state: str
    ticketed: bool
    parked_s: float
    deadline_s: float
    ended_s: float | None


def _rows(house: House) -> list[Row]:
    file = house.folder / "ringfence.db"
    assert is_intact(file)
    return [Row(*found) for found in rows(file, f"SELECT {', '.join(Row.__dataclass_fields__)} FROM parked")]


def _rows_at_rest(house: House) -> list[Row]:
    """Once nothing waits any more."""

    def look() -> list[Row]:
        rows = _rows(house)
        return [] if any(row.state == "waiting" for row in rows) else rows

    return until(look, 25, "an end of each in the record")


def _is_enough(house: House, traffic: Traffic) -> bool:
    """What is asserted at the end of what chance has brought, and a little more: some of it is seen late."""
    try:
        left, late = _who_left(_rows(house), traffic)
    except StoreFailed:  # somebody else is at it
        return False
    return traffic.seen["ticket 202"] > KILLS and left > max(KILLS / 2, 20 * (late + 1))


def _has_seen_both_ends(house: House, engine: KilledEngine, traffic: Traffic) -> bool:
    """In peace, as between two kills it is chance: the engine goes for longer than hasty tickets wait, and comes."""
    engine.go()
    time.sleep(HASTY_S + 1)
    engine.come()
    until(lambda: not any(row.state == "waiting" for row in _rows(house) if row.ticketed), 25, "an end of each ticket")
    rows = _rows(house)
    hasty = {row.state for row in rows if traffic.tickets.get(row.id)}
    return hasty >= {"done", "expired"} and _who_waited(rows, traffic)[ANSWERED, "done"] > 0


def _check_tickets(rows: list[Row], traffic: Traffic) -> None:
    """What was given is there and has ended: with its answer, or at a deadline that has come."""
    by_id = {row.id: row for row in rows}
    assert set(traffic.tickets) <= set(by_id)
    for row in rows:
        assert row.parked_s < row.deadline_s <= row.parked_s + 86_400
        assert row.ended_s is not None
        if row.state == "expired":
            assert row.ticketed and row.deadline_s - row.parked_s == HASTY_S and row.ended_s >= row.deadline_s - 0.5
        elif row.ticketed:  # one whose caller never heard of it was begun when the gateway was killed
            assert row.state == "done" or (row.state == "cancelled" and row.id not in traffic.tickets), row
    assert {by_id[ticket].state for ticket, hasty in traffic.tickets.items() if not hasty} == {"done"}
    assert {by_id[ticket].state for ticket, hasty in traffic.tickets.items() if hasty} == {"done", "expired"}


def _who_waited(rows: list[Row], traffic: Traffic) -> Counter[tuple[str, str]]:
    """What callers got, and how their rows ended. Each is known in the record by how long it would have waited."""
    return Counter((traffic.fates[round(row.deadline_s - row.parked_s)], row.state) for row in rows if not row.ticketed)


def _who_left(rows: list[Row], traffic: Traffic) -> tuple[int, int]:
    """How many were cut off or went away while they waited, and how many just as the answer came."""
    ended = _who_waited(rows, traffic)
    left, late = (ended[NOTHING, state] + ended[GONE, state] for state in ("cancelled", "done"))
    return left, late


def _check_who_waited(rows: list[Row], traffic: Traffic) -> None:
    ended = _who_waited(rows, traffic)
    assert {state for _, state in ended} == {"done", "cancelled"}
    assert ended[ANSWERED, "done"] > 0
    left, late = _who_left(rows, traffic)
    assert left > KILLS / 2
    assert left > 20 * late


def _tell(line: str) -> None:
    sys.stdout.write(f"\n{line}")
    sys.stdout.flush()
