"""Providers that say what cannot be, and calls that change on their way: no more is spent than is held and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from composed import request
from spending import A_CALL, MOST_TOKENS, Spending, rented, spending

from ringfence.config.routing import THINKS
from ringfence.core.catalog import Catalog, Model
from ringfence.core.identity import Key
from ringfence.core.money import Budget, Price, Rates
from ringfence.core.route import House, Profile
from ringfence.gateway.deciding import Settings
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.providers import anthropic, openai
from ringfence.routing.ruleset import NamedChain, Ruleset
from ringfence.testing.fake_cloud import Asked, Conduct, Misdeed
from ringfence.testing.fake_cloud_answers import Saying, ToolCall

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "hello"}], "max_tokens": MOST_TOKENS}
RICH = Key("key_1", "tests", budget=Budget(month=1000 * A_CALL))
WORD = A_CALL // MOST_TOKENS
OVERLONG = "This model's maximum context length is 4000 tokens. However, your messages resulted in 4600 tokens."
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b"
LIES: tuple[Any, ...] = (
    None, {}, [], "many", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"prompt_tokens": 5},
    {"prompt_tokens": 5, "completion_tokens": -8}, {"prompt_tokens": -5, "completion_tokens": 8},
    {"prompt_tokens": 5, "completion_tokens": 8.0}, {"prompt_tokens": "5", "completion_tokens": "8"},
    {"prompt_tokens": 5, "completion_tokens": True}, {"total_tokens": -3},
)  # fmt: skip
"""Of answers that say eight words: none of these is a report of what they cost."""


def tells(house: Spending, *replies: bytes) -> list[Any]:
    """The cloud answers with these bytes, one after the other; the bodies that it is told."""
    told, left = list[Any](), list(replies)

    async def answer(asked: Asked, _reader: Any, writer: Any) -> bool:
        told.append(asked.body)
        writer.write(left.pop(0))
        return True

    house.cloud._answer = answer  # type: ignore[method-assign]
    return told


def whole(body: Any, status: int = 200) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d Told\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status, len(data), data,
    )  # fmt: skip


def answered(usage: Any) -> bytes:
    message = {"role": "assistant", "content": "eight words that somebody wants money for now"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return whole({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


def streamed(*events: Any) -> bytes:
    """In one piece."""
    data = b"".join(b"data: %b\n\n" % (json.dumps(one).encode() if one else b"[DONE]") for one in events)
    return EVENTS % (len(data), data)


def chunk(usage: Any = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if delta or finish else []
    return {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": choices, "usage": usage}


class Till:
    """What each call comes to."""

    def __init__(self, house: Spending) -> None:
        self.house = house
        self._before = 0

    async def cost(self, **more: Any) -> int:
        await self.house.ask(CHAT, HELLO | more)
        before, self._before = self._before, (await self.house.settled())[0]
        return self._before - before


async def test_what_a_provider_cannot_have_used_is_no_report(tmp_path: Path) -> None:
    said = [chunk(role="assistant", content="")] + [chunk(content=" word")] * MOST_TOKENS + [chunk(finish="stop")]
    full = {"prompt_tokens": 5, "completion_tokens": MOST_TOKENS, "total_tokens": 5 + MOST_TOKENS}
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    async with spending(tmp_path, key=RICH) as house:
        till = Till(house)
        for usage in LIES:
            tells(house, answered(usage))
            assert await till.cost() == A_CALL, usage
            tells(house, streamed(*said, chunk(usage), None))
            assert await till.cost(stream=True) == A_CALL, usage
        # A report of less than was reported before takes nothing back.
        tells(house, streamed(*said, chunk(full), chunk(nothing), None))
        assert await till.cost(stream=True) == A_CALL
        # It is believed where it is less than what is held.
        tells(house, streamed(*said, chunk({"prompt_tokens": 5, "completion_tokens": 2}), None))
        assert await till.cost(stream=True) == 2 * WORD
        # No report, however large, takes the sums out of step with the rows.
        tells(house, answered({"prompt_tokens": 10**18, "completion_tokens": 10**18}))
        assert await till.cost() == 10_000_000 * 1_000_000


async def test_errors_that_may_have_to_be_paid_for(tmp_path: Path) -> None:
    broke = {"error": {"message": "it broke", "code": 500}}
    full = {"prompt_tokens": 5, "completion_tokens": MOST_TOKENS, "total_tokens": 5 + MOST_TOKENS}
    last = [chunk(content=" word")] * MOST_TOKENS + [chunk(finish="stop"), chunk(full), None]
    async with spending(tmp_path, key=RICH) as house:
        till = Till(house)
        # Free as a stream begins, and not after words, though it comes with them in one piece.
        tells(house, streamed(chunk(role="assistant", content=""), broke), streamed(*last))
        assert await till.cost(stream=True) == A_CALL
        tells(house, streamed(chunk(content=" word"), broke), streamed(*last))
        assert await till.cost(stream=True) == 2 * A_CALL
        # Whoever ran out of time may have worked until then.
        for status, tries in ((500, 1), (502, 1), (503, 1), (504, 2), (524, 2), (408, 2)):
            tells(house, whole(broke, status), answered(full))
            assert await till.cost() == tries * A_CALL, status


async def test_a_shortened_call_asks_for_no_more_than_is_held(tmp_path: Path) -> None:
    """Its prompt leaves little room for an answer at first, and more once it was shortened."""
    text = "several plain words of an ordinary text. " * 310
    async with spending(tmp_path, key=RICH, targets=(rented(window=4000),), max_tokens=2000) as house:
        told = tells(house, whole({"error": {"message": OVERLONG}}, 400), answered(None))
        body = {"model": "fast", "messages": [{"role": "user", "content": text}]}
        status, _, answer = await house.ask(CHAT, body)
        assert (status, len(told)) == (200, 2), answer
        first, second = (
            one["max_completion_tokens" if "max_completion_tokens" in one else "max_tokens"] for one in told
        )
        assert second <= first < 2000
        assert (await house.settled())[0] <= first * WORD


async def test_all_tries_of_a_call_together_cost_no_more_than_one_call_may(tmp_path: Path) -> None:
    key = Key("key_1", "tests", budget=Budget(month=1000 * A_CALL, call=A_CALL * 3 // 2))
    async with spending(tmp_path, key=key) as house:
        house.cloud.once(Conduct(Misdeed.DROP))
        status, _, body = await house.ask(CHAT, HELLO)
        assert (status, json.loads(body)["error"]["code"]) == (429, "insufficient_quota")
        assert b"beside $0.12 that it has cost already" in body
        assert (await house.settled())[0] == A_CALL
        assert (await house.ask(CHAT, HELLO))[0] == 200  # another call


@pytest.mark.slow
async def test_all_thoughts_of_a_call_together_cost_no_more_than_one_call_may(tmp_path: Path) -> None:
    key = Key("key_1", "tests", budget=Budget(month=1000 * A_CALL, call=A_CALL * 5 // 2))
    async with spending(tmp_path, key=key) as house:
        pipeline = house.gateway.pipeline
        small, deep = rented(name="rented/small", model="small"), rented(name="rented/deep", model="deep")
        pipeline.settings = Settings(
            Catalog.of([Model("small", (small,)), Model("deep", (deep,))]),
            House({"default": Profile("default", pipeline.settings.house.profiles["default"].boundary)}, {}, {}),
            rules=Ruleset((), {THINKS: NamedChain(("small",))}), thinking=Bounds("small", "deep"),
        )  # fmt: skip
        house.cloud.says = Saying(("",) * MOST_TOKENS, (ToolCall("think", json.dumps({"question": "Is it so?"})),))
        await house.ask(CHAT, HELLO | {"model": THINKS, "reasoning_effort": "high"})
        assert (await house.settled())[0] == len(house.cloud.calls) * A_CALL == 2 * A_CALL


# -- what is left midway -------------------------------------------------------------------------------------------

CLAUDE = Price(Rates.of(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000))
LONG: dict[str, Any] = {
    "model": "fast", "max_tokens": 1000, "stream": True,
    "messages": [{"role": "user", "content": [
        {"type": "text", "text": "x" * 60_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]}],
}  # fmt: skip
PIECE = " eight tokens, as four bytes are about 1"
PIECES = 20
SAID_TOKENS = PIECES * len(PIECE) // 4


def named(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind} | fields).encode())


def begun(*, written: int = 15_000, said: int = PIECES) -> bytes:
    """A message of Anthropic's: of its prompt, so many tokens were written to a cache, to be kept for an hour."""
    usage = {
        "input_tokens": 3, "cache_creation_input_tokens": written, "cache_read_input_tokens": 1000, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written},
    }  # fmt: skip
    start = named("message_start", message={"id": "msg_1", "type": "message", "model": "m", "usage": usage})
    start += named("content_block_start", index=0, content_block={"type": "text", "text": ""})
    delta = {"type": "text_delta", "text": PIECE}
    return start + named("content_block_delta", index=0, delta=delta) * said


def plain(*events: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in events)


def unended(house: Spending, data: bytes) -> None:
    """The cloud says this much of a stream, and nothing more until nobody listens."""

    async def answer(_asked: Asked, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await reader.read()
        return False

    house.cloud._answer = answer  # type: ignore[method-assign]


async def left(house: Spending, data: bytes, body: dict[str, Any] = LONG) -> int:
    """What a call comes to whose caller goes when it has heard `data`."""
    before = house.house()[0]
    unended(house, data)
    client = await house.gateway.client()
    await client.send(request(CHAT, body))
    assert (await client.head()).status == 200
    heard = b""
    while heard.count(PIECE.encode()) < data.count(PIECE.encode()):
        heard += await client.chunk()
    client.leave()
    return (await house.settled())[0] - before


WORDS = [chunk(role="assistant", content=""), *[chunk(content=PIECE)] * PIECES]
DEEP: dict[str, Any] = {"key": RICH, "price": CLAUDE, "targets": (rented(window=1_000_000),), "max_tokens": 1000}
BY_SIZE = len(json.dumps(LONG).encode()) // 4 * 3
"""Micro-dollars of its prompt, where nobody reports it."""


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": PIECE}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 9},
}  # fmt: skip


async def reports(house: Spending, **details: int) -> None:
    """An answer, with a report of its tokens."""
    usage = {"prompt_tokens": 15_000, "completion_tokens": 400, "completion_tokens_details": details}
    tells(house, streamed(*WORDS, chunk(finish="stop"), chunk(usage), None))
    await house.ask(CHAT, LONG)
    await house.settled()


REPORTED = 3 * 3 + 1000 * 0.3 + 15_000 * 6
"""Micro-dollars of what `begun` reports of its prompt."""


async def test_what_was_reported_of_a_prompt_is_paid_by_who_leaves_midway(tmp_path: Path) -> None:
    """An event may hold several tokens: what came is counted by its size."""
    many = named("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 700})
    few = named("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2})
    asked = {"key": RICH, "price": CLAUDE, "targets": (rented(window=1_000_000),), "max_tokens": 1000}
    async with spending(tmp_path, adapter=anthropic.ADAPTER, **asked) as house:
        tells(house, whole(MESSAGE))
        await house.ask(CHAT, HELLO)  # it does not think unasked
        await house.settled()
        assert await left(house, begun()) == REPORTED + SAID_TOKENS * 15
        assert await left(house, begun() + many) == REPORTED + 700 * 15
        assert await left(house, begun() + few) == REPORTED + SAID_TOKENS * 15
        # Where it broke, it may have gone on unseen: all that was held.
        tells(house, EVENTS % (len(begun()), begun()))
        before = (await house.settled())[0]
        await house.ask(CHAT, LONG)
        assert (await house.settled())[0] - before > 60_000 * 6


async def test_what_was_said_is_paid_by_its_size_by_who_leaves_midway(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 15_000, "completion_tokens": 0, "total_tokens": 15_000}
    asked = {"key": RICH, "price": CLAUDE, "targets": (rented(window=1_000_000),), "max_tokens": 1000}
    async with spending(tmp_path, adapter=openai.ADAPTER, **asked) as house:
        await reports(house)
        assert await left(house, plain(*WORDS)) == BY_SIZE + SAID_TOKENS * 15
        # With the usage in each event, the first of them tell of the prompt alone.
        first = [one | {"usage": usage} for one in WORDS[:2]]
        assert await left(house, plain(*first, *WORDS[2:])) == 15_000 * 3 + SAID_TOKENS * 15
        later = [one | {"usage": usage | {"completion_tokens": 900, "total_tokens": 15_900}} for one in WORDS[-1:]]
        assert await left(house, plain(*first, *WORDS[2:-1], *later)) == 15_000 * 3 + 900 * 15
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": PIECE}}
        many = [chunk(reasoning_content=PIECE), chunk(tool_calls=[call])]
        assert await left(house, plain(*many * 50)) >= BY_SIZE + 100 * len(PIECE) // 4 * 15


# -- what is no answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [openai.ADAPTER, anthropic.ADAPTER], ids=lambda adapter: adapter.kind)
async def test_what_cannot_be_read_may_have_cost_what_was_held_in_any_dialect(tmp_path: Path, adapter: Any) -> None:
    """Also as the beginning of a stream."""
    full = {"prompt_tokens": 5, "completion_tokens": MOST_TOKENS, "total_tokens": 5 + MOST_TOKENS}
    message = {"type": "message", "content": [], "usage": {"input_tokens": 5, "output_tokens": MOST_TOKENS}}
    answer, stream = answered(full), plain(chunk(full, "stop", content="x"))
    if adapter is anthropic.ADAPTER:
        end = named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": MOST_TOKENS})
        answer, stream = whole(message), begun(said=1) + end + named("message_stop")
    async with spending(tmp_path, key=RICH, adapter=adapter) as house:
        till, bodies = Till(house), ({"id": "1", "type": "completion"}, {"type": "message", "content": "x"}, {}, [])
        for body in bodies:
            told = tells(house, whole(body), answer)
            assert await till.cost() == 2 * A_CALL, body
            assert len(told) == 2
        assert [row[2] for row in (await house.settled())[1]] == ["unanswered", "ok"] * len(bodies)
        told = tells(house, *(EVENTS % (len(data), data) for data in (b"data: {nonsense\n\n", stream)))
        assert await till.cost(stream=True) == 2 * A_CALL
        assert len(told) == 2


@pytest.mark.parametrize("asked", [{"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}])
async def test_thoughts_that_nobody_saw_count_as_they_were_held(tmp_path: Path, asked: dict[str, Any]) -> None:
    said, most = SAID_TOKENS * 15, 1000 * 15
    async with spending(tmp_path, adapter=openai.ADAPTER, **DEEP) as house:
        assert await left(house, plain(*WORDS)) == BY_SIZE + most  # whether it thinks, nobody knows
        await reports(house)
        assert await left(house, plain(*WORDS)) == BY_SIZE + said
        more = len(json.dumps(asked).encode())
        assert 0 <= await left(house, plain(*WORDS), LONG | asked) - BY_SIZE - most <= more
        few = chunk({"prompt_tokens": 15_000, "completion_tokens": 12})
        assert await left(house, plain(few, *WORDS), LONG | asked) == 15_000 * 3 + most
        await reports(house, reasoning_tokens=390)
        await reports(house)
        assert await left(house, plain(*WORDS)) == BY_SIZE + most


async def test_thoughts_of_anthropic_count_as_they_were_held(tmp_path: Path) -> None:
    thinks = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    async with spending(tmp_path, adapter=anthropic.ADAPTER, **(DEEP | {"max_tokens": 2000})) as house:
        assert await left(house, begun(), LONG | thinks) == REPORTED + 2000 * 15
