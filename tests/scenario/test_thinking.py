"""Deep reasoning as a tool, over real sockets: who is asked what, how often, how far, and what the caller hears."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from composed import Reply, request, target, until
from thinking_inside import (
    ANSWER,
    BOUNDS,
    HARD,
    OF_SMALL,
    OF_THOUGHT,
    Says,
    Script,
    asked,
    offers,
    settled,
    thinking,
    thinks,
    thought,
)

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model
from ringfence.core.identity import Key
from ringfence.core.route import Profile, Tier, Urgency
from ringfence.gateway.call import Call
from ringfence.testing.fake_engine import Behaviour, Fault


async def test_a_thought_is_asked_for_and_the_answer_rests_on_it(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why is it so?"), Says(ANSWER))
    reply = await asked(gateway)
    assert reply.status == 200, reply.body
    assert reply.json["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}
    assert reply.json["choices"][0]["finish_reason"] == "stop"
    first, second = small.bodies
    assert offers(first) == ["think"]
    assert [m["role"] for m in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][2] == {"role": "tool", "tool_call_id": "call_0", "content": "Because of this."}
    (question,) = deep.bodies
    assert [m["content"] for m in question["messages"]][1:] == ["Why is it so?"]
    assert "tools" not in question and "Is it so?" not in json.dumps(question)
    usage = reply.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (120, 60, 180)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == OF_THOUGHT["completion_tokens"]


async def test_each_call_has_a_row_of_its_own_and_the_whole_has_one(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    reply = await asked(gateway)
    outer = reply.head["x-request-id"]
    rows = {row.call_id: row for row in gateway.answered}
    assert list(rows) == [f"{outer}.1", f"{outer}.2", f"{outer}.3", outer]
    assert [row.kind.model for row in rows.values()] == ["small", "deep", "small", "orchestrator"]
    assert {row.kind.key.id for row in rows.values()} == {"key_1"}
    used = [row.usage.total_tokens if row.usage is not None else None for row in rows.values()]
    assert used == [OF_SMALL["total_tokens"], OF_THOUGHT["total_tokens"], OF_SMALL["total_tokens"], None]


async def test_a_stream_tells_of_the_thought_while_it_is_made(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why is it so?", "Let me think."), Says(ANSWER))
    reply = await asked(gateway, stream=True, stream_options={"include_usage": True})
    assert reply.status == 200
    chunks = [json.loads(event) for event in reply.events if event != "[DONE]"]
    assert reply.events[-1] == "[DONE]"
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Let me think. It is so. "
    reasoned = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert reasoned == "[Thought 1 of at most 3]\nBecause of this. \n"
    assert [delta for delta in deltas if "role" in delta] == [deltas[0]]
    assert not any("tool_calls" in delta for delta in deltas)
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]] == ["stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 180


async def test_usage_is_told_to_those_who_ask_for_it(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    reply = await asked(gateway, stream=True)
    assert reply.text == f"{ANSWER} " and not any("usage" in event for event in reply.events)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"reasoning_effort": "medium"},
        {"reasoning_effort": None},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "look"}}]},
    ],
)
async def test_an_easy_one_or_one_of_a_form_goes_down_the_normal_way(
    serve: Any, small: Script, deep: Script, changes: dict[str, Any], stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(Says(ANSWER))
    reply = await asked(gateway, stream=stream, **changes)
    assert reply.status == 200
    (body,) = small.bodies
    assert "think" not in offers(body) and deep.calls == []
    assert [row.call_id for row in gateway.answered] == [reply.head["x-request-id"]]
    assert "x-ringfence-thinking" not in reply.head


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_thinks_without_end_answers_all_the_same(
    serve: Any, small: Script, deep: Script, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("And why is that?"))
    reply = await asked(gateway, stream=stream)
    text = reply.text.strip() if stream else reply.json["choices"][0]["message"]["content"]
    assert text == "Because of this."  # the last thought, for it says nothing itself
    assert (len(deep.calls), len(small.calls)) == (BOUNDS.thoughts, BOUNDS.thoughts + 1)
    assert small.bodies[-1]["tool_choice"] == "none"
    assert "tool_calls" not in reply.body.decode().replace('"finish_reason":"tool_calls"', "")


async def test_several_thoughts_in_one_turn_count_each(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(Says(calls=tuple(("think", {"question": f"{n}?"}) for n in range(5))), Says(ANSWER))
    assert (await asked(gateway)).status == 200
    assert len(deep.calls) == BOUNDS.thoughts
    results = [m["content"] for m in small.bodies[1]["messages"] if m["role"] == "tool"]
    assert results[:3] == ["Because of this."] * 3 and all("no more thinking" in one for one in results[3:])


async def test_tokens_bound_thoughts(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep, replace(BOUNDS, thoughts=50, tokens=400))
    small.says(thinks("And why?"))
    assert (await asked(gateway)).status == 200
    # 15 for the first turn, and 165 for a thought and the turn after it: then 55 are left
    assert len(deep.calls) == 2
    room = [body["max_tokens"] for body in deep.bodies]
    assert room[0] <= 400 - 15 and room[1] <= room[0] - 165


async def test_money_bounds_thoughts(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    left = [1]

    def purse(call: Call) -> int:
        assert call.model == "orchestrator"
        left[0] -= 1
        return left[0]

    gateway.pipeline.thinking.money = purse
    small.says(thinks("Why?"), Says(ANSWER))
    reply = await asked(gateway)
    assert reply.json["choices"][0]["message"]["content"] == ANSWER
    assert deep.calls == [] and small.bodies[-1]["tool_choice"] == "none"


@pytest.mark.parametrize(("depth", "asks"), [(1, 1), (2, 2), (3, 3)])
async def test_thoughts_within_thoughts_end_at_the_depth(
    serve: Any, small: Script, deep: Script, depth: int, asks: int
) -> None:
    gateway = await thinking(serve, small, deep, replace(BOUNDS, depth=depth, thoughts=10))
    small.says(thinks("Why?"), Says(ANSWER))
    deep.says(*(thinks("And why is that?") for _ in range(depth - 1)), thought("Because."))
    reply = await asked(gateway)
    assert reply.json["choices"][0]["message"]["content"] == ANSWER
    assert [offers(body) for body in deep.bodies[:asks]] == [["think"]] * (depth - 1) + [[]]


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_of_the_caller_are_its_own(serve: Any, small: Script, deep: Script, stream: bool) -> None:
    """What it calls first counts; a thought in the same turn is left out."""
    gateway = await thinking(serve, small, deep)
    small.says(Says(calls=(("look", {"at": "a"}), ("think", {"question": "?"}), ("look", {"at": "b"}))))
    reply = await asked(gateway, stream=stream, tools=TOOLS)
    calls = collected(reply) if stream else reply.json["choices"][0]["message"]["tool_calls"]
    assert [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] == [
        ("look", {"at": "a"}), ("look", {"at": "b"}),
    ]  # fmt: skip
    assert deep.calls == [] and offers(small.bodies[0]) == ["look", "think"]
    assert '"finish_reason":"tool_calls"' in reply.body.decode()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_thought_before_a_tool_is_thought_first(serve: Any, small: Script, deep: Script, stream: bool) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(
        Says(calls=(("think", {"question": "Where?"}), ("look", {"at": "c"}))), Says(calls=(("look", {"at": "b"}),))
    )
    reply = await asked(gateway, stream=stream, tools=TOOLS)
    calls = collected(reply) if stream else reply.json["choices"][0]["message"]["tool_calls"]
    assert [json.loads(c["function"]["arguments"]) for c in calls] == [{"at": "b"}]
    reminded = small.bodies[1]["messages"][1]["tool_calls"]
    assert [call["function"]["name"] for call in reminded] == ["think"] and len(deep.calls) == 1


async def test_a_tool_of_the_callers_own_that_is_called_think(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(Says(calls=(("think", {"question": "Why?"}),)))
    own = [{"type": "function", "function": {"name": "think", "parameters": {"type": "object"}}}]
    reply = await asked(gateway, tools=own)
    assert offers(small.bodies[0]) == ["think", "ringfence_think"] and deep.calls == []
    assert reply.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "think"


def collected(reply: Reply) -> list[dict[str, Any]]:
    """Tool calls put together as clients do it: by their index, which has no gaps."""
    calls: list[dict[str, Any]] = []
    for event in reply.events[:-1]:
        for choice in json.loads(event)["choices"]:
            for piece in choice["delta"].get("tool_calls", ()):
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "function": dict(piece["function"])})
                else:
                    calls[piece["index"]]["function"]["arguments"] += piece["function"].get("arguments") or ""
    return calls


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.STATUS, Fault.DROP, Fault.CUT, Fault.BAD_SSE, Fault.BAD_JSON])
async def test_where_nothing_can_think_the_small_model_answers(
    serve: Any, small: Script, deep: Script, fault: Fault, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    deep.as_usual()
    deep.always = Behaviour(fault, after_events=1)
    reply = await asked(gateway, stream=stream)
    text = reply.text.strip() if stream else reply.json["choices"][0]["message"]["content"]
    assert reply.status == 200
    told = small.bodies[1]["messages"][-1]["content"]
    if (stream and fault is Fault.BAD_JSON) or (not stream and fault is Fault.BAD_SSE):  # it is none there
        assert "not available" not in told
    else:
        assert "Thinking is not available now" in told
    assert text == ANSWER


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("turn", [0, 1])
async def test_where_the_small_model_fails_its_caller_is_told(
    serve: Any, small: Script, deep: Script, turn: int, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.as_usual()
    small.once(*(Behaviour(twist=thinks("Why?")) for _ in range(turn)))
    small.always = Behaviour(Fault.STATUS, status=400, body={"error": {"message": "no", "code": 400}})
    reply = await asked(gateway, stream=stream)
    if stream and turn:  # it had begun
        assert "error" in json.loads(reply.events[-1]) and reply.status == 200
    else:
        assert reply.status == 400 and reply.error["message"]


@pytest.mark.timed
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("who", ["small", "deep"])
async def test_a_caller_that_leaves_stops_what_is_done_for_it(
    serve: Any, small: Script, deep: Script, who: str, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    engine = small if who == "small" else deep
    engine.as_usual()
    engine.always = Behaviour(Fault.STALL, after_events=2)
    client = await gateway.client()
    await client.send(request(body=HARD | {"stream": stream}))
    await until(lambda: engine.calls)
    await asyncio.sleep(0.05)
    left_s = time.monotonic()
    client.leave()
    await until(lambda: engine.calls[-1].client_left_s)
    assert engine.calls[-1].client_left_s - left_s < 0.1
    await gateway.assert_at_rest()
    assert {row.kind.status for row in gateway.answered[-2:]} == {499}


async def test_every_call_counts_against_the_limits_of_the_key(serve: Any, small: Script, deep: Script) -> None:
    key = Key("key_1", "tests", requests_per_minute=3)
    gateway = await thinking(serve, small, deep, key=key)
    small.says(thinks("Why?"), Says(ANSWER))
    assert (await asked(gateway)).status == 200
    refused = await asked(gateway)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")


async def test_priority_is_that_of_the_request(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    seen: list[Urgency] = []
    take = gateway.admission.take

    def watched(target: Any, weight: int, urgency: Urgency) -> Any:
        seen.append(urgency)
        return take(target, weight, urgency)

    gateway.admission.take = watched  # type: ignore[method-assign]
    small.says(thinks("Why?"), Says(ANSWER))
    client = await gateway.client()
    reply = await client.ask(body=HARD, head=b"x-ringfence-priority: background\r\n")
    assert reply.status == 200 and set(seen) == {Urgency.BACKGROUND} and len(seen) >= 3


# -- how far ----------------------------------------------------------------------------------------------------------

WIDE = Profile("default", Boundary.CLOUD, Tier.SPEED_OPTIONAL)


@pytest.mark.parametrize(
    ("profile", "text", "reaches"),
    [
        (Profile("default"), "Is it so?", False),
        (WIDE, "Is it so?", True),
        (WIDE, "My card is 4111 1111 1111 1111. Is it so?", False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_no_thought_goes_further_than_the_request(
    serve: Any, small: Script, deep: Script, profile: Profile, text: str, reaches: bool, stream: bool
) -> None:
    """What is private in the request holds for the thought as well, also where the question says nothing of it."""
    gateway = await thinking(serve, small, deep, at=Boundary.MESH, profile=profile)
    small.says(thinks("Why is it so?"), Says(ANSWER))
    reply = await asked(gateway, stream=stream, messages=[{"role": "user", "content": text}])
    assert reply.status == 200 and bool(deep.calls) is reaches
    told = small.bodies[1]["messages"][-1]["content"]
    assert ("boundary_refused" in told) is not reaches
    assert reply.head["x-ringfence-thinking"] == ("CLOUD" if reaches else "HOST")


async def test_a_question_that_is_private_itself_stays(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep, at=Boundary.MESH, profile=WIDE)
    small.says(thinks("What of 4111 1111 1111 1111?"), Says(ANSWER))
    assert (await asked(gateway)).status == 200
    assert deep.calls == []


async def test_tools_that_are_not_listed_keep_thoughts_here(serve: Any, small: Script, deep: Script) -> None:
    """Our own does not: what it is told is a call, which is fenced itself."""
    gateway = await thinking(serve, small, deep, at=Boundary.MESH, profile=WIDE)
    small.says(thinks("Why?"), Says(ANSWER))
    assert (await asked(gateway, tools=TOOLS)).status == 200
    assert deep.calls == []


async def test_a_profile_that_is_tightened_meanwhile_is_kept_to(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep, at=Boundary.MESH, profile=WIDE)
    small.says(replace(thinks("Why?"), after_s=0.2), Says(ANSWER))
    asking = asyncio.create_task(asked(gateway))
    await until(lambda: small.calls)
    gateway.pipeline.settings = settled(BOUNDS, Profile("default"), Boundary.MESH)
    reply = await asking
    assert reply.json["choices"][0]["message"]["content"] == ANSWER and deep.calls == []


async def test_a_model_that_has_the_name_is_that_model(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep)
    settings = gateway.pipeline.settings
    theirs = Model("orchestrator", (target("seat/theirs", model="orchestrator"),))
    gateway.pipeline.settings = replace(settings, catalog=Catalog.of([*settings.catalog.models.values(), theirs]))
    small.says(Says(ANSWER))
    reply = await asked(gateway)
    assert reply.status == 200 and offers(small.bodies[0]) == [] and reply.json["model"] == "orchestrator"


async def test_the_name_is_listed_with_how_far_it_reaches(serve: Any, small: Script, deep: Script) -> None:
    gateway = await thinking(serve, small, deep, at=Boundary.MESH)
    client = await gateway.client()
    rows = (await client.ask("/v1/models", method="GET")).json["data"]
    (row,) = [row for row in rows if row["id"] == "orchestrator"]
    assert row["boundary"] == "MESH" and "chat" in row["abilities"]


async def test_no_text_is_logged_or_shown(
    serve: Any, small: Script, deep: Script, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("canary-question"), Says("canary-answer"))
    deep.says(thought("canary-thought"))
    await asked(gateway, messages=[{"role": "user", "content": "canary-asked"}])
    gateway.events.flush()
    assert "canary" not in caplog.text + repr(gateway.happened)
