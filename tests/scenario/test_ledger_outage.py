"""A gateway whose database goes away while it is asked: nothing is paid for, local calls go on, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from renting import House, clouds, started_up
from whole import Reply, gateway_pid, until

from ringfence.testing.fake_cloud import make_certificate

CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: CLOUD, api_key: "env:RENTED_KEY", calls_per_day: 10000, max_tokens: 100}
models:
  fast: {source: TINY, threads: 1}
  smart: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}}
profiles:
  local: {chain: [fast]}
  either: {tier: T2, chain: [smart, fast]}
  paid: {tier: T3, chain: [smart]}
"""
PASSWORD = "RINGFENCE_TEST_PASSWORD"
SUMS = (
    "SELECT count(*) FROM calls",
    "SELECT coalesce(sum(cost_usd_micros), 0) FROM calls",
    "SELECT coalesce(sum(requests), 0) FROM usage",
    "SELECT coalesce(sum(cost_usd_micros), 0) FROM usage",
    "SELECT count(*) FROM holds",
)
Query = Callable[[str], Any]


@dataclass
class Books:
    """A house, and its database read by another connection."""

    house: House
    query: Query

    def sums(self) -> tuple[int, ...]:
        """Rows and their cost, the same by days, and holds."""
        return tuple(int(self.query(statement)) for statement in SUMS)

    def balanced(self, before: tuple[int, ...], replies: list[Reply]) -> None:
        """Everything that was answered since `before` is written once, and nothing is held."""
        count, cost = before[0] + len(replies), before[1] + sum(cost_of(reply) for reply in replies)
        until(lambda: self.sums() == (count, cost, count, cost, 0), 30, "books that balance")


def cost_of(reply: Reply) -> int:
    """In millionths of a dollar, by hand: $3 and $15 a million tokens."""
    if reply.status != 200 or reply.headers["x-ringfence-boundary"] != "CLOUD":
        return 0
    usage = reply.json["usage"]
    return int(3 * usage["prompt_tokens"] + 15 * usage["completion_tokens"])


def timed(house: House, profile: str) -> tuple[Reply, float]:
    began = time.monotonic()
    reply = house.chat(profile, model="auto")
    return reply, time.monotonic() - began


def refused_meanwhile(house: House, most_s: float) -> list[Reply]:
    """One call of each profile while the database is away."""
    paid, paid_s = timed(house, "paid")
    assert (paid.status, paid.code) == (503, "ledger_unavailable"), paid.body
    assert "Nothing is paid for until" in paid.json["error"]["message"] and paid.headers["retry-after"]
    local, local_s = timed(house, "local")
    either, either_s = timed(house, "either")
    assert (local.status, either.status) == (200, 200), (local.body, either.body)
    assert (local.headers["x-ringfence-boundary"], either.headers["x-ringfence-boundary"]) == ("HOST", "HOST")
    assert paid_s < most_s and either_s < most_s and local_s < 2.5, (paid_s, either_s, local_s)
    return [paid, local, either]


def paid_again(house: House) -> list[Reply]:
    """What was asked until a call was paid for: all but the last were refused."""
    replies = [house.chat("paid", model="auto")]
    by = time.monotonic() + 20
    while replies[-1].status != 200 and time.monotonic() < by:
        time.sleep(0.3)
        replies.append(house.chat("paid", model="auto"))
    assert replies[-1].status == 200, replies[-1].body
    return replies


@contextlib.contextmanager
def books(folder: Path, tiny_model: Path, query: Query, database: str = "", **env: str) -> Iterator[Books]:
    certificate, file = make_certificate(folder), folder / "ringfence.yaml"
    with clouds(certificate, {"rented": "openai"}) as made:
        text = CONFIG.replace("TINY", str(tiny_model)).replace("CLOUD", json.dumps(made["rented"].url))
        file.write_text(text + database)
        with started_up(file, made, certificate, **env) as house:
            house.make_keys("local", "either", "paid")
            yield Books(house, query)


@pytest.mark.postgres
@pytest.mark.slow
class TestPostgres:
    @pytest.fixture(scope="class")
    def kept(self, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, postgres_server: Any) -> Iterator[Books]:
        with postgres_server.database() as url:
            login, _, at = url.partition("@")
            address, password = f"{login.rpartition(':')[0]}@{at}", login.rpartition(":")[2]
            database = f"database: {{url: {json.dumps(address)}, password: 'env:{PASSWORD}'}}\n"
            folder = tmp_path_factory.mktemp("on_postgres")

            def query(statement: str) -> Any:
                return postgres_server.ask(statement, database=url)[0][0]

            with books(folder, tiny_model, query, database, **{PASSWORD: password}) as made:
                yield made

    def test_paid_and_local_calls_are_written(self, kept: Books) -> None:
        before = kept.sums()
        replies = [kept.house.chat(profile, model="auto") for profile in ("paid", "local", "either")]
        assert [cost_of(reply) > 0 for reply in replies] == [True, False, True]
        kept.balanced(before, replies)
        assert not (kept.house.folder / "ringfence.db").exists()

    def test_a_second_gateway_is_refused(self, kept: Books, tmp_path: Path) -> None:
        env = os.environ | {"RINGFENCE_STATE_DIR": str(tmp_path), PASSWORD: "of-the-tests"}
        words = ["serve", "--port", "0", "--config", str(kept.house.file)]
        command = [sys.executable, "-m", "ringfence", *words]
        second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0
        assert "is in use by another gateway" in second.stdout + second.stderr
        assert "of-the-tests" not in second.stdout + second.stderr

    def test_a_server_that_is_killed_and_comes_back(self, kept: Books, postgres_server: Any) -> None:
        before, replies = kept.sums(), []
        ending = threading.Event()

        def call(profile: str) -> list[Reply]:
            found = []
            while not ending.is_set():
                found.append(kept.house.chat(profile, model="auto"))
            return found

        with ThreadPoolExecutor(3) as callers:
            calling = [callers.submit(call, profile) for profile in ("paid", "either", "local")]
            for _ in range(2):
                time.sleep(0.5)
                postgres_server.stop()
                replies += refused_meanwhile(kept.house, 3.0)
                postgres_server.start()
                replies += paid_again(kept.house)
            ending.set()
            found = [reply for one in calling for reply in one.result()]
        assert {reply.status for reply in found} == {200, 503}
        assert {reply.code for reply in found if reply.status == 503} == {"ledger_unavailable"}
        kept.balanced(before, replies + found)

    def test_a_server_that_says_nothing(self, kept: Books, postgres_server: Any) -> None:
        before = kept.sums()
        with postgres_server.frozen():
            replies = refused_meanwhile(kept.house, 5.0)
            replies += refused_meanwhile(kept.house, 2.5)
        kept.balanced(before, replies + paid_again(kept.house))

    def test_a_gateway_that_is_killed_while_it_pays(self, kept: Books) -> None:
        house = kept.house
        before, pid = kept.sums(), gateway_pid(house)
        house.clouds["rented"].pause_s = 0.5  # all four are under way at once

        def call() -> None:
            with contextlib.suppress(Exception):
                house.chat("paid", model="auto", stream=True)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: kept.sums()[4] == 4, 20, "four holds")
        os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        house.clouds["rented"].pause_s = 0.005
        until(lambda: gateway_pid(house) != pid, 30, "another gateway")
        until(lambda: kept.sums()[4] == 0, 30, "no hold")
        after = kept.sums()
        assert after[0] == after[2] == before[0] + 4 and after[1] == after[3] > before[1]
        assert kept.query("SELECT count(*) FROM calls WHERE outcome = 'died'") == 4
        kept.balanced(after, paid_again(house))


@pytest.mark.sqlite("another program that holds its file, or moves it")
@pytest.mark.slow
class TestSqlite:
    @pytest.fixture(scope="class")
    def kept(self, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Books]:
        folder = tmp_path_factory.mktemp("on_sqlite")

        def query(statement: str) -> Any:
            with contextlib.closing(sqlite3.connect(folder / "state" / "ringfence.db", timeout=10)) as connection:
                return connection.execute(statement).fetchone()[0]

        with books(folder, tiny_model, query) as made:
            yield made

    def test_a_file_that_another_program_holds(self, kept: Books) -> None:
        before = kept.sums()
        holder = sqlite3.connect(kept.house.folder / "ringfence.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        replies = refused_meanwhile(kept.house, 5.0)
        replies += refused_meanwhile(kept.house, 2.5)
        holder.execute("ROLLBACK")
        holder.close()
        kept.balanced(before, replies + paid_again(kept.house))

    def test_a_file_that_is_moved_away_and_put_back(self, kept: Books) -> None:
        before = kept.sums()
        file = kept.house.folder / "ringfence.db"
        away = file.rename(file.with_name("moved.db"))
        replies = refused_meanwhile(kept.house, 2.5)
        assert not file.exists()
        away.rename(file)
        kept.balanced(before, replies + paid_again(kept.house))
