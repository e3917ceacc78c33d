"""Who waits for whom, over real sockets: classes, yielding, what is told meanwhile, and who goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, SECRET, STREAM, Client, Gateway, Seats, request, target

from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.route import Profile, Urgency
from ringfence.gateway import loading
from ringfence.placement.lease import Lease
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

Serve = Callable[..., Any]
HANGS = Behaviour(Fault.HANG)
BACKGROUND, AGENT = b"x-ringfence-priority: background\r\n", b"x-ringfence-priority: agent\r\n"
TITLE: dict[str, Any] = CHAT | {
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title with an emoji."}]
}


async def ask(gateway: Gateway, body: dict[str, Any] = CHAT, head: bytes = b"", secret: bytes = SECRET) -> Client:
    client = await gateway.client()
    await client.send(request(body=body, head=head, secret=secret))
    return client


async def until(holds: Callable[[], bool], within_s: float = 25.0) -> None:
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s
        await asyncio.sleep(0.002)


async def rest_of(client: Client) -> bytes:
    """What is still to come of a stream that was begun."""
    pieces: list[bytes] = []
    while piece := await client.chunk():
        pieces.append(piece)
    return b"".join(pieces)


def waiting(gateway: Gateway) -> int:
    return len(gateway.admission.lanes["seat/fast"].waiting)


class TestYielding:
    @pytest.mark.timed
    @pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
    async def test_the_engine_is_told_within_a_tenth_of_a_second(
        self, serve: Serve, engine: FakeEngine, body: dict[str, Any]
    ) -> None:
        key = Key("key_1", "tests", tokens_per_minute=1_000_000)
        gateway: Gateway = await serve(targets=(target(slots=1),), key=key)
        engine.once(HANGS)
        later = await ask(gateway, body, BACKGROUND)
        await until(lambda: len(engine.calls) == 1)
        asked_s = time.monotonic()
        reply = await (await ask(gateway)).answer()
        await until(lambda: engine.calls[0].client_left_s is not None)
        left_s = engine.calls[0].client_left_s
        assert reply.status == 200 and left_s is not None and left_s - asked_s < 0.1
        back = await later.answer()
        assert back.status == 200 and back.head["x-ringfence-queue"].startswith("position=")
        assert len(engine.calls) == 3
        allowance = gateway.rate_limits._allowances["key_1"]
        used = sum(sum(event.usage[:2]) for event in gateway.answered if event.usage is not None)
        assert [event.kind.status for event in gateway.answered] == [200, 200]
        assert allowance.tokens - allowance.tokens_left == pytest.approx(used, abs=allowance.tokens / 60)

    async def test_so_often_and_then_it_keeps_its_place(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),), wait_s=1.0)
        engine.once(HANGS, Behaviour(), HANGS, Behaviour(), HANGS)
        later = await ask(gateway, CHAT, BACKGROUND)
        for times in (1, 2):
            await until(lambda times=times: len(engine.calls) == 2 * times - 1)  # type: ignore[misc]
            assert (await (await ask(gateway)).answer()).status == 200
        await until(lambda: len(engine.calls) == 5)
        refused = await (await ask(gateway)).answer()
        assert (refused.status, refused.error["code"]) == (503, "queue_timeout")
        assert int(refused.head["retry-after"]) >= 1
        assert engine.calls[4].client_left_s is None
        later.leave()

    async def test_what_has_brought_its_first_byte_stays(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.once(Behaviour(between_s=0.05))
        later = await ask(gateway, STREAM, BACKGROUND)
        await later.head()
        assert (await (await ask(gateway)).answer()).status == 200
        assert len(engine.calls) == 2
        assert engine.calls[0].client_left_s is None
        assert [event.kind.outcome for event in gateway.answered] == ["ok", "ok"]

    async def test_no_more_than_it_takes_and_the_last_ones_first(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=3),))
        engine.once(HANGS, HANGS, HANGS)
        later = []
        for number in (1, 2, 3):
            later.append(await ask(gateway, CHAT, BACKGROUND))
            await until(lambda number=number: len(engine.calls) == number)  # type: ignore[misc]
        assert (await (await ask(gateway)).answer()).status == 200
        await until(lambda: engine.calls[2].client_left_s is not None)
        assert [call.client_left_s for call in engine.calls[:2]] == [None, None]
        assert (await later[2].answer()).status == 200
        for client in later[:2]:
            client.leave()

    async def test_an_agent_yields_nothing_and_takes_from_the_background(
        self, serve: Serve, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(targets=(target(slots=2),))
        engine.once(HANGS, HANGS)
        agent = await ask(gateway, CHAT, AGENT)
        await until(lambda: len(engine.calls) == 1)
        later = await ask(gateway, CHAT, BACKGROUND)
        await until(lambda: len(engine.calls) == 2)
        assert (await (await ask(gateway, CHAT, AGENT)).answer()).status == 200
        await until(lambda: engine.calls[1].client_left_s is not None)
        assert engine.calls[0].client_left_s is None
        assert (await later.answer()).status == 200
        agent.leave()

    async def test_a_caller_that_leaves_while_it_waits_again_is_forgotten(
        self, serve: Serve, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.once(HANGS, HANGS)
        later = await ask(gateway, CHAT, BACKGROUND)
        await until(lambda: len(engine.calls) == 1)
        user = await ask(gateway)
        await until(lambda: len(engine.calls) == 2 and waiting(gateway) == 1)
        later.leave()
        await until(lambda: waiting(gateway) == 0)
        user.leave()


class TestClasses:
    async def test_two_hundred_that_wait_are_served_by_class_and_then_by_age(
        self, serve: Serve, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),), queue=300, wait_s=60.0)
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        await first.head()
        clients: list[Client] = []
        right: list[tuple[int, int]] = []
        for number in range(200):
            urgency = Urgency(number * 7 % 3)
            head = b"x-ringfence-priority: %b\r\n" % urgency.name.lower().encode()
            body = CHAT | {"messages": [{"role": "user", "content": f"{int(urgency)} {number}"}]}
            clients.append(await ask(gateway, body, head))
            right.append((int(urgency), number))
            await until(lambda number=number: waiting(gateway) == number + 1)  # type: ignore[misc]
        first.leave()
        replies = await asyncio.gather(*(client.answer() for client in clients))
        assert {reply.status for reply in replies} == {200}
        served = [tuple(map(int, call.body["messages"][0]["content"].split())) for call in engine.calls[1:]]
        assert served == sorted(right)

    async def test_the_profile_is_the_highest_and_the_tier_of_service_counts(
        self, serve: Serve, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(
            targets=(target(slots=1),), profile=Profile("default", priority=Urgency.AGENT, weight=3)
        )
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        await first.head()
        clients: list[Client] = []
        for number, (body, head) in enumerate(
            ((CHAT, b"x-ringfence-priority: user\r\n"), (CHAT | {"service_tier": "flex"}, b""), (TITLE, b""))
        ):
            clients.append(await ask(gateway, body, head))
            await until(lambda number=number: waiting(gateway) == number + 1)  # type: ignore[misc]
        queue = gateway.admission.lanes["seat/fast"].queue
        assert queue.by_class() == {Urgency.USER: 0, Urgency.AGENT: 1, Urgency.BACKGROUND: 2}
        assert {turn.share for turn in queue.waiting.values()} == {3}
        first.leave()
        assert [(await client.answer()).status for client in clients] == [200, 200, 200]

    async def test_a_class_that_there_is_not(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve()
        reply = await (await ask(gateway, CHAT, b"x-ringfence-priority: now\r\n")).answer()
        assert (reply.status, reply.error["code"]) == (400, "invalid_value")
        assert engine.calls == []

    async def test_one_that_is_more_urgent_is_let_into_a_full_queue(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),), queue=2)
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        await first.head()
        later = [await ask(gateway, CHAT, BACKGROUND) for _ in range(2)]
        await until(lambda: waiting(gateway) == 2)
        refused = await (await ask(gateway, CHAT, BACKGROUND)).answer()
        user = await ask(gateway)
        pushed = await later[1].answer()
        for reply in (refused, pushed):
            assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (503, "overloaded", "2")
        first.leave()
        assert [(await client.answer()).status for client in (user, later[0])] == [200, 200]


class TestTold:
    async def test_comments_with_position_and_estimate(
        self, serve: Serve, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loading, "SOON_S", 0.05)
        monkeypatch.setattr(loading, "COMMENT_EVERY_S", 0.05)
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        await first.head()
        gateway.admission.lanes["seat/fast"].held_s = 4.0
        second = await ask(gateway, STREAM)
        await until(lambda: waiting(gateway) == 1)
        third = await ask(gateway, STREAM)
        await until(lambda: waiting(gateway) == 2)
        texts: list[bytes] = []
        for client in (second, third):
            await client.head()
            texts.append(await client.chunk())
        first.leave()
        texts = [text + await rest_of(client) for text, client in zip(texts, (second, third), strict=True)]
        assert texts[0].startswith(b": queued position=1 estimate_s=4\n\n")
        assert texts[1].startswith(b": queued position=2 estimate_s=8\n\n")
        assert all(text.endswith(b"data: [DONE]\n\n") for text in texts)

    async def test_a_stream_that_was_begun_goes_on_waiting_when_it_yields(
        self, serve: Serve, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loading, "SOON_S", 0.02)
        monkeypatch.setattr(loading, "COMMENT_EVERY_S", 0.02)
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.once(Behaviour(Fault.STALL, after_events=1), HANGS)
        first = await ask(gateway, STREAM)
        await first.head()
        later = await ask(gateway, STREAM, BACKGROUND)
        begun = await later.head()
        first.leave()
        await until(lambda: len(engine.calls) == 2)
        assert (await (await ask(gateway)).answer()).status == 200
        body = await rest_of(later)
        assert begun.status == 200 and b"queued position=1" in body and body.endswith(b"data: [DONE]\n\n")

    async def test_the_header_of_one_that_waited_and_of_none_that_did_not(
        self, serve: Serve, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        assert "x-ringfence-queue" not in (await first.head()).head
        asked_s = time.monotonic()
        second = await ask(gateway)
        await until(lambda: waiting(gateway) == 1)
        await asyncio.sleep(0.05)
        first.leave()
        place, waited = (await second.answer()).head["x-ringfence-queue"].split("; ")
        took_s = time.monotonic() - asked_s + 0.01  # it is rounded
        assert place == "position=1" and 0.05 <= float(waited.removeprefix("waited_s=")) < took_s
        assert "x-ringfence-queue" not in (await (await ask(gateway)).answer()).head

    async def test_who_is_refused_is_told_when_to_come_again(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),), queue=1)
        engine.once(Behaviour(Fault.STALL, after_events=1))
        first = await ask(gateway, STREAM)
        await first.head()
        second = await ask(gateway)
        await until(lambda: waiting(gateway) == 1)
        gateway.admission.lanes["seat/fast"].held_s = 17.4
        refused = await (await ask(gateway)).answer()
        assert (refused.status, refused.head["retry-after"]) == (503, "18")
        first.leave()
        await second.answer()

    async def test_for_how_long_a_place_is_held_is_learned(self, serve: Serve, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(slots=1),))
        engine.always = Behaviour(between_s=0.01)
        began_s = time.monotonic()
        clients = [await ask(gateway, STREAM) for _ in range(4)]
        for client in clients:
            await client.answer()
        held_s = gateway.admission.lanes["seat/fast"].held_s
        assert held_s is not None and 0.05 < held_s < (time.monotonic() - began_s) / 2, "one of four, each in its turn"


class Away(Seats):
    """Nothing is loaded until somebody waits for it."""

    waited = 0

    def take(self, target: Target) -> Lease | None:
        return super().take(target) if self.waited else None

    def is_here(self, target: Target) -> bool:
        return self.waited > 0

    async def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Lease:
        self.waited += 1
        return Lease(self.users, self.endpoint)  # type: ignore[arg-type]


async def test_a_chat_uis_own_call_has_nothing_loaded(serve: Serve, engine: FakeEngine) -> None:
    gateway: Gateway = await serve()
    seats = gateway.pipeline.placement = Away(engine.endpoint)
    reply = await (await ask(gateway, TITLE)).answer()
    assert (reply.status, reply.error["code"]) == (503, "target_unavailable")
    assert (seats.waited, seats.misses, engine.calls) == (0, [], [])
    assert (await (await ask(gateway)).answer()).status == 200
    assert seats.waited == 1


async def test_who_goes_away_frees_its_place_and_its_turn(serve: Serve, engine: FakeEngine) -> None:
    gateway: Gateway = await serve(targets=(target(slots=1),))
    engine.once(HANGS)
    first = await ask(gateway)
    await until(lambda: len(engine.calls) == 1)
    second = await ask(gateway)
    await until(lambda: waiting(gateway) == 1)
    third = await ask(gateway)
    await until(lambda: waiting(gateway) == 2)
    second.leave()
    await until(lambda: waiting(gateway) == 1)
    first.leave()
    assert (await third.answer()).status == 200
    assert len(engine.calls) == 2


async def test_what_an_engine_can_keep_is_not_exceeded(serve: Serve, engine: FakeEngine) -> None:
    """Two that ask for much wait for each other; those that ask for no limit do not."""
    gateway: Gateway = await serve(targets=(target(slots=8, kv_tokens=3000),))
    engine.once(Behaviour(Fault.STALL, after_events=1))
    large = STREAM | {"max_tokens": 2000}
    first = await ask(gateway, large)
    await first.head()
    second = await ask(gateway, large)
    await until(lambda: waiting(gateway) == 1)
    assert gateway.admission.lanes["seat/fast"].running == 1
    first.leave()
    assert (await second.answer()).status == 200
    engine.once(*(Behaviour(Fault.STALL, after_events=1),) * 2)
    both = [await ask(gateway, STREAM) for _ in range(2)]
    for client in both:
        await client.head()
    assert gateway.admission.lanes["seat/fast"].running == 2
    for client in both:
        client.leave()
