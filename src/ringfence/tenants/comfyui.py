"""ComfyUI, by the HTTP API of its server (server.py, main.py and comfy/model_management.py of Comfy-Org/ComfyUI).

Its route /queue tells the same as /prompt and the whole workflows besides, prompts included: it is not asked.
What /free asks for is done between two jobs: at once where none is waiting, else after the one that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ringfence.core.ports import Ask, Fetch

COUNTED = frozenset(("cuda", "xpu", "npu", "mlu"))
"""Types of torch's devices for which it tells its own pool; of others it names the machine's memory instead."""
EVERYTHING = {"unload_models": True, "free_memory": True}


@dataclass(frozen=True, slots=True)
class ComfyUi:
    kind: str = "comfyui"
    title: str = "ComfyUI"

    async def busy(self, fetch: Fetch) -> bool | None:
        """GET /prompt: how many jobs are left, the one that runs included."""
        info = _object((await fetch("/prompt")).body, "exec_info")
        left = info.get("queue_remaining")
        return left > 0 if isinstance(left, int) else None

    async def memory(self, fetch: Fetch) -> int | None:
        """GET /system_stats: what torch has reserved, on every device that ComfyUI sees."""
        body = (await fetch("/system_stats")).body
        rows: Any = body.get("devices") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            return None
        reserved = [
            row["torch_vram_total"]
            for row in rows
            if isinstance(row, dict) and row.get("type") in COUNTED and isinstance(row.get("torch_vram_total"), int)
        ]
        return max(0, sum(reserved)) if reserved else None

    async def release(self, ask: Ask) -> bool:
        """POST /free."""
        return (await ask("/free", EVERYTHING)).status == 200


def _object(body: Any, name: str) -> dict[str, Any]:
    found: Any = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


ADAPTER = ComfyUi()
