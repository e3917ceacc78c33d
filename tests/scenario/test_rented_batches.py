"""Lines of batches that go to a rented cloud as a batch of its own: answered once, paid once, at half the price."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import line
from batched_away import KEY, MOST_TOKENS, PRICE, RENTED, Place, Yard, cost, local, place
from composed import until

from ringfence.core.money import Budget
from ringfence.egress.journal_chain import verify
from ringfence.gateway.batches.rented import SURE_S
from ringfence.store.failure import StoreFailed
from ringfence.testing.fake_cloud import Conduct, Misdeed
from ringfence.testing.fake_engine import FakeEngine

LINES = [line(n, f"canary words {n}", max_tokens=20) for n in range(3)]
CHAT, BATCHES = "/v1/chat/completions", "/v1/batches"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as there:
        yield there


async def submitted(there: Place, yard: Yard, batches: int = 1) -> str:
    """The id of the last batch at the cloud, which the gateway knows to be there."""
    await until(lambda: len(there.batches) == batches and all(one.remote_id for one in yard.rented.open.values()))
    await until(lambda: len(yard.rented.open) > 0)
    return str(there.batches[-1]["id"])


async def answers(yard: Yard, batch_id: str) -> list[dict[str, Any]]:
    batch = await yard.ended(batch_id)
    assert batch["status"] == "completed", batch
    return await yard.content(batch["output_file_id"])


async def test_lines_go_together_and_are_paid_at_half_the_price(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
        assert there.asked() == {BATCHES: 1} and yard.house()[1] > 0
        assert (await yard.look(batch_id))["status"] == "in_progress"
        there.cloud.batches.finish(remote)
        output = await answers(yard, batch_id)
        assert [each["custom_id"] for each in output] == ["ask-0", "ask-1", "ask-2"]
        assert {each["response"]["body"]["model"] for each in output} == {"fast"}
        costs = sorted(("ok", cost(each["response"]["body"]["usage"])) for each in output)
        assert sorted(await yard.settled()) == costs and min(costs)[1] > 0
        batch = await yard.look(batch_id)
        assert batch["usage"]["output_tokens"] == sum(
            each["response"]["body"]["usage"]["completion_tokens"] for each in output
        )
        sent = [one for one in there.outside.journalled() if one.kind == "sent"]
        assert {one.call for one in sent} == {each["response"]["request_id"] for each in output}
        assert there.cloud.batches.files == {}  # nothing of it is left there
        assert verify(there.folder / "journal").is_whole
        assert {asked.headers["authorization"] for asked in there.cloud.requests} == {f"Bearer {KEY}"}


async def test_what_the_cloud_has_not_answered_is_asked_directly(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES)
        there.cloud.batches.finish(await submitted(there, yard), state="expired", most=1)
        output = await answers(yard, batch_id)
        assert there.asked() == {BATCHES: 1, CHAT: 2}
        first, *others = [each["response"]["body"]["usage"] for each in output]
        expected = [("ok", cost(first)), *(("ok", cost(usage, 100)) for usage in others)]
        assert sorted(await yard.settled()) == sorted(expected)


async def test_a_batch_that_is_cancelled_is_cancelled_there(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES)
        await submitted(there, yard)
        reply = await yard.ask("POST", f"{BATCHES}/{batch_id}/cancel")
        assert reply.json["status"] == "cancelling"
        batch = await yard.ended(batch_id)
        assert batch["status"] == "cancelled" and batch["request_counts"]["failed"] == 3
        assert await yard.settled() == [] and there.batches[0]["status"] == "cancelled"
        assert there.asked() == {BATCHES: 1} and yard.house() == (0, 0)


@pytest.mark.slow
async def test_who_has_less_than_a_day_or_an_engine_of_the_house_is_asked_directly(there: Place) -> None:
    async with there.gateway() as yard:
        await answers(yard, await yard.begin(LINES, window="12h"))
        assert there.asked() == {CHAT: 3}
        assert len(await yard.settled()) == 3
    async with FakeEngine("vllm") as engine, there.gateway(local(), engine=engine.endpoint) as yard:
        await answers(yard, await yard.begin(LINES))
        assert there.asked() == {CHAT: 3} and len(engine.calls) == 3


async def test_a_line_that_is_paid_for_makes_no_room(there: Place) -> None:
    """It might go to an engine of the house, which somebody wants now, and is at the cloud: it is asked once."""
    answer, goes_on = there.cloud._answer, asyncio.Event()

    async def slowly(asked: Any, *told: Any) -> bool:
        await goes_on.wait()
        return await answer(asked, *told)

    there.cloud._answer = slowly  # type: ignore[method-assign]
    async with FakeEngine("vllm") as engine, there.gateway(RENTED, local(), engine=engine.endpoint) as yard:
        yard.running.settings = replace(yard.running.settings, quiet_s=0.01)
        batch_id = await yard.begin(LINES[:1], window="12h")
        await until(lambda: there.asked() == {CHAT: 1})
        client = await yard.gateway.client()
        asking = asyncio.create_task(client.ask(CHAT, {"model": "fast", "messages": LINES[0]["body"]["messages"]}))
        await until(lambda: there.asked() == {CHAT: 2})
        goes_on.set()
        assert (await asking).status == 200
        await answers(yard, batch_id)
        client.leave()
        assert [outcome for outcome, _ in await yard.settled()] == ["ok"] * 2
        assert there.asked() == {CHAT: 2} and engine.calls == []


@pytest.mark.slow
async def test_what_the_cloud_refuses_as_a_batch_is_asked_directly(there: Place) -> None:
    there.cloud.once(Conduct(), Conduct(Misdeed.STATUS, status=429, body={"error": {"message": "no", "code": "full"}}))
    async with there.gateway() as yard:
        output = await answers(yard, await yard.begin(LINES))
        costs = sorted(("ok", cost(each["response"]["body"]["usage"], 100)) for each in output)
        assert sorted(await yard.settled()) == costs and there.asked()[CHAT] == 3
        assert there.batches == [] and there.cloud.batches.files == {}


@pytest.mark.slow
async def test_half_of_a_budget_is_left_for_others(there: Place) -> None:
    most = PRICE.most(100, 20, is_batch=True)
    async with there.gateway(budget=Budget(day=12 * most)) as yard:
        batch_id = await yard.begin([line(n, max_tokens=20) for n in range(12)])
        await submitted(there, yard)
        held = yard.house()[1]
        assert 0 < held <= 6 * most
        there.cloud.batches.ends = True
        yard.running._pauses.clear()
        await until(lambda: yard.running._pauses.clear() or batch_id not in yard.running.live)
        batch = await yard.look(batch_id)
        assert batch["request_counts"] == {"total": 12, "completed": 12, "failed": 0}
        assert len(await yard.settled()) == 12 and len(there.batches) > 1


@pytest.mark.slow
async def test_before_its_window_ends_lines_are_called_back(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES)
        await submitted(there, yard)
        yard.clock_s += 0.8 * 86_400
        output = await answers(yard, batch_id)
        assert len(output) == 3 and there.batches[0]["status"] == "cancelled" and there.asked()[CHAT] == 3
        assert len(await yard.settled()) == 3


async def is_cancelled(yard: Yard, batch_id: str) -> None:
    await yard.ask("POST", f"{BATCHES}/{batch_id}/cancel")


async def is_late(yard: Yard, _: str) -> None:
    yard.clock_s += 0.8 * 86_400
    yard.rented.wake()


async def is_over(yard: Yard, _: str) -> None:
    yard.clock_s += 1.1 * 86_400


async def loses_its_key(yard: Yard, _: str) -> None:
    yard.gateway.keys.known.clear()


@pytest.mark.parametrize("then", [is_cancelled, is_late, is_over, loses_its_key], ids=lambda then: then.__name__)
async def test_what_has_ended_before_it_is_called_back_is_fetched(
    there: Place, then: Callable[[Yard, str], Awaitable[None]]
) -> None:
    """The cloud refuses to cancel it, and its answers are paid for."""
    async with there.gateway() as yard:
        yard.rented.look_every_s = 3600.0
        looked, look = asyncio.Event(), yard.outside.look

        async def looks(order: Any, remote: str) -> Any:
            found = await look(order, remote)
            looked.set()
            return found

        yard.outside.look = looks  # type: ignore[method-assign]
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
        await looked.wait()
        there.cloud.batches.finish(remote)
        answered = there.cloud.batches.files[there.batches[0]["output_file_id"]]
        spent = sum(cost(json.loads(raw)["response"]["body"]["usage"]) for raw in answered.splitlines())
        await then(yard, batch_id)
        await until(lambda: batch_id not in yard.running.live)
        assert sum(costs for _, costs in await yard.settled()) == spent > 0
        assert there.asked() == {BATCHES: 1} and there.cloud.batches.files == {}


async def test_what_has_ended_while_nothing_ran_is_fetched_late(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
    there.cloud.batches.finish(remote)
    async with there.gateway() as yard:
        yard.clock_s += 0.8 * 86_400
        output = await answers(yard, batch_id)
        costs = sorted(("ok", cost(each["response"]["body"]["usage"])) for each in output)
        assert sorted(await yard.settled()) == costs and len(costs) == 3
        assert there.asked() == {BATCHES: 1}


async def test_what_ends_as_it_is_called_back_is_fetched(there: Place) -> None:
    async with there.gateway() as yard:
        cancel = yard.outside.cancel

        async def cancelled(order: Any, remote: str) -> None:
            there.cloud.batches.finish(remote)
            yard.rented.look_every_s = 3600.0  # not by another look
            await cancel(order, remote)

        yard.outside.cancel = cancelled  # type: ignore[method-assign]
        batch_id = await yard.begin(LINES)
        await submitted(there, yard)
        yard.clock_s += 0.8 * 86_400
        output = await answers(yard, batch_id)
        costs = sorted(("ok", cost(each["response"]["body"]["usage"])) for each in output)
        assert sorted(await yard.settled()) == costs and there.asked() == {BATCHES: 1}


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, None,
    ],
    ids=["zeros", "no-answer", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("is_revoked", [False, True], ids=["written", "nobody's"])
async def test_a_report_that_cannot_be_is_none(there: Place, told: Any, is_revoked: bool) -> None:
    """Each line counts as the most that it can have cost, whoever its answers are for."""
    async with there.gateway() as yard:
        yard.rented.look_every_s = 3600.0
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
        held = yard.house()[1]
        there.cloud.batches.finish(remote)
        files, name = there.cloud.batches.files, there.batches[0]["output_file_id"]
        rows = [json.loads(raw) for raw in files[name].splitlines()]
        for row in rows:
            row["response"]["body"]["usage"] = told
        files[name] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        if is_revoked:
            yard.gateway.keys.known.clear()
        yard.rented.wake()
        await until(lambda: batch_id not in yard.running.live)
        paid = await yard.settled()
        assert len(paid) == 3 and sum(costs for _, costs in paid) == held > 0
        assert await yard.estimated() == [True] * 3
        if not is_revoked:
            output = await answers(yard, batch_id)
            assert all(each["response"]["body"]["usage"]["completion_tokens"] > 0 for each in output)


# -- a kill at each step --------------------------------------------------------------------------------------------


async def never(*_: Any) -> Any:
    await asyncio.Event().wait()


def before_it_leaves(yard: Yard, reached: asyncio.Event) -> None:
    async def submit(*_: Any) -> Any:
        reached.set()
        await never()

    yard.outside.submit = submit  # type: ignore[method-assign]


def before_it_is_known_to_be_there(yard: Yard, reached: asyncio.Event) -> None:
    submit = yard.outside.submit

    async def submitted(*told: Any) -> Any:
        await submit(*told)
        reached.set()
        await never()

    yard.outside.submit = submitted  # type: ignore[method-assign]


def before_it_has_ended(yard: Yard, reached: asyncio.Event) -> None:
    async def look(*_: Any) -> Any:
        reached.set()
        await never()

    yard.outside.look = look  # type: ignore[method-assign]


def before_answers_are_written(yard: Yard, reached: asyncio.Event) -> None:
    async def lines(*_: Any) -> Any:
        reached.set()
        await never()

    yard.outside.lines = lines  # type: ignore[method-assign]


def before_money_is_settled(yard: Yard, reached: asyncio.Event) -> None:
    def settle(*_: Any) -> bool:
        reached.set()
        raise RuntimeError("killed")

    yard.money.settle = settle  # type: ignore[method-assign]


def before_rows_are_written(yard: Yard, reached: asyncio.Event) -> None:
    yard.ledger.record = lambda _row: reached.set()  # type: ignore[method-assign]


def before_its_end_is_written(yard: Yard, reached: asyncio.Event) -> None:
    change = yard.rows.change

    async def changed(batch_id: str, state: str, remote_id: str | None = None) -> None:
        if state == "ended":
            reached.set()
            raise StoreFailed("the database", "is gone", "look")
        await change(batch_id, state, remote_id)

    yard.rows.change = changed  # type: ignore[method-assign]


STEPS = (
    before_it_leaves, before_it_is_known_to_be_there, before_it_has_ended, before_answers_are_written,
    before_money_is_settled, before_rows_are_written, before_its_end_is_written,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
async def test_left_at_any_step_it_goes_on(there: Place, step: Callable[[Yard, asyncio.Event], None]) -> None:
    there.cloud.batches.ends = True
    async with there.gateway() as yard:
        reached = asyncio.Event()
        step(yard, reached)
        batch_id = await yard.begin(LINES)
        async with asyncio.timeout(20):
            await reached.wait()
    async with there.gateway() as yard:
        yard.clock_s += SURE_S  # it is not there, and will not be
        await until(lambda: batch_id not in yard.running.live)
        batch = await yard.look(batch_id)
        assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 3)
        output = await yard.content(batch["output_file_id"])
        costs = sorted(("ok", cost(each["response"]["body"]["usage"])) for each in output)
        assert sorted(await yard.settled()) == costs and there.asked() == {BATCHES: 1}
        assert there.cloud.batches.files == {}


@pytest.mark.slow
async def test_a_cloud_that_tells_nothing_is_not_waited_for_forever(there: Place) -> None:
    async with there.gateway() as yard:
        batch_id = await yard.begin(LINES, window="7d")
        await submitted(there, yard)
        held = yard.house()[1]
        there.cloud.always = Conduct(Misdeed.DROP)
        yard.clock_s += 2.1 * 86_400
        await until(lambda: not yard.money.held)
        there.cloud.always = Conduct()
        yard.running._pauses.clear()
        await answers(yard, batch_id)
        rows = await yard.settled()
        assert [row[0] for row in rows].count("unanswered") == 3
        assert sum(costs for outcome, costs in rows if outcome == "unanswered") == held
        assert there.asked()[CHAT] >= 3 and MOST_TOKENS == 100
