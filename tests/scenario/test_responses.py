"""The Responses API, asked by OpenAI's own library over real sockets: answers, streams, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from composed import CHAT, Gateway, request, target, until
from keeping import CLOUDY, EVENT, OTHER, Keeping
from kept_rows import dump, rows
from openai.types.responses import Response
from parked_inside import ASYNC, Waiting

from ringfence.core.boundary import Boundary
from ringfence.core.route import Profile
from ringfence.store.sealing import KEY_FILE
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

SAID = "The quick brown fox jumps."
PLAIN = Profile("default", Boundary.CLOUD)
CANARY = "the heron sleeps at seven"
IN_ORDER = [
    "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    *["response.output_text.delta"] * 6, "response.output_text.done", "response.content_part.done",
    "response.output_item.done", "response.completed",
]  # fmt: skip


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_an_answer_in_one_piece_is_what_the_library_reads(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client:
        answer = await client.responses.create(
            model="quick", input="hello", instructions="Be brief.", max_output_tokens=50, temperature=0.5,
            metadata={"for": "tests"}, reasoning={"effort": "low"}, text={"verbosity": "low"}, user="u1",
        )  # fmt: skip
    assert Response.model_validate(answer.to_dict(), strict=False).output_text == SAID
    assert (answer.object, answer.status, answer.model, answer.error) == ("response", "completed", "fast", None)
    assert answer.id.startswith("resp_") and answer.metadata == {"for": "tests"} and answer.user == "u1"
    assert (answer.instructions, answer.max_output_tokens, answer.temperature) == ("Be brief.", 50, 0.5)
    (message,) = answer.output
    assert (message.type, message.status) == ("message", "completed")
    assert answer.usage is not None and answer.usage.total_tokens == answer.usage.input_tokens + 6
    body = engine.requests[-1].body
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert (body["max_tokens"], body["temperature"], body["reasoning_effort"]) == (50, 0.5, "low")
    assert "store" not in body and "metadata" not in body, "that is for nobody else"
    assert [one.kind.dialect for one in keeping.gateway.answered] == ["responses"]


async def test_a_stream_has_its_events_in_order_and_each_is_of_the_librarys_type(keeping: Keeping) -> None:
    reply = await keeping.ask("/v1/responses", {"model": "fast", "input": "hello", "stream": True})
    assert reply.head["content-type"] == "text/event-stream; charset=utf-8"
    blocks = reply.body.decode().strip().split("\n\n")
    named = [block.split("\n")[0].removeprefix("event: ") for block in blocks]
    events = [json.loads(block.split("\n")[1].removeprefix("data: ")) for block in blocks]
    assert named == [event["type"] for event in events] == IN_ORDER
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        told = EVENT.validate_python(event)
        assert told.to_dict(exclude_unset=True, mode="json").keys() == event.keys(), "no field that the library lacks"
    item_id = events[2]["item"]["id"]
    assert {event["item_id"] for event in events if "item_id" in event} == {item_id}
    assert "".join(event["delta"] for event in events if "delta" in event) == events[10]["text"] == SAID
    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert last["output"] == [events[12]["item"]] and last["output"][0]["content"][0]["text"] == SAID
    assert last["usage"]["output_tokens"] == 6 and last["id"] == first["id"]


async def test_the_librarys_own_reader_of_streams(keeping: Keeping) -> None:
    async with keeping.client() as client, client.responses.stream(model="fast", input="hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds == IN_ORDER and final.output_text == SAID


async def test_an_answer_that_was_cut_is_incomplete(keeping: Keeping) -> None:
    async with keeping.client() as client:
        answer = await client.responses.create(model="fast", input="hello", max_output_tokens=3)
        assert answer.incomplete_details is not None and answer.incomplete_details.reason == "max_output_tokens"
        assert (answer.status, answer.output_text) == ("incomplete", "The quick brown")
        assert answer.output[0].type == "message" and answer.output[0].status == "incomplete"
        stream = await client.responses.create(model="fast", input="hello", max_output_tokens=3, stream=True)
        last = [event async for event in stream][-1]
    assert last.type == "response.incomplete" and last.response.status == "incomplete"


async def test_a_stream_that_breaks_ends_as_a_response_that_failed(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.CUT, after_events=3, between_s=0.2))
    async with keeping.client() as client:
        stream = await client.responses.create(model="fast", input="hello", stream=True)
        events = [event async for event in stream]
    *_, part, item, error, failed = events
    assert (part.type, item.type) == ("response.content_part.done", "response.output_item.done")
    assert error.type == "error" and error.code == "engine_failed"
    assert failed.type == "response.failed" and failed.response.status == "failed"
    assert failed.response.error is not None and failed.response.error.code == "server_error"
    assert [one.kind.outcome for one in keeping.gateway.answered] == ["lost"]


async def test_an_error_before_the_first_byte_is_an_error(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client:
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.responses.create(model="fast", input=[{"type": "message", "role": "king", "content": "x"}])
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="none", input="x")
    assert wrong.value.param == "input[0].role"
    assert engine.requests == []


async def test_what_is_wrong_has_the_name_that_its_caller_knows(keeping: Keeping, engine: FakeEngine) -> None:
    far = {"type": "input_file", "filename": "x.pdf", "file_data": "https://far.example/x.pdf"}
    heard = {"type": "input_audio", "input_audio": {"data": "https://far.example/x.wav", "format": "wav"}}
    for body, param in (
        ({"input": [{"role": "user", "content": [far]}]}, "input"),
        ({"input": [{"role": "user", "content": [heard]}]}, "input"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "stream": "yes"}, "stream"),
    ):
        for path in ("/v1/responses", "/v1/responses/input_tokens"):
            reply = await keeping.ask(path, {"model": "fast", **body})
            assert (reply.status, reply.error["param"]) == (400, param), reply.body
            assert "messages" not in reply.error["message"] and reply.head["x-request-id"]
    assert engine.requests == []


async def test_cursor_sends_responses_to_the_address_of_chats(keeping: Keeping, engine: FakeEngine) -> None:
    tool = {"type": "function", "name": "read", "description": "Reads.", "parameters": {"type": "object"}}
    asked = {
        "model": "fast", "input": [{"role": "user", "content": "hello"}], "tools": [tool], "stream": True,
        "reasoning": {"effort": "medium"}, "store": False, "include": ["reasoning.encrypted_content"],
    }  # fmt: skip
    reply = await keeping.ask("/v1/chat/completions", asked)
    assert reply.status == 200 and reply.text == SAID and reply.events[-1] == "[DONE]"
    body = engine.requests[-1].body
    assert body["messages"] == [{"role": "user", "content": "hello"}] and "input" not in body
    assert body["tools"][0]["function"]["name"] == "read" and body["reasoning_effort"] == "medium"
    assert [one.kind.dialect for one in keeping.gateway.answered] == ["chat"]


# -- what is kept -----------------------------------------------------------------------------------------------------


async def test_a_response_is_followed_shown_listed_and_deleted(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client:
        first = await client.responses.create(model="fast", input=f"Remember: {CANARY}", instructions="Once.")
        assert first.to_dict()["store"] is True
        stream = await client.responses.create(
            model="fast", input="And now?", previous_response_id=first.id, stream=True
        )
        second = [event async for event in stream][-1].response  # type: ignore[union-attr]
        assert second.previous_response_id == first.id
        assert engine.requests[-1].body["messages"] == [
            {"role": "user", "content": f"Remember: {CANARY}"}, {"role": "assistant", "content": SAID},
            {"role": "user", "content": "And now?"},
        ]  # fmt: skip
        shown = await client.responses.retrieve(second.id)
        assert shown.to_dict() == second.to_dict()
        items = await client.responses.input_items.list(second.id, order="asc")
        assert [item.type for item in items.data] == ["message", "message", "message"] and not items.has_more
        page = await client.responses.input_items.list(second.id, limit=2)
        assert page.has_more and len([item async for item in page]) == 3, "the library asks for the rest"
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)
        third = await client.responses.create(model="fast", input="Still?", previous_response_id=second.id)
        assert len(engine.requests[-1].body["messages"]) == 5 and third.status == "completed"


async def test_a_follow_up_that_is_nested_too_deep_is_refused_and_no_limit_is_endless(keeping: Keeping) -> None:
    first = (await keeping.ask("/v1/responses", {"model": "fast", "input": "hi"})).json
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    body = {"model": "fast", "input": "hi", "metadata": {"a": deep}, "previous_response_id": first["id"]}
    assert (await keeping.ask("/v1/responses", body)).error["code"] == "nested_too_deep"
    listed = await keeping.ask(f"/v1/responses/{first['id']}/input_items?limit={'1' * 5000}", method="GET")
    assert (listed.status, listed.error["param"]) == (400, "limit")


async def test_whose_response_it_is_not_for_that_key_there_is_none(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client, keeping.client(OTHER) as other:
        mine = await client.responses.create(model="fast", input="hello")
        for ask in (
            other.responses.retrieve(mine.id), other.responses.delete(mine.id), other.responses.cancel(mine.id),
            other.responses.input_items.list(mine.id),
        ):  # fmt: skip
            with pytest.raises(openai.NotFoundError):
                await ask
        asked = len(engine.requests)
        with pytest.raises(openai.BadRequestError) as none:
            await other.responses.create(model="fast", input="x", previous_response_id=mine.id)
        assert (none.value.code, none.value.param) == ("previous_response_not_found", "previous_response_id")
        assert len(engine.requests) == asked
        assert (await client.responses.retrieve(mine.id)).id == mine.id


async def test_no_text_lies_on_disk_in_the_clear_and_none_for_ever(keeping: Keeping) -> None:
    async with keeping.client() as client:
        mine = await client.responses.create(model="fast", input=CANARY, metadata={"note": CANARY})
        await keeping.kept.settled()
        written = b"".join(path.read_bytes() for path in keeping.folder.iterdir() if path.name != KEY_FILE)
        written += dump(keeping.folder / "ringfence.db").encode()
        assert mine.id.encode() in written and CANARY.encode() not in written and SAID.encode() not in written
        keeping.wall_s += 30 * 86_400.0 + 1
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(mine.id)
        await keeping.kept.prune()
    assert rows(keeping.folder / "ringfence.db", "select count(*) from responses") == [(0,)]


@pytest.mark.parametrize("change", ["boundary = 2", "key_id = 'key_2'", "expires_s = expires_s + 1"])
async def test_a_row_that_was_changed_does_not_open(keeping: Keeping, change: str) -> None:
    """Somebody who can write the database widens nothing, and makes nothing his own."""
    keeping.profile(replace(CLOUDY, boundary=Boundary.HOST))
    async with keeping.client() as client, keeping.client(OTHER) as other:
        mine = await client.responses.create(model="fast", input=CANARY)
        await keeping.kept.settled()
        await keeping.db.run(lambda connection: connection.exec_driver_sql(f"update responses set {change}").close())
        for each in (client, other):
            with pytest.raises(openai.NotFoundError):
                await each.responses.retrieve(mine.id)


async def test_nothing_is_kept_where_that_is_not_wanted(keeping: Keeping, caplog: pytest.LogCaptureFixture) -> None:
    async with keeping.client() as client:
        unwanted = await client.responses.create(model="fast", input=CANARY, store=False)
        keeping.profile(PLAIN)
        not_here = await client.responses.create(model="fast", input=CANARY, store=True)
        for answer in (unwanted, not_here):
            assert answer.to_dict()["store"] is False
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(answer.id)
    await keeping.kept.settled()
    assert rows(keeping.folder / "ringfence.db", "select count(*) from responses") == [(0,)]
    assert CANARY not in caplog.text


@pytest.mark.parametrize("why", ["profile", "label"])
async def test_a_follow_up_goes_no_further_than_what_it_follows(keeping: Keeping, engine: FakeEngine, why: str) -> None:
    """The profile may reach clouds by now; what is followed was made when it might not, or said that it stays."""
    far = target("rented/fast", boundary=Boundary.CLOUD)
    head = {"x-ringfence-label": "private"} if why == "label" else {}
    if why == "profile":
        keeping.profile(replace(CLOUDY, boundary=Boundary.HOST))
    async with keeping.client() as client:
        mine = await client.responses.create(model="fast", input=CANARY, extra_headers=head)
        await keeping.kept.settled()
        keeping.profile(CLOUDY, far)
        asked = len(engine.requests)
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.responses.create(model="fast", input="x", previous_response_id=mine.id)
        assert refused.value.code == "boundary_refused" and len(engine.requests) == asked
        with pytest.raises(openai.PermissionDeniedError):
            await client.responses.input_tokens.count(model="fast", input="x", previous_response_id=mine.id)
        assert len(engine.requests) == asked
        keeping.profile(CLOUDY)
        follows = await client.responses.create(model="fast", input="x", previous_response_id=mine.id)
        await keeping.kept.settled()
        keeping.profile(CLOUDY, far)
        with pytest.raises(openai.PermissionDeniedError):
            await client.responses.create(model="fast", input="y", previous_response_id=follows.id)
        assert engine.requests[-1].body["messages"][0]["content"] == CANARY


# -- one under way, and counts ----------------------------------------------------------------------------------------


async def test_one_under_way_is_cancelled_at_its_engine(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.STALL, after_events=2))
    async with keeping.client() as client, keeping.client(OTHER) as other:
        stream = await client.responses.create(model="fast", input="hello", stream=True)
        events: list[Any] = []
        async for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                shown = await client.responses.retrieve(event_id(events))
                assert shown.status == "in_progress"
                with pytest.raises(openai.NotFoundError):
                    await other.responses.cancel(shown.id)
                cancelled = await client.responses.cancel(shown.id)
                assert cancelled.status == "cancelled"
        last = events[-1]
        assert last.type == "response.incomplete" and last.response.status == "cancelled"
        await until(lambda: engine.requests[-1].client_left_s is not None)
        assert (await client.responses.retrieve(last.response.id)).status == "cancelled"
        assert (await client.responses.cancel(last.response.id)).status == "cancelled", "as it is"
    assert [one.kind.outcome for one in keeping.gateway.answered] == ["client_gone"]


def event_id(events: list[Any]) -> str:
    return str(events[0].response.id)


async def test_one_that_waits_for_its_whole_answer_is_cancelled(keeping: Keeping, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.HANG))
    async with keeping.client() as client:
        waiting = asyncio.create_task(client.responses.create(model="fast", input="hello"))
        await until(lambda: engine.requests and keeping.gateway.pipeline.running)
        (call,) = keeping.gateway.pipeline.running.values()
        await client.responses.cancel(call.voice.id)  # type: ignore[union-attr]
        answer = await waiting
    assert (answer.status, answer.output) == ("cancelled", [])
    await until(lambda: engine.requests[-1].client_left_s is not None)


async def test_tokens_are_counted_where_the_call_would_go(keeping: Keeping, engine: FakeEngine) -> None:
    async with keeping.client() as client:
        counted = await client.responses.input_tokens.count(model="fast", input="one two three")
        more = await client.responses.input_tokens.count(model="fast", input="one two three four", instructions="Be.")
    raw = await keeping.ask("/v1/responses/input_tokens", {"model": "fast", "input": "one two three"})
    assert (raw.head["x-ringfence-counted-by"], bool(raw.head["x-request-id"])) == ("engine", True)
    assert counted.object == "response.input_tokens" and 0 < counted.input_tokens < more.input_tokens
    assert len(engine.requests) == 3 and keeping.gateway.answered == []


async def test_desks_take_what_they_say(keeping: Keeping) -> None:
    for method, path, status in (
        ("GET", "/v1/responses", 405), ("PUT", "/v1/responses/resp_x", 405),
        ("GET", "/v1/responses/resp_x/cancel", 405),
        ("GET", "/v1/responses/resp_x/other", 404), ("GET", "/v1/responses/", 404), ("GET", "/responses/resp_x", 404),
        ("POST", "/v1/responses/input_tokens", 400), ("DELETE", "/v1/responses/resp_x", 404),
    ):  # fmt: skip
        assert (await keeping.ask(path, {} if method == "POST" else None, method=method)).status == status, path
    client = await keeping.gateway.client()
    await client.send(request("/v1/responses/resp_x", method="GET", secret=b"sk-nobody"))
    assert (await client.answer()).status == 401
    client.leave()
    assert (await keeping.ask(body=CHAT)).status == 200


async def test_without_a_place_to_keep_them_nothing_can_be_followed(gateway: Gateway) -> None:
    client = await gateway.client()
    asked = {"model": "fast", "input": "x", "previous_response_id": "resp_x"}
    reply = await client.ask("/v1/responses", asked)
    assert reply.status == 400 and reply.error["param"] == "previous_response_id"
    client.leave()


async def test_one_that_was_parked_is_told_as_a_response(waits: Waiting, engine: FakeEngine) -> None:
    asked = {"model": "fast", "input": "hello", "max_output_tokens": 50}
    tickets: list[str] = []
    for is_stream in (False, True):
        reply = await waits.ask("/v1/responses", asked | {"stream": is_stream}, head=ASYNC)
        assert reply.status == 202, reply.body
        tickets.append(reply.json["id"])
    waits.back(engine.endpoint)
    waits.parking.look()
    whole, stream = [await waits.answered(ticket) for ticket in tickets]
    assert Response.model_validate(whole.json).output_text == SAID
    last = json.loads(stream.body.decode().strip().split("data: ")[-1])
    assert last["type"] == "response.completed" and last["response"]["output"][0]["content"][0]["text"] == SAID
