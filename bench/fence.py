#!/usr/bin/env python3
"""What the data fence's own functions cost on the path of a call that stays on this machine, in ns a call.

    python bench/fence.py [--rounds 300] [--calls 2000] [--out fence.json]

Measures the product's own functions with the product's own objects: the decision (standing, tools and rules, made once
and looked up afterwards), the walk, the permit, and the write on a line, which checks it. Every row is the minimum of
many short rounds, the cost of the loop itself taken off, so that other work on the machine does not count. The rows in
which a call pays are added up; more than the budget of 3 µs ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Model, Target
from ringfence.core.identity import Key
from ringfence.core.route import House, Profile
from ringfence.egress.permit import issue
from ringfence.egress.pool import Line, Pool
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.pipeline import Pipeline
from ringfence.routing.chain import walk
from ringfence.routing.standing import standing, tools_reach

BUDGET_NS = 3000
ENDPOINT = Endpoint("127.0.0.1", 9100, Boundary.HOST)
BODY = {"model": "fast", "messages": [{"role": "user", "content": "hello " * 200}]}


class Nowhere:
    """A transport that drops what is written: what is left of a write is the line's own part."""

    def write(self, data: bytes) -> None: ...


def pipeline(profile: Profile) -> Pipeline:
    """The real one, with what the fence does not touch left out."""
    target = Target("seat/fast", "fast", "vllm", "fast", Boundary.HOST, 4096, 8, abilities=frozenset(Ability))
    settings = Settings(Catalog.of([Model("fast", (target,))]), House({"default": profile}, {}, {"look": "default"}))
    left_out: dict[str, Any] = dict.fromkeys(("limits", "admission", "placement", "relay", "health", "emit", "ids"))
    left_out |= {"relay": SimpleNamespace(), "admission": SimpleNamespace(crowded=None)}
    return Pipeline(settings, **left_out)


def call() -> Call:
    return Call("call-1", Key("key_1", "bench"), DIALECT, "fast", dict(BODY), 1300, False, 0.0)


def line() -> Line:
    pool = Pool()
    pool.timer = asyncio.new_event_loop().call_later(3600, print)
    made = Line(pool, ENDPOINT)
    made.transport = Nowhere()  # type: ignore[assignment]
    return made


def rows() -> list[tuple[str, bool, Callable[[], object]]]:
    """Name, whether every local call pays it, and what is measured."""
    private, cloud = pipeline(Profile("default")), pipeline(Profile("default", Boundary.CLOUD))
    asked, ready = call(), line()
    decision = private.decided(asked)
    assert decision is not None and decision.allowed is Boundary.HOST
    wide = cloud.decided(asked)
    assert wide is not None and wide.allowed is Boundary.HOST, "a chain on this machine alone needs no reading"
    permit = issue("call-1", decision.allowed, ENDPOINT)
    house = private.settings.house

    def first() -> object:
        private.settings.decisions.clear()
        return private.decided(asked)

    return [
        ("decision, looked up", True, lambda: private.decided(asked)),
        ("walk", True, lambda: walk(decision.chain, decision.allowed, bool, 2)),
        ("issue of the permit", True, lambda: issue("call-1", decision.allowed, ENDPOINT)),
        (
            "write on the line, with its check of the permit",
            True,
            lambda: ready.ask(None, permit, b"", b"", 1.0, 1.0, True),  # type: ignore[arg-type]
        ),
        ("decision under a profile that allows clouds", False, lambda: cloud.decided(asked)),
        ("decision, made for the first time", False, first),
        ("standing", False, lambda: standing(house, "default", "", "")),
        ("tools_reach of two tools", False, lambda: tools_reach(house, ("look", "other"))),
    ]


def nothing() -> None: ...


def round_ns(measured: Callable[[], object], calls: int) -> float:
    started = perf_counter_ns()
    for _ in repeat(None, calls):
        measured()
    return (perf_counter_ns() - started) / calls


def measure(rounds: int, calls: int) -> list[dict[str, Any]]:
    """Interleaved, so that a bad moment of the machine hits all rows alike."""
    measured = rows()
    empty = float("inf")
    least = [float("inf")] * len(measured)
    gc.disable()
    for _ in range(rounds):
        empty = min(empty, round_ns(nothing, calls))
        for at, (_, _, function) in enumerate(measured):
            least[at] = min(least[at], round_ns(function, calls))
    gc.enable()
    return [
        {"function": name, "ns": round(max(0.0, ns - empty)), "every_local_call": paid}
        for (name, paid, _), ns in zip(measured, least, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--calls", type=int, default=2000, help="in each round")
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    args = parser.parse_args()
    found = measure(args.rounds, args.calls)
    total = sum(row["ns"] for row in found if row["every_local_call"])
    result = {"rows": found, "local_call_ns": total, "budget_ns": BUDGET_NS, "holds": total <= BUDGET_NS}
    print("| function | ns | paid by every local call |\n|---|--:|---|")
    for row in found:
        print(f"| {row['function']} | {row['ns']:,} | {'yes' if row['every_local_call'] else 'no'} |")
    print(f"| **a local call** | **{total:,}** | budget {BUDGET_NS:,} |")
    print(json.dumps(result))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if total <= BUDGET_NS else 1


if __name__ == "__main__":
    sys.exit(main())
