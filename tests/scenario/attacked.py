"""A whole gateway in this process, with real engines on devices that are only counted and that a test can take away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from whole import Reply, ask, question

from ringfence.accelerators.simulated import Simulated
from ringfence.config.load import load
from ringfence.runtime.parts import Origin, Runtime
from ringfence.runtime.reloading import Outcome
from ringfence.store.credentials import Credentials

QUICK = "placement: {dwell_s: 0.2, quiet_s: 0.1, patience_s: 1, return_s: 1, cycle_s: 1, drain_s: 20, wait_s: 20}\n"
USUAL = "server: {port: 0}\ndiscovery: {adopt: false}\nlogging: {requests: false}\n"


class Attacked:
    """`file` is the configuration; `simulated` the devices."""

    def __init__(self, runtime: Runtime, credentials: Credentials, file: Path) -> None:
        self.runtime = runtime
        self.file = file
        self.key = credentials.api_key

    @property
    def simulated(self) -> Simulated:
        return self.runtime.placing.memory.simulated

    async def chat(self, model: str, timeout_s: float = 40.0, **more: Any) -> Reply:
        body = question("hello", model, **more)
        url = self.runtime.base_url
        return await asyncio.to_thread(ask, url, "POST", "/v1/chat/completions", body, self.key, timeout_s)

    async def reload(self, text: str) -> Outcome:
        self.file.write_text(USUAL + text)
        return await self.runtime.reload()

    def states(self) -> dict[str, str]:
        return {one.name: one.state for one in self.runtime.placement.status()}

    def phases(self) -> dict[str, str]:
        """As the planner sees them."""
        state, _plan = self.runtime.placing.reconciler.dry()
        return {one.id: one.phase.value for one in state.instances}

    async def until(self, claim: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not claim():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {what}; {self.states()}, {self.runtime.placing.recent[:5]}") from None


@asynccontextmanager
async def attacked(folder: Path, text: str) -> AsyncIterator[Attacked]:
    """Serves what `text` configures."""
    file = folder / "attacked.yaml"
    file.write_text(USUAL + text)
    runtime = Runtime(load(file, overrides={"state_dir": str(folder)}), Origin(file, {"state_dir": str(folder)}))
    credentials = await runtime.start(lambda _step: None)
    assert credentials is not None
    try:
        yield Attacked(runtime, credentials, file)
    finally:
        await runtime.stop(0.5)
