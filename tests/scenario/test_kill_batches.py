"""The gateway is killed at random points while it works on a batch of 10,000 lines: in the end each line is answered
once, in order, and with what its own text was answered.

The moments come from RINGFENCE_KILL_SEED, or from chance; the seed is told.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batched import CHAT, form, jsonl, line
from kept_rows import rows
from parked import Engine
from parked_engine import Distinct, digest
from reborn import Reborn
from whole import Reply, ask, until

from ringfence.testing.ports import free_port
from share import share_of

LINES = 10_000
KILLS = share_of(60, least=12)
CONFIG = """
state_dir: {folder}
server: {{port: {port}}}
discovery: {{adopt: false}}
timeouts: {{connect_s: 1}}
logging: {{requests: false}}
batches: {{at_once: 24, quiet_s: 0}}
models:
  near: {{url: "http://127.0.0.1:{engine}", engine: vllm, engine_model: fake-model}}
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    known = engine.fake.dialect
    engine.fake.dialect = Distinct(known.kind, known.models, 64, known.words)
    engine.come()
    yield engine
    engine.close()


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> Iterator[House]:
    house = House(tmp_path, engine)
    yield house
    house.gateway.end()


class House:
    """One gateway, and what is in its database."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        port = free_port()
        config = folder / "ringfence.yaml"
        config.write_text(CONFIG.format(folder=self.state, port=port, engine=engine.port))
        self.root_url = f"http://127.0.0.1:{port}"
        self.gateway = Reborn(config, dict(os.environ), folder / "log")
        self.gateway.start()
        self.key = str(self.gateway.until_ready()["api_key"])

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Reply:
        return ask(self.root_url, method, path, body, self.key, 60.0, headers)

    def begin(self) -> str:
        head, body = form(jsonl(line(n, _text(n), model="near") for n in range(LINES)), purpose="batch")
        content_type = head.decode().strip().partition(": ")[2]
        file = self.ask("POST", "/v1/files", body, {"content-type": content_type})
        assert file.status == 200, file.body
        asked = {"input_file_id": file.json["id"], "endpoint": CHAT, "completion_window": "24h"}
        return str(self.ask("POST", "/v1/batches", asked).json["id"])

    def standing(self) -> tuple[str, int]:
        """The state of the batch, and how many lines are answered."""
        [(state, done)] = rows(self.state / "ringfence.db", "SELECT state, completed + failed FROM batches")
        return state, done


def _text(number: int) -> str:
    return f"canary-{number}"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_line_outlives_every_kill(
    house: House, tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, began = int(os.environ.get("RINGFENCE_KILL_SEED") or random.randrange(2**32)), time.monotonic()
    chance = random.Random(seed)
    batch_id = house.begin()
    points = sorted(chance.randrange(LINES) for _ in range(KILLS - 4))
    seen: list[tuple[str, int]] = []
    for point in (0, 0, *points, LINES - 1, LINES):  # the first while it is looked through, the last as it ends
        until(lambda point=point: house.standing()[1] >= min(point, LINES - 30), 60, f"{point} lines")
        time.sleep(chance.uniform(0, 0.05))
        house.gateway.kill()
        seen.append(house.standing())
        house.gateway.start()
    until(lambda: house.standing()[0] == "completed", 120, "the end of the batch")
    house.gateway.until_ready()
    batch = house.ask("GET", f"/v1/batches/{batch_id}").json
    output = house.ask("GET", f"/v1/files/{batch['output_file_id']}/content").body
    files = house.ask("GET", "/v1/files").json["data"]
    house.gateway.end()
    with capsys.disabled():
        told = f"{len(seen)} kills, {len(engine.fake.calls)} calls, {time.monotonic() - began:.0f} s"
        sys.stdout.write(f"\nRINGFENCE_KILL_SEED={seed}: {told}")
    assert len(seen) >= KILLS and sum(state == "in_progress" for state, _ in seen) >= KILLS - 10, seed
    assert batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}, seed
    assert batch["error_file_id"] is None and len(files) == 2
    answers = [json.loads(each) for each in output.splitlines()]
    assert [each["custom_id"] for each in answers] == [f"ask-{n}" for n in range(LINES)], seed
    assert len({each["id"] for each in answers}) == LINES
    for number, each in enumerate(answers):
        said = each["response"]["body"]["choices"][0]["message"]["content"]
        assert digest(_text(number)) in said, (seed, number)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary-" not in kept
