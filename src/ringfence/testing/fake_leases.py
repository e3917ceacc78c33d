"""Made-up leases: one that trains, one that waits for its turn, and ComfyUI, whose memory is asked back."""

from __future__ import annotations

import time
from typing import Any

GIB = 1 << 30


class FakeLeases:
    """`kept` can be changed: its times are those of the clock. What is asked for is held at once while `grants`."""

    def __init__(self) -> None:
        self.grants = True
        self.kept: list[dict[str, Any]] = [
            kept_lease(1, "finetune", 16, held=12, phase="held", priority=4, pid=8123, device="cpu", age_s=5_400),
            kept_lease(
                2, "images", 4, held=2, phase="recalled", priority=1, device="GPU-3060", age_s=310,
                reason="qwen3-8b needs it",
            ),
            kept_lease(3, "speech", 6, priority=2, pid=9001, age_s=12, reason="room is being made", estimate_s=40.0),
        ]  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """As `View.leases` tells them."""
        now_s = time.time()
        told: list[dict[str, Any]] = []
        for kept in self.kept:
            row = dict(kept)
            row["age_s"], row["expires_s"] = now_s - row.pop("asked_at_s"), max(0.0, row.pop("until_s") - now_s)
            told.append(row)
        return told

    def ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A new one, which was asked for in these words."""
        self.kept.append(
            kept_lease(
                len(self.kept) + 1, fields["tenant"], fields["memory"] / GIB, phase="held" if self.grants else "asked",
                priority=fields["priority"] or 0, pid=fields["pid"], device=fields["device"] or "GPU-4090",
            )
        )  # fmt: skip
        return self.rows()[-1]

    def beat(self, lease_id: str) -> dict[str, Any] | None:
        for row in self.kept:
            if row["id"] == lease_id:
                row["until_s"] = time.time() + 60
        return next((row for row in self.rows() if row["id"] == lease_id), None)

    def end(self, lease_id: str) -> dict[str, Any] | None:
        found = next((row for row in self.rows() if row["id"] == lease_id), None)
        self.kept = [row for row in self.kept if row["id"] != lease_id]
        return found


def kept_lease(
    number: int, tenant: str, gib: float, *, held: float = 0, phase: str = "asked", priority: int = 0,
    pid: int | None = None, device: str = "GPU-4090", age_s: float = 0.0, reason: str = "",
    estimate_s: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One for `kept`."""
    now_s = time.time()
    return {
        "id": f"lease-{number:020x}", "tenant": tenant, "device": device, "bytes": round(gib * GIB),
        "used_bytes": round(held * GIB), "priority": priority, "phase": phase, "pid": pid, "reason": reason,
        "estimate_s": estimate_s, "asked_at_s": now_s - age_s, "until_s": now_s + 60,
    }  # fmt: skip
