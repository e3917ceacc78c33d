"""Takes docs/images/cost.png anew: `python docs/take_cost_picture.py`, with chromium installed.

A ledger of 30 made-up days is written, its report made as `ringfence cost report` makes it, and looked at.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ringfence.core.ledger import CallRow
from ringfence.core.money import Rates
from ringfence.core.usage import Usage
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger

PICTURE = Path(__file__).parent / "images" / "cost.png"
SIZE = "1280,1180"
DAY_S = 86_400
CALLS = 400
"""A day, from Monday to Friday; a quarter of them on the others."""
PRICES = {
    "anthropic": Rates.of(3_000_000, 15_000_000, 300_000),
    "openai": Rates.of(1_250_000, 10_000_000, 125_000),
    "mistral": Rates.of(400_000, 2_000_000),
}
MODELS = {"": "qwen3-32b", "anthropic": "claude-sonnet", "openai": "gpt-5", "mistral": "mistral-medium"}


def made_up(now_s: float, chance: random.Random) -> list[CallRow]:
    """Calls of 30 days: most are answered by own engines, some answers were kept."""
    rows: list[CallRow] = []
    for day in range(30):
        begins_s = now_s - (30 - day) * DAY_S
        is_weekend = time.gmtime(begins_s).tm_wday >= 5
        for _ in range(CALLS // 4 if is_weekend else CALLS):
            provider = chance.choices(["", *PRICES], [80, 6, 5, 9])[0]
            prompt, answer = int(chance.lognormvariate(7, 1)), int(chance.lognormvariate(6.5, 0.8))
            outcome = chance.choices(["ok", "cached", "timeout"], [92, 7, 1])[0]
            provider = "" if outcome == "cached" else provider
            cost = PRICES[provider].cost(Usage(prompt, answer)) if provider else 0
            rows.append(CallRow(
                f"call_{len(rows)}", begins_s + chance.random() * DAY_S, chance.choice(["laptop", "ci", "agent-7"]),
                chance.choice(["default", "coding"]), "", "chat", MODELS[provider], MODELS[provider], provider, 200,
                outcome, True, prompt, 0, 0, answer, 0, False, cost, None, 0.2, 2.0,
            ))  # fmt: skip
    return rows


async def write(folder: Path) -> None:
    database = Database(folder / "ringfence.db")
    database.migrate()
    ledger = Ledger(database)
    for row in made_up(time.time(), random.Random(9)):  # noqa: S311 - made up, not secret
        ledger.record(row)
    await ledger.flush()
    database.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(write(folder / "state"))
        page = folder / "report.html"
        env = os.environ | {"RINGFENCE_STATE_DIR": str(folder / "state")}
        subprocess.run(
            [sys.executable, "-m", "ringfence", "cost", "report", "--html", str(page)], env=env, cwd=folder, check=True
        )
        subprocess.run([
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--hide-scrollbars", f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.as_uri(),
        ], check=True, stderr=subprocess.DEVNULL)  # fmt: skip


if __name__ == "__main__":
    main()
