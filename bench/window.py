#!/usr/bin/env python3
"""What making a request fit costs, in ns: one that surely fits, and conversations that do not.

    python bench/window.py [--rounds 300] [--calls 500] [--out window.json]

The first rows are the minimum of many short rounds, the cost of the loop taken off; one of up to 5 messages that costs
more than the budget of 10 µs ends with status 1. The rows of long conversations are processor time, with bytes for tokens: their
time for one message says whether it grows with their number.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any

from ringfence.gateway.shrink import SHAPES, Fitted, fit_request

BUDGET_NS = 10_000
CHAT = SHAPES["chat"]
LONG = (1_000, 2_000, 4_000, 8_000)


def chat(words: str = "hello ") -> dict[str, Any]:
    """Three messages of 1.2 KB."""
    said = (("system", 30), ("assistant", 70), ("user", 100))
    return {"model": "fast", "messages": [{"role": role, "content": words * count} for role, count in said]}


def with_tools() -> dict[str, Any]:
    """The same with eight tools, and the call of one with its result."""
    shape = {"type": "object", "properties": {"place": {"type": "string", "description": "where " * 10}}}
    tools = [
        {"type": "function", "function": {"name": f"tool_{index}", "description": "does " * 20, "parameters": shape}}
        for index in range(8)
    ]
    body = chat()
    call = {"id": "c1", "type": "function", "function": {"name": "tool_1", "arguments": '{"place": "here"}'}}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "result " * 50},
    ]
    return {**body, "tools": tools}


def agent(messages: int) -> dict[str, Any]:
    """A system prompt, a question, and calls with their results."""
    listed = chat()["messages"][::2]
    for index in range((messages - 2) // 2):
        call = {"id": f"c{index}", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
        listed += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{index}", "content": "a line of what was read\n" * 20},
        ]
    return {"model": "fast", "messages": listed}


def long(messages: int) -> dict[str, Any]:
    """A long run of an agent: questions, calls and results of 2 KB."""
    listed: list[dict[str, Any]] = [{"role": "system", "content": "be brief " * 40}]
    for index in range(messages // 4):
        call = {"id": f"c{index}", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
        listed += [
            {"role": "user", "content": "and then? " * 10},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{index}", "content": "a line of what was read\n" * 85},
            {"role": "assistant", "content": "this and that " * 20},
        ]
    return {"model": "fast", "messages": [*listed, {"role": "user", "content": "what is left?"}]}


def fastest(act: Callable[[], object], rounds: int, calls: int) -> float:
    """The minimum over rounds of the mean of a round, less what an empty one costs."""

    def once(each: Callable[[], object]) -> float:
        began = perf_counter_ns()
        for _ in repeat(None, calls):
            each()
        return (perf_counter_ns() - began) / calls

    gc.disable()
    least = min(once(act) for _ in range(rounds)) - min(once(lambda: None) for _ in range(rounds))
    gc.enable()
    return least


def least(body: dict[str, Any], window: int) -> tuple[Fitted, float]:
    """What came out, and the least processor time of a few runs."""
    costs_ns: list[int] = []
    for _ in repeat(None, 5):
        began = process_time_ns()
        fitted = fit_request(body, CHAT, window, 4_096)
        costs_ns.append(process_time_ns() - began)
    return fitted, float(min(costs_ns))


def rows(rounds: int, calls: int) -> list[tuple[str, float]]:
    """Name and ns of each."""
    surely = {
        "surely fits: 3 messages, 1.2 KB": chat(),
        "surely fits: 3 messages, 2.4 KB beyond ASCII": chat("привет "),
        "surely fits: 1 message, 8 tools": {**with_tools(), "messages": chat()["messages"][:1]},
        "surely fits: 5 messages, 8 tools, a call and its result": with_tools(),
        "surely fits: 20 messages, 9 calls and results": agent(20),
        "surely fits: 20 messages, 9 calls and results, 8 tools": {**agent(20), "tools": with_tools()["tools"]},
    }
    found: list[tuple[str, float]] = []
    for name, body in surely.items():
        assert fit_request(body, CHAT, 131_072, 1_024).is_bound
        found.append((name, fastest(lambda body=body: fit_request(body, CHAT, 131_072, 1_024), rounds, calls)))
    for count in LONG:
        body = long(count)
        for window in (65_536, 1_048_576):
            fitted, cost_ns = least(body, window)
            each = f"{cost_ns / count:,.0f} ns a message"
            found.append((f"{count:,} messages, window {window:,}: {each}; {fitted.told}", cost_ns))
    return found


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    asked.add_argument("--rounds", type=int, default=300)
    asked.add_argument("--calls", type=int, default=500)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    found = rows(given.rounds, given.calls)
    for name, cost_ns in found:
        print(f"{cost_ns:14,.0f} ns  {name}")
    if given.out:
        given.out.write_text(json.dumps(dict(found), indent=1) + "\n", encoding="utf-8")
    slowest = max(cost_ns for name, cost_ns in found if name.startswith("surely") and ": 20 " not in name)
    print(f"budget {BUDGET_NS:,} ns for what surely fits: {'kept' if slowest <= BUDGET_NS else 'missed'}")
    return int(slowest > BUDGET_NS)


if __name__ == "__main__":
    sys.exit(main())
