"""An event loop whose time passes at once, and an engine process that is only pretended. No socket, no thread."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Fetched
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.launch import Launch
from ringfence.placement.output import Output
from ringfence.placement.process import NotStarted
from ringfence.placement.supervisor import Supervisor

T = TypeVar("T")
LAUNCH = Launch("llamacpp", "tiny", ("engine",), {"window": 4096})
PROPS = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 2}
MODELS = {"object": "list", "data": [{"id": "tiny"}]}


class Skipping(selectors.SelectSelector):
    """Nothing is ever ready: instead of waiting, the time is put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for something that never comes")
        self.now_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual."""

    def __init__(self) -> None:
        self.skipping = Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.now_s


def run(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`scene` to its end, in no time; fails when a task is left over."""
    loop = VirtualLoop()

    async def whole() -> T:
        result = await scene()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    try:
        return loop.run_until_complete(whole())
    finally:
        loop.close()


@dataclass
class Engine:
    """Every life of one pretended engine, and how it behaves now."""

    load_s: float = 1.0
    loads_after: Callable[[], object] | None = None
    """What has to be so before it is done with loading."""
    refuses: str = ""
    hangs: bool = False
    status: int = 200
    health: Any = field(default_factory=lambda: {"status": "ok"})
    works: float = 0.0
    """Processor seconds a second."""
    undead_s: float = 0.0
    is_asleep: bool = False
    sleeps_in_s: float | None = 1.0
    lives: list[Life] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answer: Fetched = field(default_factory=lambda: Fetched(200, {"choices": [{"text": "a"}]}))

    async def start(self, launch: Launch, api_key: str, output: Output) -> Life:
        self.launches.append(launch)
        life = Life(self, len(self.launches), output)
        self.lives.append(life)
        self.hangs, self.is_asleep = False, False
        return life

    def fetch_at(self, _at: Endpoint) -> Any:
        async def fetch(path: str, **_: Any) -> Fetched:
            self.asked.append(path)
            if self.hangs:
                await asyncio.sleep(3600)
            if path == "/health":
                return Fetched(self.status, self.health)
            return Fetched(200, {"/props": PROPS, "/v1/models": MODELS}.get(path))

        return fetch

    def ask_at(self, _at: Endpoint) -> Any:
        async def ask(path: str, _body: dict[str, Any]) -> Fetched:
            self.asked.append(path)
            if self.hangs:
                await asyncio.sleep(3600)
            return self.answer

        return ask

    # -- as an adapter's controls

    async def sleep(self, ask: Any, level: int = 1) -> bool:
        assert (await ask("/sleep", {})).status == 200 and level == 1
        if self.sleeps_in_s is None:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.sleeps_in_s or 0)
        self.is_asleep = True
        return True

    async def wake(self, ask: Any) -> bool:
        await ask("/wake_up", {})
        await asyncio.sleep(0.5)
        self.is_asleep = False
        return True

    async def asleep(self, fetch: Any) -> bool:
        await fetch("/is_sleeping")
        return self.is_asleep

    @property
    def running(self) -> list[Life]:
        return [life for life in self.lives if not life.is_over.is_set()]


class Controls:
    """Of an engine that can sleep."""

    def __init__(self, engine: Engine) -> None:
        self.sleep, self.wake, self.is_asleep = engine.sleep, engine.wake, engine.asleep


class Life:
    """A pretended process."""

    def __init__(self, engine: Engine, pid: int, output: Output) -> None:
        self.device = "CPU"
        self.pid = pid
        self.is_ending = False
        self.is_over = asyncio.Event()
        self.how = ""
        self._engine = engine
        self._output = output
        self._born_s = asyncio.get_running_loop().time()

    @property
    def cpu_s(self) -> float:
        return (asyncio.get_running_loop().time() - self._born_s) * self._engine.works

    async def listening(self) -> Endpoint:
        await asyncio.sleep(self._engine.load_s)
        while self._engine.loads_after is not None and not self._engine.loads_after():
            await asyncio.sleep(0.01)
        if self._engine.refuses:
            self._output.add("the window must be at most 1024")
            raise NotStarted(self._engine.refuses)
        return Endpoint("127.0.0.1", 1000 + self.pid, Boundary.HOST)

    async def ended(self) -> str:
        await self.is_over.wait()
        return self.how

    async def end(self, grace_s: float) -> None:
        await asyncio.sleep(self._engine.undead_s + 0.01)
        self.die("the engine was ended by SIGKILL")

    def die(self, how: str = "the engine was ended by SIGSEGV") -> None:
        self.how = self.how or how
        self.is_ending = True
        self.is_over.set()


def supervised(engine: Engine, events: list[Any] | None = None, **more: Any) -> Supervisor:
    loop = asyncio.get_running_loop()
    told = {"clock": loop.time, "chance": lambda: 1.0, "start_process": engine.start} | more
    emit = events.append if events is not None else (lambda _event: None)
    return Supervisor("tiny", LAUNCH, ADAPTER, engine.fetch_at, emit, **told)


async def until(claim: Callable[[], object], timeout_s: float = 60.0) -> float:
    """Virtual seconds until it is so."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - began
