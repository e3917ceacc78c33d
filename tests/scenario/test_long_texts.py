"""A long text is read in steps: whoever else is served meanwhile does not wait for it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from composed import CHAT, Gateway, request, target

from ringfence.core.boundary import Boundary
from ringfence.core.route import Profile
from ringfence.signals.sensitivity import Sensitivity, Settings

OPEN = {"profile": Profile("default", Boundary.CLOUD), "targets": (target(boundary=Boundary.MESH),)}
"""A profile and a target with which a text has to be read; the engine itself is on this machine."""
SIZE = 1_000_000
TEXTS = {
    "numbers": "4111111111111112,555-12-34,",
    "random numbers": "".join(f"{number * 7919 % 10 ** (5 + number % 9)} {number * 31}-" for number in range(4000)),
    "tokens": "the_getter_of_user_9 ",
    "combining marks": "a" + "\u0301\u0323" * 2000,
    "words": "nothing of interest ",
}
HELD_S = 0.02
REACHED = (200, 400)
"""The engine has answered: with more than fits into its window, that it does not fit."""


def asked(text: str) -> bytes:
    body = CHAT | {"messages": [{"role": "user", "content": text}]}
    return request(body=json.dumps(body, ensure_ascii=False).encode())


def long(name: str) -> bytes:
    piece = TEXTS[name]
    return asked(piece * (SIZE // len(piece.encode())))


async def reading(gateway: Gateway, count: int = 1) -> Any:
    """Waits until so many long calls have begun, so that their text is being read."""
    while len(gateway.pipeline.running) < count:
        await asyncio.sleep(0)
    return next(iter(gateway.pipeline.running.values()))


@pytest.fixture
def no_old_garbage() -> Iterator[None]:
    """What the tests before have left is looked through by nobody: that would be time of this thread, too."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("no_old_garbage")
@pytest.mark.parametrize("name", TEXTS)
async def test_another_call_does_not_wait_for_a_text_of_a_megabyte(serve: Any, name: str) -> None:
    gateway = await serve(**OPEN)
    slow, quick = await gateway.client(), await gateway.client()
    await quick.send(asked("hello"))
    assert (await quick.answer()).status == 200
    await slow.send(long(name))
    call = await reading(gateway)
    waited_s: list[float] = []
    while call.decision is None and len(waited_s) < 5:
        started = time.thread_time()  # all of it runs on this thread, and others on this machine do not count
        await quick.send(asked("hello"))
        reply = await quick.head()
        waited_s.append(time.thread_time() - started)
        await quick.reader.readexactly(int(reply.head["content-length"]))
    assert waited_s, "it was read before anybody else had a turn"
    assert max(waited_s) < HELD_S, waited_s
    assert (await slow.answer()).status in REACHED


@pytest.mark.usefixtures("no_old_garbage")
@pytest.mark.slow
async def test_many_long_texts_hold_others_up_no_longer_than_one(serve: Any) -> None:
    gateway = await serve(**OPEN)
    clients = [await gateway.client() for _ in range(6)]
    quick = await gateway.client()
    data = long("tokens")
    for client in clients:
        await client.send(data)
    await reading(gateway, len(clients))
    held_s: list[float] = []
    while len(gateway.pipeline.running) == len(clients) and len(held_s) < 200:
        started = time.thread_time()
        await asyncio.sleep(0)
        held_s.append(time.thread_time() - started)
    await quick.send(asked("hello"))
    assert (await quick.answer()).status == 200
    assert sorted(held_s)[len(held_s) * 9 // 10] < HELD_S
    for client in clients:
        assert (await client.answer()).status in REACHED


async def test_what_is_found_at_the_end_of_a_long_text_keeps_it_here(serve: Any) -> None:
    gateway = await serve(**OPEN)
    client = await gateway.client()
    for end, status in (("4111 1111 1111 1111", (403,)), ("4111 1111 1111 1112", REACHED)):
        await client.send(asked("nothing of interest " * 30_000 + end))
        assert (await client.answer()).status in status


async def test_a_reload_while_a_text_is_read_counts(serve: Any) -> None:
    gateway = await serve(**OPEN)
    client = await gateway.client()
    await client.send(long("words"))
    await reading(gateway)
    pipeline = gateway.pipeline
    strict = Sensitivity(Settings(patterns=(("project", "of interest"),)))
    pipeline.settings = replace(pipeline.settings, sensitivity=strict, decisions={})
    reply = await client.answer()
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")


async def test_a_caller_who_leaves_is_read_no_further(serve: Any) -> None:
    gateway = await serve(**OPEN)
    client = await gateway.client()
    await client.send(long("tokens"))
    call = await reading(gateway)
    client.writer.transport.abort()
    await gateway.assert_at_rest()
    assert call.decision is None
    assert not gateway.pipeline._reading.locked()


async def test_a_chain_that_stays_here_is_not_read(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await serve(profile=Profile("default", Boundary.CLOUD))
    monkeypatch.setattr(Sensitivity, "steps", lambda *_: pytest.fail("there is nowhere for it to go"))
    client = await gateway.client()
    await client.send(asked("4111 1111 1111 1111"))
    assert (await client.answer()).status in REACHED
    assert [decision.allowed for decision in gateway.pipeline.settings.decisions.values()] == [Boundary.HOST]
