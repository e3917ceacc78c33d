"""What a caller hears while its model is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from ringfence.gateway import loading
from ringfence.gateway.loading import seconds


class Stream:
    def __init__(self) -> None:
        self.began: list[bytes] = []
        self.written: list[bytes] = []

    def begin_events(self, head: bytes) -> None:
        self.began.append(head)

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SOON_S", 0.03)
    monkeypatch.setattr(loading, "COMMENT_EVERY_S", 0.02)


def told(stream: Stream, estimates_s: Iterator[float | None]) -> loading.ToldMeanwhile:
    return loading.ToldMeanwhile(stream, "call-1", lambda: b"loading estimate_s=" + seconds(next(estimates_s)))  # type: ignore[arg-type]


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(25):
        while not claim():
            await asyncio.sleep(0.005)


async def test_what_comes_soon_needs_no_words() -> None:
    stream = Stream()
    with told(stream, iter((3.0,))):
        await asyncio.sleep(0)
    await asyncio.sleep(0.06)
    assert stream.began == stream.written == []


async def test_a_longer_wait_is_told_with_what_is_left_of_it() -> None:
    stream = Stream()
    with told(stream, iter((40.4, None, 20.0, *(1.0,) * 50))):
        await until(lambda: len(stream.written) > 2)
    assert stream.began[0] == b"x-request-id: call-1\r\n"
    assert stream.written[:3] == [b": loading estimate_s=40\n\n", b": loading estimate_s=unknown\n\n",
                                  b": loading estimate_s=20\n\n"]  # fmt: skip


async def test_nothing_is_said_once_it_is_there_or_was_given_up() -> None:
    stream = Stream()
    with pytest.raises(RuntimeError), told(stream, iter((1.0,) * 50)):
        await until(lambda: stream.written)
        raise RuntimeError
    said = len(stream.written)
    await asyncio.sleep(0.05)
    assert said == len(stream.written) > 0
