"""Made-up parked requests: two callers who wait, two tickets, and three that are not in the queue any more."""

from __future__ import annotations

import time
from typing import Any

MODELS = ("local/quality", "qwen3-8b")


class FakeParking:
    """`kept` can be changed: its times are those of the clock; `rows` tells what has passed and what is left."""

    def __init__(self) -> None:
        self.most = 1000
        self.sealed = "ok"
        self.kept: list[dict[str, Any]] = [
            kept_row(1, 47, 853, state="serving", key="open-webui"),
            kept_row(2, 192, 708, key="laptop"),
            kept_row(3, 41, 19, key="laptop"),
            kept_row(4, 7_460, 78_940, key="research-agent", ticketed=True, priority="agent", model=0),
            kept_row(5, 15_200, 3_500, key="nightly", ticketed=True, priority="background", model=0),
            kept_row(6, 620, None, state="done", key="research-agent", ticketed=True, priority="agent", model=0),
            kept_row(7, 86_000, None, state="unreadable", key="nightly", ticketed=True, priority="background"),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """As `View.parked` tells them."""
        now_s = time.time()
        told: list[dict[str, Any]] = []
        position = 0
        for kept in self.kept:
            row = dict(kept)
            parked_at_s, deadline_at_s = row.pop("parked_at_s"), row.pop("deadline_at_s")
            waits = row["state"] == "waiting"
            position += waits
            row["age_s"] = (row.pop("ended_at_s") or now_s) - parked_at_s
            row["deadline_s"] = None if deadline_at_s is None else max(0.0, deadline_at_s - now_s)
            row |= {"position": position, "estimate_s": 20.0 * position} if waits else {
                "position": None, "estimate_s": None,
            }  # fmt: skip
            told.append(row)
        return told

    def row(self, parked_id: str) -> dict[str, Any] | None:
        """One of them; None when there is none with this id."""
        return next((row for row in self.rows() if row["id"] == parked_id), None)

    async def cancel(self, parked_id: str) -> dict[str, Any] | None:
        """Its row afterwards; only what has not ended is cancelled."""
        for kept in self.kept:
            if kept["id"] == parked_id and kept["state"] in ("waiting", "serving"):
                kept |= {"state": "cancelled", "deadline_at_s": None, "ended_at_s": time.time()}
        return self.row(parked_id)


def kept_row(
    number: int, for_s: float, left_s: float | None, *, key: str, state: str = "waiting", ticketed: bool = False,
    priority: str = "user", model: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """One for `kept`: parked `for_s` ago, with `left_s` until its deadline; or, without one, over just now."""
    now_s = time.time()
    return {
        "id": f"parked-{number:020x}", "model": MODELS[model], "profile": "private", "key": key,
        "class": priority, "ticketed": ticketed, "state": state, "parked_at_s": now_s - for_s,
        "deadline_at_s": None if left_s is None else now_s + left_s, "ended_at_s": now_s if left_s is None else None,
    }  # fmt: skip
