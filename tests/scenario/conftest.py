"""A composed gateway in front of a fake engine; what any test left held, logged or unhandled fails it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from composed import Gateway
from keeping import CLOUDY, OTHER, Keeping
from outgoing import KEY
from parked_inside import PRIVATE, Waiting
from thinking_inside import Script, thought

from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.gateway import trying
from ringfence.gateway.dialects.responses import Responses
from ringfence.gateway.dialects.responses_compact import Compact
from ringfence.gateway.responses_desk import ResponseRoutes
from ringfence.gateway.responses_kept import KeptResponses
from ringfence.routing.health import Health
from ringfence.store.db import Database
from ringfence.store.responses import ResponseRows
from ringfence.testing.fake_cloud import Certificate, FakeCloud, make_certificate
from ringfence.testing.fake_engine import FakeEngine


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop that serves in production."""
    return uvloop.EventLoopPolicy()


@pytest.fixture
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A client or an engine can do nothing that is worth an error in our log."""
    with caplog.at_level(logging.WARNING):
        yield
        shown = [record.getMessage() for record in caplog.records if record.name.startswith(("ringfence", "asyncio"))]
        assert shown == []


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with FakeEngine("vllm") as engine:
        yield engine


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def cloud(certificate: Certificate) -> AsyncIterator[FakeCloud]:
    """One of OpenAI's kind, on loopback."""
    async with FakeCloud(api_key=KEY, certificate=certificate) as cloud:
        yield cloud


Serve = Callable[..., Any]


@pytest.fixture
async def serve(engine: FakeEngine, nothing_logged: None) -> AsyncIterator[Serve]:
    """A factory of gateways in front of `engine`; each is checked to be at rest when the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(**told: Any) -> Gateway:
            return await stack.enter_async_context(Gateway(told.pop("engine", engine.endpoint), **told))

        yield serve


@pytest.fixture
async def waits(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Waiting]:
    monkeypatch.setattr(trying, "PAUSE_S", 0.0)  # the clock of these tests does not pass by itself
    gateway = await serve(profile=PRIVATE, engine=None)
    seats = gateway.seats

    async def lease(wanted: Any, timeout_s: float, urgency: int = 0) -> Any:
        found = seats.take(wanted)
        if found is None:
            raise TargetFailed(wanted.name, "connect", TargetUnavailable("away"))
        return found

    seats.lease = lease
    db = Database(tmp_path / "ringfence.db")
    db.migrate()
    waiting = Waiting(gateway, db, tmp_path)
    gateway.pipeline.health = Health(lambda: waiting.now_s)
    waiting.begin()
    yield waiting
    await waiting.parking.close()
    db.close()


@pytest.fixture
async def small() -> AsyncIterator[Script]:
    """What answers, where a small model asks a larger one."""
    async with Script() as engine:
        yield engine


@pytest.fixture
async def deep() -> AsyncIterator[Script]:
    """What reasons for it."""
    async with Script() as engine:
        engine.says(thought("Because of this."))
        yield engine


@pytest.fixture
async def keeping(serve: Serve, tmp_path: Path) -> AsyncIterator[Keeping]:
    gateway = await serve(profile=CLOUDY)
    assert gateway.keys is not None
    gateway.keys.known[OTHER] = Key("key_2", "others")
    db = Database(tmp_path / "ringfence.db")
    db.migrate()
    kept = KeptResponses(gateway.pipeline, ResponseRows(db, tmp_path), wall=lambda: keeping.wall_s)
    keeping = Keeping(gateway, tmp_path, db, kept)
    gateway.front.routes |= dict.fromkeys(Responses.paths, Responses(kept))
    gateway.front.routes |= dict.fromkeys(Compact.paths, Compact(kept))
    gateway.front.desks.append(ResponseRoutes(gateway.pipeline, kept))
    yield keeping
    await kept.settled()
    db.close()


@pytest.fixture
async def gateway(serve: Serve) -> Gateway:
    return await serve()


class Process:
    """A gateway in a process of its own, whose memory can be looked at."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def bytes(self, what: str = "RssAnon") -> int:
        """VmHWM is the peak, RssAnon what it has now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what + ":"))


@pytest.fixture
async def process(engine: FakeEngine) -> AsyncIterator[Callable[..., Any]]:
    """A factory; what it started is stopped at the end."""
    started: list[asyncio.subprocess.Process] = []

    async def process(window: int = 4096, **limits: Any) -> Process:
        told = json.dumps({"engine": engine.port, "window": window, "limits": limits})
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("composed.py")), told, stdout=asyncio.subprocess.PIPE
        )
        started.append(child)
        assert child.stdout is not None
        return Process(child.pid, int(await child.stdout.readline()))

    yield process
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


@pytest.fixture(autouse=True, scope="session")
def many_files() -> None:
    """Both ends of many connections live here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
