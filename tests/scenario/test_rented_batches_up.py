"""A whole `ringfence up` whose batches go to a rented cloud: its gateway is killed again and again until a batch has
ended, and each line is answered once, and paid once, at half the price.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batched import CHAT, form, jsonl, line
from renting import House, clouds, started_up
from sqlalchemy import text
from whole import Reply, ask, kill, until

from ringfence.store.db import Database
from ringfence.testing.fake_cloud import make_certificate

LINES, KILLS = 40, 3
CONFIG = """
discovery: {adopt: false}
logging: {requests: false}
batches: {quiet_s: 0, look_every_s: 1}
providers:
  rented: {url: RENTED, api_key: "env:RENTED_KEY", calls_per_day: 1000000, max_tokens: 48, batch: true}
models:
  smart: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15, batch_percent: 50}}
profiles:
  wide: {tier: T3, chain: [smart], budget: {month: 50}}
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    certificate, file = make_certificate(tmp_path), tmp_path / "ringfence.yaml"
    with clouds(certificate, {"rented": "openai"}) as made:
        file.write_text(CONFIG.replace("RENTED,", json.dumps(made["rented"].url) + ","))
        with started_up(file, made, certificate) as house:
            house.make_keys("wide")
            yield house


def asked(house: House, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
    """Once a gateway is there to answer."""
    return until(lambda: ask(house.root_url, method, path, body, house.keys["wide"], 20, headers), 30, path)


def begun(house: House) -> str:
    head, body = form(jsonl(line(n, f"canary {n}", model="smart") for n in range(LINES)), purpose="batch")
    content_type = head.decode().strip().partition(": ")[2]
    file = asked(house, "POST", "/v1/files", body, {"content-type": content_type}).json
    order = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    return str(asked(house, "POST", "/v1/batches", order).json["id"])


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_killed_again_and_again_each_line_is_paid_once(house: House) -> None:
    seed = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32))
    chance, batches = random.Random(seed), house.clouds["rented"].batches
    batch_id = begun(house)
    for number in range(KILLS):
        time.sleep(chance.uniform(0, 0.3))
        batches.ends = number >= KILLS // 2
        before = house.pids("gateway")
        for pid in before:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        until(lambda: set(house.pids("gateway")) - set(before), 30, "another gateway")  # noqa: B023
        asked(house, "GET", f"/v1/batches/{batch_id}")
    until(lambda: asked(house, "GET", f"/v1/batches/{batch_id}").json["status"] == "completed", 60, f"its end {seed}")
    until(lambda: not read(house, "SELECT * FROM holds"), 30, f"no holds {seed}")
    batch = asked(house, "GET", f"/v1/batches/{batch_id}").json
    assert batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}, seed
    content = asked(house, "GET", f"/v1/files/{batch['output_file_id']}/content").body
    rows = [json.loads(raw) for raw in content.splitlines()]
    assert [row["custom_id"] for row in rows] == [f"ask-{n}" for n in range(LINES)], seed
    made = list(batches.batches.values())
    assert sum(one["request_counts"]["completed"] for one in made) == LINES and len(made) == 1, seed
    assert not any(one.path.endswith("/chat/completions") for one in house.clouds["rented"].requests), seed
    paid = read(house, "SELECT cost_usd_micros FROM calls WHERE provider = 'rented'")
    costs = [cost(row["response"]["body"]["usage"]) for row in rows]
    assert sorted(one for (one,) in paid) == sorted(costs) and min(costs) > 0, seed
    until(lambda: read(house, "SELECT DISTINCT state FROM provider_batches") == [("ended",)], 30, f"its end {seed}")
    assert batches.files == {}, seed


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("model_there", ["fake-large", "another"])
def test_lines_have_the_price_of_when_they_left(house: House, model_there: str) -> None:
    """After a start with another name for their model and another price, or without it."""
    batches = house.clouds["rented"].batches
    batch_id = begun(house)
    until(lambda: read(house, "SELECT 1 FROM provider_batches WHERE state = 'submitted'"), 30, "a batch there")
    file, before = house.file, house.pids("gateway")
    written = file.read_text().replace("smart", "clever").replace("input: 3, output: 15", "input: 30, output: 150")
    file.write_text(written.replace("fake-large", model_there))
    for pid in before:
        kill(pid)
    until(lambda: set(house.pids("gateway")) - set(before), 30, "another gateway")
    asked(house, "GET", f"/v1/batches/{batch_id}")
    batches.ends = True
    until(lambda: asked(house, "GET", f"/v1/batches/{batch_id}").json["status"] == "completed", 60, "its end")
    until(lambda: not read(house, "SELECT * FROM holds"), 30, "no holds")
    output = asked(house, "GET", f"/v1/batches/{batch_id}").json["output_file_id"]
    rows = asked(house, "GET", f"/v1/files/{output}/content").body.splitlines()
    costs = [cost(json.loads(raw)["response"]["body"]["usage"]) for raw in rows]
    paid = read(house, "SELECT cost_usd_micros FROM calls WHERE provider = 'rented'")
    assert sorted(one for (one,) in paid) == sorted(costs) and len(costs) == LINES


def cost(usage: dict[str, int]) -> int:
    """By hand, in micro-dollars: half of the price, rounded up."""
    return -(-(3 * usage["prompt_tokens"] + 15 * usage["completion_tokens"]) // 2)


def read(house: House, query: str) -> list[Any]:
    with contextlib.closing(Database(house.folder / "ringfence.db")) as database:
        return [tuple(row) for row in database.call(lambda connection: connection.execute(text(query)).fetchall())]
