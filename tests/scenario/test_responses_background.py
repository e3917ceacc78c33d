"""Responses that are made in the background: asked for, looked at, followed and cancelled by OpenAI's own library."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from composed import until
from keeping import CLOUDY, OTHER, Keeping, events_in
from openai.types.responses import Response
from parked_inside import PRIVATE, Waiting

from ringfence.core.boundary import Boundary
from ringfence.core.route import Profile, Urgency
from ringfence.gateway.dialects.responses import Responses
from ringfence.gateway.responses_background import BackgroundSettings
from ringfence.gateway.responses_desk import ResponseRoutes
from ringfence.gateway.responses_kept import KeptResponses
from ringfence.store.responses import ResponseRows
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

SAID = "The quick brown fox jumps."
ASKED = {"model": "fast", "input": "hello", "background": True}
FINAL = ("completed", "failed", "incomplete", "cancelled")
IN_ORDER = [
    "response.created", "response.queued", "response.in_progress", "response.output_item.added",
    "response.content_part.added", *["response.output_text.delta"] * 6, "response.output_text.done",
    "response.content_part.done", "response.output_item.done", "response.completed",
]  # fmt: skip


async def ended(client: openai.AsyncOpenAI, response_id: str) -> Response:
    async with asyncio.timeout(25):
        while (found := await client.responses.retrieve(response_id)).status not in FINAL:
            await asyncio.sleep(0.01)
    return found


def going(keeping: Keeping) -> dict[str, Any]:
    return keeping.kept.background.going


async def test_its_caller_is_answered_at_once_and_finds_what_it_came_to(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.STALL, after_events=2))
    async with keeping.client() as client, keeping.client(OTHER) as other:
        asked = await client.responses.create(model="fast", input="hello", background=True, metadata={"for": "tests"})
        assert (asked.status, asked.background, asked.output, asked.usage) == ("queued", True, [], None)
        assert asked.to_dict()["store"] is True
        await until(lambda: going(keeping)[asked.id].voice.shown["output"])
        (call,) = keeping.gateway.pipeline.running.values()
        assert call.urgency is Urgency.BACKGROUND and call.body["stream"] is True
        halfway = await client.responses.retrieve(asked.id)
        assert halfway.status == "in_progress"
        for stranger in (other.responses.retrieve(asked.id), other.responses.cancel(asked.id)):
            with pytest.raises(openai.NotFoundError):
                await stranger
        with pytest.raises(openai.BadRequestError) as early:
            await client.responses.create(model="fast", input="And?", previous_response_id=asked.id)
        assert early.value.code == "previous_response_not_ended"
        cancelled = await client.responses.cancel(asked.id)
        assert cancelled.status == "cancelled"
        await until(lambda: engine.requests[-1].client_left_s is not None)
        assert (await client.responses.retrieve(asked.id)).status == "cancelled"
        assert (await client.responses.cancel(asked.id)).status == "cancelled", "as it is"
        again = await client.responses.create(model="fast", input="hello", background=True)
        whole = await ended(client, again.id)
        assert (whole.status, whole.output_text, whole.background) == ("completed", SAID, True)
        assert whole.usage is not None and whole.usage.output_tokens == 6
        follows = await client.responses.create(model="fast", input="And?", previous_response_id=again.id)
        assert follows.status == "completed" and len(engine.requests[-1].body["messages"]) == 3
        await client.responses.delete(again.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(again.id)
    outcomes = [(one.kind.dialect, one.kind.outcome) for one in keeping.gateway.answered]
    assert outcomes == [("responses", "client_gone"), ("responses", "ok"), ("responses", "ok")]
    assert going(keeping) == {}


async def test_a_stream_is_gone_on_with_where_it_was_left(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(between_s=0.03))
    async with keeping.client() as client:
        stream = await client.responses.create(model="fast", input="hello", background=True, stream=True)
        heard: list[Any] = []
        async for event in stream:
            heard.append(event)
            if event.type == "response.output_text.delta":
                break
        await stream.close()  # and it runs on
        response_id = heard[0].response.id
        more = await client.responses.retrieve(response_id, stream=True, starting_after=heard[-1].sequence_number)
        heard += [event async for event in more]
        assert [event.type for event in heard] == IN_ORDER
        assert [event.sequence_number for event in heard] == list(range(len(IN_ORDER)))
        assert heard[0].response.status == heard[1].response.status == "queued"
        assert heard[2].response.status == "in_progress" and heard[-1].response.output_text == SAID
        await keeping.kept.settled()
        kept = [event async for event in await client.responses.retrieve(response_id, stream=True)]
        assert [event.to_dict() for event in kept] == [event.to_dict() for event in heard], "the same once more"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_any_response_that_is_kept_can_be_told_again(keeping: Keeping, is_stream: bool) -> None:
    asked = {"model": "fast", "input": "hello", "stream": is_stream}
    first = await keeping.ask("/v1/responses", asked)
    told = events_in(first.body) if is_stream else []
    response_id = told[0]["response"]["id"] if is_stream else first.json["id"]
    again = await keeping.ask(f"/v1/responses/{response_id}?stream=true", method="GET")
    assert again.head["content-type"] == "text/event-stream; charset=utf-8"
    events = events_in(again.body)
    assert events[-1]["response"] == (told[-1]["response"] if is_stream else first.json)
    assert events == told or not is_stream
    rest = await keeping.ask(f"/v1/responses/{response_id}?stream=true&starting_after=3", method="GET")
    assert events_in(rest.body) == events[4:] and events[4]["sequence_number"] == 4
    for after in ("x", "-1"):
        path = f"/v1/responses/{response_id}?stream=true&starting_after={after}"
        wrong = await keeping.ask(path, method="GET")
        assert (wrong.status, wrong.error["param"]) == (400, "starting_after")


async def test_what_goes_wrong_is_told_by_its_status(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.CUT, after_events=3, between_s=0.2))
    async with keeping.client() as client:
        broke = await ended(client, (await client.responses.create(**ASKED)).id)  # type: ignore[arg-type]
        assert broke.status == "failed" and broke.error is not None and broke.error.code == "server_error"
        events = events_in((await keeping.ask(f"/v1/responses/{broke.id}?stream=true", method="GET")).body)
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2]["code"] == "engine_failed"
        keeping.gateway.seats.endpoint = None
        away = await ended(client, (await client.responses.create(**ASKED)).id)  # type: ignore[arg-type]
        assert away.status == "failed" and away.error is not None and away.output == []
    assert len(keeping.gateway.answered) == 2


async def test_what_would_be_refused_is_refused_at_once(keeping: Keeping, engine: FakeEngine) -> None:
    unwanted = await keeping.ask("/v1/responses", ASKED | {"store": False})
    strange = await keeping.ask("/v1/responses", ASKED | {"background": "yes"})
    unknown = await keeping.ask("/v1/responses", ASKED | {"model": "none"})
    chatted = await keeping.ask("/v1/chat/completions", ASKED)
    assert [unwanted.error["param"], strange.error["param"], chatted.error["param"]] == ["background"] * 3
    assert (unwanted.status, strange.status, unknown.status, chatted.status) == (400, 400, 404, 400)
    keeping.profile(Profile("default", Boundary.CLOUD))
    nowhere = await keeping.ask("/v1/responses", ASKED)
    assert (nowhere.status, nowhere.error["param"]) == (400, "background") and "stores" in nowhere.error["message"]
    assert engine.requests == [] and going(keeping) == {}


async def test_so_many_of_one_key_and_no_more(keeping: Keeping, engine: FakeEngine) -> None:
    background = keeping.kept.background
    background.settings = BackgroundSettings(most=2)
    for _ in range(2):
        engine.once(Behaviour(Fault.HANG))
    first, second = [(await keeping.ask("/v1/responses", ASKED)).json["id"] for _ in range(2)]
    full = await keeping.ask("/v1/responses", ASKED)
    assert (full.status, full.error["code"]) == (503, "too_many_in_background") and "retry-after" in full.head
    async with keeping.client(OTHER) as other:
        assert (await ended(other, (await other.responses.create(**ASKED)).id)).status == "completed"  # type: ignore
    deleted = await keeping.ask(f"/v1/responses/{first}", method="DELETE")
    assert deleted.json["deleted"] is True and list(going(keeping)) == [second]
    assert (await keeping.ask(f"/v1/responses/{first}", method="GET")).status == 404
    background.settings = BackgroundSettings(most=2, most_bytes=100)
    assert (await keeping.ask("/v1/responses", ASKED | {"input": "x" * 100})).status == 503
    background.key_of = lambda key_id: None
    await background.tick()
    assert going(keeping) == {}, "its key is no longer valid"
    await until(lambda: all(one.client_left_s is not None for one in engine.requests if one.body["stream"])
                or len(engine.requests) == 3)  # fmt: skip


async def test_after_a_restart_it_has_failed_and_is_not_lost(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.HANG))
    asked = (await keeping.ask("/v1/responses", ASKED)).json
    reborn = KeptResponses(keeping.gateway.pipeline, keeping.kept._rows, wall=lambda: keeping.wall_s)
    found = await reborn.find(asked["id"], "key_1")
    assert found is not None and found.response["status"] == "failed" and Response.model_validate(found.response)
    assert "stopped" in found.response["error"]["message"] and await reborn.find(asked["id"], "key_2") is None
    keeping.kept.background.close()
    await keeping.kept.settled()
    stopped = (await keeping.ask(f"/v1/responses/{asked['id']}", method="GET")).json
    assert (stopped["status"], stopped["error"]["code"]) == ("failed", "server_error")
    late = await keeping.ask("/v1/responses", ASKED)
    assert late.status == 503 and going(keeping) == {}


async def test_it_goes_no_further_than_what_it_follows(keeping: Keeping, engine: FakeEngine) -> None:
    keeping.profile(replace(CLOUDY, boundary=Boundary.HOST))
    made = (await keeping.ask("/v1/responses", {"model": "fast", "input": "stays"})).json
    await keeping.kept.settled()
    far = replace(keeping.gateway.targets[0], name="rented/fast", boundary=Boundary.CLOUD)
    keeping.profile(CLOUDY, far)
    refused = await keeping.ask("/v1/responses", ASKED | {"previous_response_id": made["id"]})
    assert (refused.status, refused.error["code"]) == (403, "boundary_refused")
    item = {"type": "item_reference", "id": made["output"][0]["id"]}
    said = [item, {"role": "user", "content": "And?"}]
    refused = await keeping.ask("/v1/responses", {"model": "fast", "input": said})
    assert (refused.status, refused.error["code"]) == (403, "boundary_refused")
    assert len(engine.requests) == 1 and going(keeping) == {}


async def test_items_are_referred_to_by_their_ids(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client, keeping.client(OTHER) as other:
        first = await client.responses.create(model="fast", input="Remember the heron.")
        went_in = (await client.responses.input_items.list(first.id)).data[0]
        items: list[Any] = [
            {"type": "item_reference", "id": went_in.id}, {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": "And?"},
        ]  # fmt: skip
        second = await client.responses.create(model="fast", input=items)
        assert [message["content"] for message in engine.requests[-1].body["messages"]] == [
            "Remember the heron.", SAID, "And?",
        ]  # fmt: skip
        listed = (await client.responses.input_items.list(second.id, order="asc")).data
        assert [item.id for item in listed[:2]] == [went_in.id, first.output[0].id] and len(listed) == 3
        counted = await client.responses.input_tokens.count(model="fast", input=items)
        assert counted.input_tokens > 0
        asked = len(engine.requests)
        for who, wanted in ((other, went_in.id), (client, "msg_none"), (client, went_in.id[:-1] + "9")):
            with pytest.raises(openai.NotFoundError) as none:
                await who.responses.create(model="fast", input=[{"type": "item_reference", "id": wanted}])
            assert (none.value.param, none.value.code) == ("input", "item_not_found")
        wrong = await keeping.ask("/v1/responses", {"model": "fast", "input": [{"type": "item_reference"}]})
        assert (wrong.status, wrong.error["param"]) == (400, "input[0].id")
        assert len(engine.requests) == asked


async def test_events_of_one_under_way_are_its_callers(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.STALL, after_events=2))
    async with keeping.client() as client:
        stream = await client.responses.create(model="fast", input="hello", stream=True)
        first = await anext(aiter(stream))
        refused = await keeping.ask(f"/v1/responses/{first.response.id}?stream=true", method="GET")  # type: ignore
        assert (refused.status, refused.error["param"]) == (400, "stream"), json.dumps(refused.json)
        await client.responses.cancel(first.response.id)  # type: ignore[union-attr]
        await stream.close()


async def test_it_waits_where_its_profile_parks(waits: Waiting, engine: FakeEngine) -> None:
    waits.profile(replace(PRIVATE, stores=True))
    kept = KeptResponses(waits.gateway.pipeline, ResponseRows(waits.db, waits.folder), wall=lambda: waits.wall_s)
    waits.gateway.front.routes["/v1/responses"] = Responses(kept)
    waits.gateway.front.desks.append(ResponseRoutes(waits.gateway.pipeline, kept))
    asked = (await waits.ask("/v1/responses", ASKED)).json
    await until(lambda: len(waits.parking.waiting) == 1)
    path = f"/v1/responses/{asked['id']}"
    assert (await waits.ask(path, method="GET")).json["status"] == asked["status"] == "queued"
    waits.back(engine.endpoint)
    waits.parking.look()
    await until(lambda: not kept.background.going)
    found = (await waits.ask(path, method="GET")).json
    assert found["status"] == "completed" and found["output"][0]["content"][0]["text"] == SAID
    await kept.settled()


# -- a conversation made shorter --------------------------------------------------------------------------------------


async def test_a_conversation_is_made_shorter_and_gone_on_with(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client:
        first = await client.responses.create(model="fast", input="Remember the heron.")
        shorter = await client.responses.compact(
            model="fast", previous_response_id=first.id, input=[{"role": "user", "content": "And the owl."}],
            instructions="Be brief.",
        )  # fmt: skip
        asked = engine.requests[-1].body["messages"]
        assert [message["role"] for message in asked] == ["system", "user", "assistant", "user", "user"]
        assert "summary" in asked[-1]["content"]
        assert (shorter.object, shorter.usage.output_tokens) == ("response.compaction", 6)
        *said, last = shorter.to_dict()["output"]  # type: ignore[misc]
        assert [item["content"][0]["text"] for item in said] == ["Remember the heron.", "And the owl."]  # type: ignore
        assert last["type"] == "compaction" and "heron" not in last["encrypted_content"]  # type: ignore[index]
        output: Any = shorter.to_dict()["output"]
        follows = await client.responses.create(model="fast", input=[*output, {"role": "user", "content": "Well?"}])
        assert follows.status == "completed"
        told = [message["content"] for message in engine.requests[-1].body["messages"]]
        assert told[:2] == ["Remember the heron.", "And the owl."] and told[2].endswith(SAID) and told[3] == "Well?"
        sent = len(engine.requests)
        for more, param in (({"stream": True}, "stream"), ({"max_output_tokens": 5}, "max_output_tokens")):
            refused = await keeping.ask("/v1/responses/compact", {"model": "fast", "input": "x"} | more)
            assert (refused.status, refused.error["param"]) == (400, param)
        foreign = [{"type": "compaction", "encrypted_content": "gAAAA"}]
        unread = await keeping.ask("/v1/responses", {"model": "fast", "input": foreign})
        assert (unread.status, unread.error["param"]) == (400, "input[0].encrypted_content")
    assert len(engine.requests) == sent
    assert [one.kind.dialect for one in keeping.gateway.answered] == ["responses", "responses_compact", "responses"]


async def test_what_is_made_shorter_goes_no_further(keeping: Keeping, engine: FakeEngine) -> None:
    keeping.profile(replace(CLOUDY, boundary=Boundary.HOST))
    made = (await keeping.ask("/v1/responses", {"model": "fast", "input": "stays"})).json
    await keeping.kept.settled()
    keeping.profile(CLOUDY, replace(keeping.gateway.targets[0], name="rented/fast", boundary=Boundary.CLOUD))
    refused = await keeping.ask("/v1/responses/compact", {"model": "fast", "previous_response_id": made["id"]})
    assert (refused.status, refused.error["code"], len(engine.requests)) == (403, "boundary_refused", 1)
