#!/usr/bin/env python3
"""Rows a second that the ledger writes on SQLite with full sync, and what that does to the event loop.

    python bench/ledger.py [--seconds 5] [--rate 5000] [--out ledger.json]

First as many rows as go: all are recorded at once, and written to the end. Then a steady rate, in slices as events are
told, while a timer of 1 ms runs on the same loop: by how much it comes late, beside the same rate handed to a ledger
that drops it, in turns, so that other work on the machine hits both alike. Status 1 when fewer than 5,000 rows a second
are written, or when the 99th percentile is more than 1 ms later than without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time, time

import uvloop

from ringfence.core.ledger import CallRow
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.telemetry.events import FLUSH_S

TARGET_ROWS = 5_000
TARGET_MS = 1.0
TICK_S = 0.001
MOST = 60_000


class Nothing:
    """A ledger that drops what it is told."""

    def record(self, row: CallRow) -> None: ...


def row(number: int) -> CallRow:
    return CallRow(
        f"call-{number:016x}", time(), f"key_{number % 40}", "default", "coder", "chat", "small", "seat/small", "", 200,
        "ok", True, 900, 100, 0, 200, 0, False, 0, None, 0.1, 0.5,
    )  # fmt: skip


async def flat_out(ledger: Ledger, rows: int) -> tuple[float, float]:
    """Rows a second, and µs of processor time for each."""
    made = [row(number) for number in range(rows)]
    began, used = perf_counter(), process_time()
    for one in made:
        ledger.record(one)
    await ledger.flush()
    assert ledger.pending == 0
    return rows / (perf_counter() - began), (process_time() - used) / rows * 1e6


async def late(ledger: Ledger | Nothing, rate: int, seconds: float) -> list[float]:
    """Milliseconds by which a timer came late."""
    found: list[float] = []
    until = perf_counter() + seconds
    slice_at, told = perf_counter(), 0
    while perf_counter() < until:
        asked = perf_counter()
        await asyncio.sleep(TICK_S)
        found.append(max(0.0, perf_counter() - asked - TICK_S) * 1000)
        if perf_counter() - slice_at >= FLUSH_S:
            due = int((perf_counter() - until + seconds) * rate)
            for number in range(told, due):
                ledger.record(row(number))
            slice_at, told = perf_counter(), due
    return found


async def measure(seconds: float, rate: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder, "state", "ringfence.db"))
        db.migrate()
        ledger = Ledger(db)
        await flat_out(ledger, 1000)
        flat = [await flat_out(ledger, MOST // 3) for _ in range(3)]
        with_it: list[float] = []
        without: list[float] = []
        for _ in range(4):
            without += await late(Nothing(), rate, seconds / 4)
            with_it += await late(ledger, rate, seconds / 4)
            await ledger.flush()
        db.close()
    p99 = [quantiles(found, n=100)[98] for found in (without, with_it)]
    return {
        "rows_per_s": round(median(rows for rows, _ in flat)),
        "us_of_processor_a_row": round(median(us for _, us in flat), 1),
        "rate": rate,
        "ticks": len(with_it),
        "p50_ms_without": round(median(without), 3),
        "p50_ms_with": round(median(with_it), 3),
        "p99_ms_without": round(p99[0], 3),
        "p99_ms_with": round(p99[1], 3),
        "p99_ms_more": round(p99[1] - p99[0], 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the steady rate, with and without each")
    parser.add_argument("--rate", type=int, default=TARGET_ROWS, help="rows a second")
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    args = parser.parse_args()
    found = uvloop.run(measure(args.seconds, args.rate))
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["rows_per_s"] >= TARGET_ROWS and found["p99_ms_more"] <= TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
