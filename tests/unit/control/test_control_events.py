"""The stream of statuses: complete frames, an end when the session ends, nobody left behind when the client goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ringfence.control.events import StatusStream
from ringfence.testing.fake_view import FakeView


class Client:
    """The other side of one ASGI call."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.head: dict[bytes, bytes] = {}

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.head = dict(message["headers"])
            return
        if message["body"]:
            self.sent.put_nowait(message["body"])
        if not message.get("more_body"):
            self.sent.put_nowait(None)

    async def frame(self) -> bytes | None:
        return await asyncio.wait_for(self.sent.get(), 25)


Start = Callable[..., Awaitable[asyncio.Task[None]]]


@pytest.fixture
def other() -> Client:
    return Client()


@pytest.fixture
def start(view: FakeView, other: Client) -> Start:
    async def run(is_open: Callable[[], bool] = lambda: True, ping_s: float = 5.0) -> asyncio.Task[None]:
        stream = StatusStream(view, is_open, ping_s)
        return asyncio.create_task(stream({"type": "http"}, other.receive, other.send))

    return run


def _status(frame: bytes | None) -> dict[str, Any]:
    assert frame is not None
    assert frame.endswith(b"\n\n")
    lines = frame.decode().strip().split("\n")
    assert lines[-2] == "event: status"
    return json.loads(lines[-1].removeprefix("data: "))


async def test_the_status_comes_at_once_and_after_every_change(view: FakeView, other: Client, start: Start) -> None:
    task = await start()
    assert _status(await other.frame())["requests"]["running"] == 3
    assert other.head[b"content-type"].startswith(b"text/event-stream")
    view.sample["requests"]["running"] = 4
    view.changed()
    assert _status(await other.frame())["requests"]["running"] == 4
    view.end_watching()
    assert await other.frame() is None
    await task
    assert view.watchers == set()


async def test_silence_is_filled_so_that_a_dead_connection_shows(view: FakeView, other: Client, start: Start) -> None:
    task = await start(ping_s=0.01)
    await other.frame()
    assert await other.frame() == b"event: ping\ndata: {}\n\n"
    other.gone.set()
    await task


async def test_a_client_that_goes_ends_the_watching(view: FakeView, other: Client, start: Start) -> None:
    task = await start()
    await other.frame()
    other.gone.set()
    await asyncio.wait_for(task, 25)
    assert view.watchers == set()


async def test_a_cancelled_stream_leaves_nothing_behind(view: FakeView, other: Client, start: Start) -> None:
    before = asyncio.all_tasks()
    task = await start()
    await other.frame()
    task.cancel()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert view.watchers == set()
    assert asyncio.all_tasks() == before


async def test_nothing_more_is_said_to_an_ended_session(view: FakeView, other: Client, start: Start) -> None:
    is_open = True
    task = await start(lambda: is_open)
    await other.frame()
    is_open = False
    view.changed()
    assert await other.frame() is None
    await asyncio.wait_for(task, 25)
