"""How a vLLM sleeps: the routes of its development mode (`--enable-sleep-mode` and VLLM_SERVER_DEV_MODE=1).

Level 1 copies the weights to RAM and drops the cache of prompts. Level 2 drops both, and the weights have to be loaded
anew after it, which is not done here. A server without sleep mode has no such routes (404). One that was started with
the variable alone, or that computes on the processor, may say that it sleeps and free nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.core.ports import Ask, Fetch


@dataclass(frozen=True, slots=True)
class VllmSleep:
    """Fills `Sleeps`."""

    async def sleep(self, ask: Ask, level: int = 1) -> bool:
        return (await ask(f"/sleep?level={level}", {})).status == 200

    async def wake(self, ask: Ask) -> bool:
        told = await ask("/wake_up", {})
        status = told.body.get("status") if isinstance(told.body, dict) else None
        return told.status == 200 and status != "sleeping"  # newer ones tell whether all of it is awake

    async def is_asleep(self, fetch: Fetch) -> bool | None:
        told = await fetch("/is_sleeping")
        asleep = told.body.get("is_sleeping") if told.status == 200 and isinstance(told.body, dict) else None
        return asleep if isinstance(asleep, bool) else None


SLEEPS = VllmSleep()
