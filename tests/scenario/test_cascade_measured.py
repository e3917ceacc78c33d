"""What a chain that escalates saves and loses, measured by the command on 120 tasks with two scripted models.

The cheap model is right on 72 tasks; on 24 it is cut off, on 12 it refuses, and on 12 it is wrong and nothing shows it.
The dear one is right on 114: it is wrong on six of the tasks on which the cheap one is wrong as well.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from renting import SECRET, HeardCloud, beside, clouds, started_up

from ringfence.testing.fake_cloud import make_certificate
from ringfence.testing.fake_cloud_answers import Saying

pytestmark = pytest.mark.slow

TASKS = 120
CONFIG = """
discovery: {{adopt: false}}
providers:
  cheap: {{url: "{cheap}/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}}
  dear: {{url: "{dear}/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}}
models:
  small: {{provider: cheap, provider_model: fake-large, price: {{input: 0.5, output: 2}}}}
  large: {{provider: dear, provider_model: fake-large, price: {{input: 5, output: 25}}}}
chains:
  thrifty: {{models: [small, large], escalate: {{}}}}
rules:
  - {{name: cheap-first, use: [thrifty]}}
profiles:
  default: {{tier: T2}}
"""


class Scripted(HeardCloud):
    """Says what its table has for the number in the question, in so many words."""

    table: dict[int, Saying]

    def _checked(self, asked):  # type: ignore[no-untyped-def]
        body = super()._checked(asked)
        number = int(body["messages"][-1]["content"].rsplit(" ", 1)[-1])
        self.says = self.table[number]
        return body


def right(number: int) -> Saying:
    return Saying(("It", " is", f" answer-{number}."))


def cheap(number: int) -> Saying:
    kind = number % 10
    if kind < 6:
        return right(number)
    if kind < 8:
        return Saying(("It", " is", " well,"), stop_reason="max_tokens")
    return Saying(("I", " cannot", " help", " with", " that.")) if kind == 8 else Saying(("It", " is", " nothing."))


def dear(number: int) -> Saying:
    return Saying(("It", " is", " wrong.")) if number % 20 == 19 else right(number)


def test_the_report_is_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    file, tasks = tmp_path / "ringfence.yaml", tmp_path / "tasks.jsonl"
    tasks.write_text("\n".join(
        json.dumps({"prompt": f"What is number {number}", "answer": f"answer-{number}."}) for number in range(TASKS)
    ))  # fmt: skip
    with clouds(certificate, {"cheap": "openai", "dear": "openai"}, Scripted) as made:
        for name, says in (("cheap", cheap), ("dear", dear)):
            made[name].table = {number: says(number) for number in range(TASKS)}  # type: ignore[attr-defined]
            made[name].pause_s = 0
        file.write_text(CONFIG.format(cheap=made["cheap"].url, dear=made["dear"].url))
        with started_up(file, made, certificate) as house:
            command = beside(certificate, "cascade", "thrifty", "--tasks", str(tasks), "--json", "--config", str(file))
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=240, check=False, cwd=house.folder,
                env=os.environ | {"RINGFENCE_STATE_DIR": str(house.folder), "RENTED_KEY": SECRET},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            house.make_keys("default")
            reply = house.chat("default", "What is number 6", model="auto")
            assert reply.headers["x-ringfence-cascade"] == "rule cheap-first; small length; large"
    told = json.loads(done.stdout)
    # Each question has seven tokens (four words, and three of its frame), and each answer but a refusal three. In
    # micro-dollars: 7 x 5 + 3 x 25 = 110 of the dear model; 7 x 0.5 + 3 x 2 = 9.5, which is 10, of the cheap one, and
    # 7 x 0.5 + 5 x 2 = 13.5, which is 14, where it refuses.
    by_cheap = (72 + 24 + 12) * 10 + 12 * 14
    assert told["cost_alone_usd_micros"] == 120 * 110
    assert told["cost_usd_micros"] == by_cheap + 36 * 110
    assert (told["right_alone"], told["right"], told["lost"], told["won"]) == (114, 72 + 36, 6, 0)
    assert told["quality_loss_points"] == 5.0
    assert told["saved_percent"] == round(100 * (1 - (by_cheap + 3960) / 13200), 2)
    assert told["answered_by"] == {"small": 84, "large": 36}
    assert told["escalated"] == {"small length": 24, "small refusal": 12}
