"""Lines of batches that go to a cloud of Anthropic's dialect as a batch of its own: the gateway does as for any other,
and money is settled by what Anthropic counts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from batched import line
from batched_away import MOST_TOKENS, PRICE, Place, Yard
from composed import until
from outgoing import KEY, away, provider

from ringfence.core.money import Price, Rates
from ringfence.core.usage import Usage
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.money import MoneyRules
from ringfence.providers import anthropic
from ringfence.testing.fake_cloud import Conduct, FakeCloud, Misdeed
from ringfence.testing.fake_cloud_answers import Saying

LINES = [line(n, f"canary words {n}", max_tokens=20) for n in range(3)]
WITH_CACHES = Price(Rates.of(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000), batch_percent=50)
MESSAGES, BATCHES = "/v1/messages", "/v1/messages/batches"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Place]:
    rented = {"dialect": "anthropic", "batch": True, "max_tokens": MOST_TOKENS}
    async with (
        FakeCloud("anthropic", api_key=KEY, models=("fake-large",), window=100_000) as cloud,
        away(tmp_path, provider(cloud.url, **rented)) as outside,
    ):
        yield Place(tmp_path, cloud, outside)


def rent(there: Place, yard: Yard, price: Price = PRICE) -> None:
    cloud = Cloud(anthropic.ADAPTER, there.cloud.url, MOST_TOKENS, has_batches=True)
    yard.gateway.relay.clouds["rented"] = cloud
    yard.gateway.pipeline.money.rules = MoneyRules(prices={("rented", "fake-large"): price})


async def submitted(there: Place, yard: Yard) -> str:
    batches = there.cloud.message_batches.batches
    await until(lambda: batches and yard.rented.open and all(one.remote_id for one in yard.rented.open.values()))
    return next(reversed(batches))


async def answers(yard: Yard, batch_id: str) -> list[dict[str, Any]]:
    batch = await yard.ended(batch_id)
    assert batch["status"] == "completed", batch
    return await yard.content(batch["output_file_id"])


def paid(output: list[dict[str, Any]], price: Price, *, is_batch: bool = True) -> list[tuple[str, int]]:
    used = [Usage.read(each["response"]["body"]["usage"]) for each in output]
    return sorted(("ok", price.cost(one, is_batch=is_batch)) for one in used if one is not None)


async def test_lines_are_answered_in_openais_words_and_paid_with_caches(there: Place) -> None:
    there.cloud.says = Saying(words=("A", " fox", "."), cached_tokens=1000, written_tokens=200)
    async with there.gateway() as yard:
        rent(there, yard, WITH_CACHES)
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
        assert {one.path for one in there.cloud.calls} == {BATCHES} and yard.house()[1] > 0
        there.cloud.message_batches.finish(remote)
        output = await answers(yard, batch_id)
        assert [each["custom_id"] for each in output] == ["ask-0", "ask-1", "ask-2"]
        first = output[0]["response"]["body"]
        assert (first["model"], first["choices"][0]["message"]["content"]) == ("fast", "A fox.")
        details = first["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] == 1000
        others = first["usage"]["prompt_tokens"] - 1200
        whole = -(-(others * 30 + 1000 * 3 + 200 * 37.5 + 3 * 150) // 10)
        assert sorted(await yard.settled())[0] == ("ok", -(-whole // 2))
        assert paid(output, WITH_CACHES) == sorted(await yard.settled())
        assert there.cloud.message_batches.batches == {}  # nothing of it is left there


@pytest.mark.slow
async def test_lines_that_were_not_answered_are_asked_directly(there: Place) -> None:
    async with there.gateway() as yard:
        rent(there, yard)
        batch_id = await yard.begin(LINES)
        there.cloud.message_batches.finish(await submitted(there, yard), most=1)
        output = await answers(yard, batch_id)
        assert [one.path for one in there.cloud.calls] == [BATCHES, MESSAGES, MESSAGES]
        expected = [*paid(output[:1], PRICE), *paid(output[1:], PRICE, is_batch=False)]
        assert sorted(await yard.settled()) == sorted(expected)


@pytest.mark.slow
async def test_one_of_which_nobody_heard_is_paid_once(there: Place) -> None:
    """Nothing is asked again while nobody can tell whether the provider has it."""
    there.cloud.once(Conduct(Misdeed.DROP))
    async with there.gateway() as yard:
        rent(there, yard)
        batch_id = await yard.begin(LINES)
        batches = there.cloud.message_batches.batches
        await until(lambda: len([one for one in there.cloud.requests if one.method == "GET"]) >= 3)
        yard.clock_s += 600
        assert yard.house()[1] > 0 and len(there.cloud.calls) == 1
        there.cloud.message_batches.finish(next(iter(batches)))
        output = await answers(yard, batch_id)
        assert paid(output, PRICE) == sorted(await yard.settled()) and len(output) == 3
        assert len(there.cloud.calls) == 1


async def test_an_answer_without_a_report_counts_as_the_most(there: Place) -> None:
    async with there.gateway() as yard:
        rent(there, yard)
        yard.rented.look_every_s = 3600.0
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
        held, batches = yard.house()[1], there.cloud.message_batches
        batches.finish(remote)
        rows = [json.loads(raw) for raw in batches.results[remote].splitlines()]
        for row in rows:
            del row["result"]["message"]["usage"]
        batches.results[remote] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        yard.rented.wake()
        assert len(await answers(yard, batch_id)) == 3
        assert sum(costs for _, costs in await yard.settled()) == held > 0
        assert await yard.estimated() == [True] * 3


async def test_what_has_ended_while_nothing_ran_is_fetched_late(there: Place) -> None:
    """It is not called back any more: Anthropic refuses that of a batch that has ended."""
    async with there.gateway() as yard:
        rent(there, yard)
        batch_id = await yard.begin(LINES)
        remote = await submitted(there, yard)
    there.cloud.message_batches.finish(remote)
    async with there.gateway() as yard:
        rent(there, yard)
        yard.clock_s += 0.8 * 86_400
        output = await answers(yard, batch_id)
        assert paid(output, PRICE) == sorted(await yard.settled()) and len(output) == 3
        assert [one.path for one in there.cloud.calls] == [BATCHES]
