"""What was done so that a request fits is told to its caller in a header, and to whoever watches in numbers."""

from __future__ import annotations

from typing import Any

import pytest
from composed import CHAT, PATH, STREAM, Gateway, target

from ringfence.core.route import Overlong, Profile
from ringfence.telemetry.events import FITS, Answered, Fitting
from ringfence.testing.fake_dialects import FakeModel, words_in
from ringfence.testing.fake_engine import FakeEngine

WINDOW = 2048
CANARY = "nobody-else-says-this"
LATEST = {"role": "user", "content": "And what is left of it?"}
TALK = [
    {"role": role, "content": f"{CANARY} {number} " + "word " * 200}
    for number in range(8)
    for role in ("user", "assistant")
]
ASKED = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
FOUND = "\n".join(f"{CANARY} line {number} of many" for number in range(600))
SEARCHED = [
    {"role": "user", "content": "Look it up."},
    {"role": "assistant", "content": None, "tool_calls": [ASKED]},
    {"role": "tool", "tool_call_id": "c", "content": FOUND},
]


async def answered_by(gateway: Gateway) -> Answered:
    gateway.events.flush()
    return [event for event in gateway.happened if type(event) is Answered][-1]


@pytest.fixture
def small() -> Any:
    return FakeEngine("vllm", (FakeModel(window=WINDOW),))


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("more", "state", "dropped", "shortened"),
    [
        ({}, "fit", 0, {}),
        ({"max_tokens": WINDOW}, "clamped", 0, {}),
        ({"messages": SEARCHED, "max_tokens": 64}, "compressed", 0, {"tool_result": 1}),
        ({"messages": [*TALK, LATEST], "max_tokens": 64}, "truncated", 1, {}),
    ],
    ids=["fit", "clamped", "compressed", "truncated"],
)
async def test_the_header_and_the_event_say_the_same(
    serve: Any, small: FakeEngine, body: dict[str, Any], more: dict[str, Any], state: str, dropped: int, shortened: Any
) -> None:
    async with small as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(window=WINDOW),))
        reply = await (await gateway.client()).ask(PATH, body | more)
        assert reply.status == 200, reply.body
        sent = engine.calls[-1].body
        event = await answered_by(gateway)
        fitting = event.fitting
        assert fitting is not None
        told = reply.head["x-ringfence-window"]
        assert (fitting.state, fitting.shortened) == (state, shortened)
        assert fitting.dropped >= dropped
        if state in ("fit", "clamped"):
            assert told == state
            assert (fitting is FITS) == (state == "fit")
        else:
            assert told == f"{state}; before={fitting.before}; after={fitting.after}"
            assert fitting.before > WINDOW >= fitting.after + sent["max_tokens"]
            assert fitting.after == words_in(sent), "by the engine's own count"
            assert len(sent["messages"]) == len((body | more)["messages"]) - fitting.dropped
        if state == "clamped":
            assert (fitting.asked, fitting.output) == (WINDOW, sent["max_tokens"])
        assert CANARY not in repr(gateway.happened)


async def test_a_refusal_has_no_target_and_nothing_done(serve: Any, small: FakeEngine) -> None:
    async with small as engine:
        profile = Profile("default", overlong=Overlong.REFUSE)
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(window=WINDOW),), profile=profile)
        reply = await (await gateway.client()).ask(PATH, CHAT | {"messages": [*TALK, LATEST], "max_tokens": 64})
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        event = await answered_by(gateway)
        assert (event.kind.target, event.kind.outcome, event.fitting) == ("", "context_length_exceeded", None)
        assert engine.calls == []


def test_a_fitting_holds_numbers_and_names_alone() -> None:
    assert all(isinstance(value, str | int | None) or value == {} for value in Fitting("fit"))
