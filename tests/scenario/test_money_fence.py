"""200 callers at once before a budget that has room for three calls: three are answered, on whatever route; and money
that was held comes free, however a call ends."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import Desk, jsonl, line
from composed import request, until
from spending import A_CALL, CAP, CAPPED, MOST_TOKENS, PRICE, Spending, rented, spending

from ringfence.config.routing import THINKS
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model
from ringfence.core.identity import Key
from ringfence.core.money import Budget, Period, Price, Rates
from ringfence.core.route import House, Profile
from ringfence.core.usage import Usage
from ringfence.gateway.deciding import Settings
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.routing.ruleset import NamedChain, Ruleset
from ringfence.store.failure import StoreFailed
from ringfence.testing.fake_cloud import Conduct, Misdeed
from ringfence.testing.fake_cloud_answers import Saying, ToolCall
from ringfence.testing.fake_engine import FakeEngine

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
SAID: dict[str, Any] = HELLO | {"max_tokens": MOST_TOKENS}
ROUTES: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": (CHAT, SAID, b""),
    "stream": (CHAT, SAID | {"stream": True}, b""),
    "completions": ("/v1/completions", {"model": "fast", "prompt": "hello", "max_tokens": MOST_TOKENS}, b""),
    "messages": ("/v1/messages", SAID, b"anthropic-version: 2023-06-01\r\n"),
    "messages, streamed": ("/v1/messages", SAID | {"stream": True}, b"anthropic-version: 2023-06-01\r\n"),
    "responses": ("/v1/responses", {"model": "fast", "input": "hello", "max_output_tokens": 8, "store": False}, b""),
    "ollama": ("/api/chat", HELLO | {"stream": True, "options": {"num_predict": MOST_TOKENS}}, b""),
    "ollama, generated": ("/api/generate", {"model": "fast", "prompt": "hello", "stream": False}, b""),
}
A_TEXT = Price(Rates.of(1_000_000_000, 0))
"""Of embeddings: $1,000 per million tokens of input."""


async def crowd(house: Spending, route: str, callers: int) -> tuple[list[Any], list[Any]]:
    """All at once: (those that were answered, those that were refused), when none is answered before all were asked."""
    path, body, head = ROUTES[route]
    house.cloud.gate.clear()
    replies: list[Any] = []

    async def one() -> None:
        replies.append(await house.ask(path, body, head))

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(one())
        fit = CAP // A_CALL
        await until(lambda: len(replies) == callers - fit)
        assert await house.holds() == [A_CALL] * fit
        assert house.house() == (0, fit * A_CALL)
        house.cloud.gate.set()
    return [one for one in replies if one[0] == 200], [one for one in replies if one[0] != 200]


async def exactly_what_fits(house: Spending, route: str, callers: int) -> None:
    answered, refused = await crowd(house, route, callers)
    fit = CAP // A_CALL
    assert (len(answered), len(refused)) == (fit, callers - fit)
    assert {(status, head["x-should-retry"]) for status, head, _ in refused} == {(429, "false")}
    assert all(b"insufficient_quota" in body or b"budget" in body for _, _, body in refused)
    spent, paid = await house.settled()
    assert spent == house.cloud.words * A_CALL // MOST_TOKENS == fit * A_CALL
    assert [row[2] for row in paid] == ["ok"] * fit


async def test_200_callers_at_once(tmp_path: Path) -> None:
    async with spending(tmp_path) as house:
        await exactly_what_fits(house, "chat", 200)


@pytest.mark.slow
@pytest.mark.parametrize("route", [route for route in ROUTES if route != "chat"])
async def test_200_callers_on_any_route(tmp_path: Path, route: str) -> None:
    async with spending(tmp_path) as house:
        await exactly_what_fits(house, route, 200)


@pytest.mark.slow
async def test_embeddings_are_paid_for_by_what_they_read(tmp_path: Path) -> None:
    body = {"model": "fast", "input": "hello"}
    async with spending(tmp_path, price=A_TEXT) as house:
        house.cloud.gate.clear()
        tasks = [asyncio.create_task(house.ask("/v1/embeddings", body)) for _ in range(200)]
        await until(lambda: sum(task.done() for task in tasks) > 100)
        fit = CAP // (await house.holds())[0]
        await until(lambda: sum(task.done() for task in tasks) == 200 - fit)
        held = await house.holds()
        assert held == held[:1] * fit
        house.cloud.gate.set()
        replies = await asyncio.gather(*tasks)
        assert sorted(status for status, *_ in replies) == [200] * len(held) + [429] * (200 - len(held))
        spent, _ = await house.settled()
        assert spent == house.cloud.read * 1000


@pytest.mark.slow
async def test_money_comes_free_the_moment_it_is_known(tmp_path: Path) -> None:
    """Answers that say one word cost an eighth: so many calls fit, one after the other, as can be paid for."""
    async with spending(tmp_path) as house:
        house.cloud.says = Saying((" one",))
        statuses = [(await house.ask(CHAT, SAID))[0] for _ in range(30)]
        word = A_CALL // MOST_TOKENS
        fit = (CAP - A_CALL) // word + 1
        assert statuses == [200] * fit + [429] * (30 - fit)
        assert (await house.settled())[0] == fit * word


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def test_however_a_call_ends_its_money_comes_free(tmp_path: Path) -> None:
    rich = Key("key_1", "tests", budget=Budget(month=100 * A_CALL))
    async with spending(tmp_path, key=rich) as house:
        cloud, settled = house.cloud, 0

        async def cost() -> int:
            nonlocal settled
            before, settled = settled, (await house.settled())[0]
            return settled - before

        # It breaks off without an answer, then answers: the first may have cost all that was held.
        cloud.once(Conduct(Misdeed.DROP))
        status, _, body = await house.ask(CHAT, SAID)
        assert status == 200, body
        assert await cost() == 2 * A_CALL
        # The provider answers with errors, twice, and then as it should: an error costs nothing.
        cloud.once(Conduct(Misdeed.STATUS, 500), Conduct(Misdeed.STATUS, 500))
        assert (await house.ask(CHAT, SAID))[0] == 200
        assert await cost() == A_CALL
        cloud.once(Conduct(Misdeed.STATUS, 400))
        assert (await house.ask(CHAT, SAID))[0] == 400
        assert await cost() == 0
        # A stream that breaks midway may have gone on, unseen.
        cloud.once(Conduct(Misdeed.DROP, after_events=4))
        await house.ask(CHAT, SAID | {"stream": True})
        assert await cost() == A_CALL
        # Its caller goes before the first byte.
        cloud.gate.clear()
        asked, client = len(cloud.requests), await house.gateway.client()
        await client.send(request(CHAT, SAID))
        await until(lambda: house.house()[1] == A_CALL and len(cloud.requests) > asked)
        client.leave()
        await until(lambda: not house.gateway.pipeline.running)
        cloud.gate.set()
        assert await cost() == A_CALL


@pytest.mark.slow
async def test_callers_that_go_midway(tmp_path: Path) -> None:
    rich = Key("key_1", "tests", budget=Budget(month=1000 * A_CALL))
    async with spending(tmp_path, key=rich) as house:
        for path, body, head in ROUTES.values():
            for after_s in (0.0, 0.001, 0.003, 0.006, 0.01, 0.02):
                client = await house.gateway.client()
                await client.send(request(path, body, head=head))
                await asyncio.sleep(after_s)
                client.leave()
        spent, _ = await house.settled()
        assert spent <= len(ROUTES) * 6 * A_CALL


@pytest.mark.slow
async def test_the_disk_fails_and_comes_back(tmp_path: Path) -> None:
    async with spending(tmp_path) as house:
        real, house.db.run = house.db.run, _full  # type: ignore[method-assign]
        status, _, body = await house.ask(CHAT, SAID)
        assert (status, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable"), body
        assert house.house() == (0, 0) and house.cloud.calls == []
        house.db.run = real  # type: ignore[method-assign]
        assert (await house.ask(CHAT, SAID))[0] == 200
        assert (await house.settled())[0] == A_CALL


async def _full(_fn: Any) -> Any:
    raise StoreFailed("here", "cannot grow: the disk is full", "free some space on that disk")


# -- a caller that names another profile ---------------------------------------------------------------------------


@pytest.mark.parametrize("named", [b"x-ringfence-profile: free\r\n", b"x-ringfence-agent: coder\r\n"])
async def test_whoever_names_another_profile_stays_under_the_budget_of_its_own(tmp_path: Path, named: bytes) -> None:
    """Over a restart as well."""
    key = Key("key_1", "tests", profile="personal")
    async with spending(tmp_path, key=key) as house:
        pipeline = house.gateway.pipeline
        settings = pipeline.settings.house
        settings.profiles.update({name: Profile(name, Boundary.CLOUD) for name in ("personal", "free")})
        settings.agents["coder"] = "free"
        pipeline.money.rules = rules = replace(
            pipeline.money.rules, profiles={"personal": Budget(month=CAP)}, agents={"coder": "free"}
        )
        fit = CAP // A_CALL
        replies = [await house.ask(CHAT, SAID, named) for _ in range(fit + 2)]
        assert [status for status, *_ in replies] == [200] * fit + [429] * 2, replies
        assert b"The budget of the profile 'personal', $0.45 a month" in replies[-1][2]
        assert (await house.ask(CHAT, SAID))[0] == 429
        spent, _ = await house.settled()
        assert spent == fit * A_CALL
        again = Purse(time.time)
        again.rows, again.rules = house.ledger, rules
        await again.restore(lambda _holds: set(), {key.id: key}.get)
        sums = {
            one.scope.name: one.spent
            for one in again.standings({}) if one.period is Period.MONTH and one.scope.kind == "profile"
        }  # fmt: skip
        assert sums == {"personal": spent, "free": spent}


# -- calls within calls, and lines of batches ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_are_paid_for_one_by_one(tmp_path: Path, stream: bool) -> None:
    """Each turn is a call with money of its own; where there is none left, it ends with what it has."""
    async with spending(tmp_path) as house:
        pipeline = house.gateway.pipeline
        small = rented(name="rented/small", model="small")
        deep = rented(name="rented/deep", model="deep")
        rules = Ruleset((), {THINKS: NamedChain(("small",))})
        pipeline.settings = Settings(
            Catalog.of([Model("small", (small,)), Model("deep", (deep,))]),
            House({"default": Profile("default", pipeline.settings.house.profiles["default"].boundary)}, {}, {}),
            rules=rules, thinking=Bounds("small", "deep"),
        )  # fmt: skip
        house.cloud.says = Saying(("",) * MOST_TOKENS, (ToolCall("think", json.dumps({"question": "Is it so?"})),))
        body = {"model": THINKS, "messages": HELLO["messages"], "reasoning_effort": "high", "stream": stream}
        for _ in range(3):
            await house.ask(CHAT, body)
        spent, paid = await house.settled()
        assert spent == house.cloud.words * A_CALL // MOST_TOKENS <= CAP
        assert len(paid) == len(house.cloud.calls) == CAP // A_CALL


@pytest.mark.slow
async def test_lines_of_a_batch(tmp_path: Path) -> None:
    async with spending(tmp_path) as house:
        desk = Desk(house.gateway, tmp_path / "batches")
        desk.client = await house.gateway.client()
        desk._ticking = asyncio.create_task(desk._tick())
        lines = jsonl(line(number, f"text {number}", max_tokens=MOST_TOKENS) for number in range(20))
        file = await desk.upload(lines)
        assert file.status == 200, file.body
        asked = {"input_file_id": file.json["id"], "endpoint": CHAT, "completion_window": "24h"}
        batch = await desk.ask("POST", "/v1/batches", asked)
        assert batch.status == 200, batch.body
        await until(lambda: len(house.cloud.calls) == CAP // A_CALL)
        await asyncio.sleep(1.0)
        desk._ticking.cancel()
        await desk.running.close()
        desk.client.leave()
        spent, paid = await house.settled()
        assert spent == house.cloud.words * A_CALL // MOST_TOKENS == len(paid) * A_CALL <= CAP
        desk.db.close()


# -- what it costs -------------------------------------------------------------------------------------------------


class Untouched:
    """In the place of the purse, where no money is at stake."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


async def test_a_call_that_costs_nothing_is_not_looked_at(serve: Any) -> None:
    """Nor is one, then, that has a budget."""
    async with FakeEngine("vllm") as engine:
        gateway = await serve(engine=engine.endpoint, key=CAPPED)
        gateway.pipeline.money = Untouched()
        for path, body, head in (ROUTES["chat"], ROUTES["stream"], ROUTES["messages"]):
            client = await gateway.client()
            assert (await client.ask(path, body, head=head)).status == 200
            client.leave()


@pytest.mark.slow
@pytest.mark.timed
def test_a_budget_is_looked_at_in_microseconds() -> None:
    """All caps there can be, and a thousand keys beside."""
    purse = Purse(time.time)
    capped = Budget(10**12, 10**12, 10**12, 10**12)
    purse.rules = MoneyRules(house=capped, profiles={"default": capped}, providers={"rented": capped})
    keys = [Key(f"key_{number}", "tests", budget=capped) for number in range(1000)]
    took_s: list[float] = []
    target = rented()
    for number in range(20_000):
        began = time.perf_counter()
        charge = purse.take(keys[number % 1000], "", "default", target, 1000, PRICE)
        took_s.append(time.perf_counter() - began)
        purse.settle(charge, Usage(3, 1))
    median_s = statistics.median(took_s)
    print(f"check and hold of one call under 12 caps: {median_s * 1e6:.1f} µs")
    assert median_s < 50e-6
