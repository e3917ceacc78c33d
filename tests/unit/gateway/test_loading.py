"""What a caller hears while its model is loaded."""

from __future__ import annotations

import asyncio

import pytest

from ringfence.gateway import loading


class Held:
    endpoint = None
    released = 0

    def release(self) -> None:
        self.released += 1


class Stream:
    def __init__(self) -> None:
        self.began: list[tuple[int, bytes]] = []
        self.written: list[bytes] = []

    def begin(self, status: int, head: bytes) -> None:
        self.began.append((status, head))

    def write(self, data: bytes) -> None:
        self.written.append(data)


async def comes_after(seconds: float, lease: Held) -> Held:
    await asyncio.sleep(seconds)
    return lease


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SOON_S", 0.03)
    monkeypatch.setattr(loading, "COMMENT_EVERY_S", 0.02)


async def test_what_comes_soon_needs_no_words() -> None:
    stream, lease = Stream(), Held()
    got = await loading.told_meanwhile(stream, "call", comes_after(0.0, lease), lambda: 3.0)  # type: ignore[arg-type]
    assert got is lease and stream.began == stream.written == []


async def test_a_longer_wait_is_told_with_what_is_left_of_it() -> None:
    stream, lease = Stream(), Held()
    left = iter((40.4, None, 20.0, *(1.0,) * 50))
    await loading.told_meanwhile(stream, "call-1", comes_after(0.1, lease), lambda: next(left))  # type: ignore[arg-type]
    status, head = stream.began[0]
    assert status == 200 and b"x-request-id: call-1\r\n" in head and b"text/event-stream" in head
    assert stream.written[:3] == [b": loading estimate_s=40\n\n", b": loading estimate_s=unknown\n\n",
                                  b": loading estimate_s=20\n\n"]  # fmt: skip


@pytest.mark.parametrize("after_s", [0.0, 0.2])
async def test_a_caller_who_leaves_gives_back_what_came_for_it(after_s: float) -> None:
    stream, lease = Stream(), Held()
    work = asyncio.ensure_future(
        loading.told_meanwhile(stream, "call", comes_after(after_s, lease), lambda: None)  # type: ignore[arg-type]
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await asyncio.sleep(0.01)
    assert lease.released == (1 if after_s == 0 else 0)
