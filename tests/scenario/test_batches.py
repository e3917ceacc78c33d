"""Files and batches over real sockets: each line is answered once, in order, or it is said why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import CHAT, Desk, batched, form, jsonl, line
from composed import Gateway, until
from composed import target as made_target

from ringfence.config.hours import daily
from ringfence.core.boundary import Boundary
from ringfence.core.route import Profile
from ringfence.gateway.call import Call
from ringfence.telemetry.events import BatchEnded, BatchLineEnded
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

LINES = 25


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with FakeEngine("vllm") as engine:
        yield engine


@pytest.fixture
async def desk(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Desk]:
    async with Gateway(engine.endpoint) as gateway, batched(gateway, tmp_path) as desk:
        desk.running.settings = replace(desk.running.settings, quiet_s=0.1)
        yield desk


def events(desk: Desk, kind: type) -> list[Any]:
    desk.gateway.events.flush()
    return [event for event in desk.gateway.happened if type(event) is kind]


async def test_every_line_is_answered_in_order(desk: Desk, engine: FakeEngine, tmp_path: Path) -> None:
    batch_id = await desk.begin([line(n, f"secret words {n}") for n in range(LINES)], metadata={"job": "nightly"})
    begun = await desk.look(batch_id)
    assert begun["object"] == "batch" and begun["endpoint"] == CHAT and begun["metadata"] == {"job": "nightly"}
    assert begun["output_file_id"] is None or begun["status"] == "completed"
    batch = await desk.ended(batch_id)
    assert batch["status"] == "completed" and batch["errors"] is None and batch["error_file_id"] is None
    assert batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    assert batch["created_at"] <= batch["in_progress_at"] <= batch["finalizing_at"] == batch["completed_at"]
    assert batch["expires_at"] - batch["created_at"] == 86_400
    output = await desk.content(batch["output_file_id"])
    assert [each["custom_id"] for each in output] == [f"ask-{n}" for n in range(LINES)]
    assert len({each["id"] for each in output}) == LINES
    assert {each["response"]["status_code"] for each in output} == {200} and output[0]["error"] is None
    assert output[0]["response"]["body"]["object"] == "chat.completion"
    assert output[0]["response"]["body"]["model"] == "fast"
    assert sorted(call.body["messages"][0]["content"] for call in engine.calls) == sorted(
        f"secret words {n}" for n in range(LINES)
    )
    assert [event.outcome for event in events(desk, BatchLineEnded)] == ["completed"] * LINES
    assert [(event.state, event.completed) for event in events(desk, BatchEnded)] == [("completed", LINES)]
    assert {answered.kind.key.id for answered in desk.gateway.answered} == {"key_1"}
    files = (await desk.ask("GET", "/v1/files")).json["data"]
    assert [(file["purpose"], file["filename"]) for file in files] == [
        ("batch_output", f"{batch_id}_output.jsonl"), ("batch", "in.jsonl"),
    ]  # fmt: skip
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"secret words" not in kept and b"quick brown" not in kept and b"nightly" not in kept


async def test_files_as_openai_has_them(desk: Desk) -> None:
    text = jsonl([line(1)])
    made = await desk.upload(text)
    assert made.status == 200
    file = made.json
    assert file["object"] == "file" and file["bytes"] == len(text) and file["status"] == "processed"
    assert file["expires_at"] - file["created_at"] == 7 * 86_400
    assert (await desk.ask("GET", f"/v1/files/{file['id']}")).json == file
    content = await desk.ask("GET", f"/v1/files/{file['id']}/content")
    assert content.body == text and content.head["content-type"] == "application/octet-stream"
    second = (await desk.upload(text, **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})).json
    assert second["expires_at"] - second["created_at"] == 3600
    first_page = (await desk.ask("GET", "/v1/files?limit=1&order=asc&purpose=batch")).json
    assert (first_page["data"], first_page["has_more"]) == ([file], True)
    rest = (await desk.ask("GET", f"/v1/files?limit=1&order=asc&after={file['id']}")).json
    assert (rest["data"], rest["has_more"], rest["first_id"]) == ([second], False, second["id"])
    gone = await desk.ask("DELETE", f"/v1/files/{file['id']}")
    assert gone.json == {"id": file["id"], "object": "file", "deleted": True}
    assert (await desk.ask("GET", f"/v1/files/{file['id']}")).status == 404
    desk.clock_s += 3601
    assert (await desk.ask("GET", f"/v1/files/{second['id']}/content")).status == 404
    await desk.running.rows.files.prune(desk.wall())
    assert (await desk.ask("GET", "/v1/files")).json["data"] == []


async def test_a_large_file_comes_back_as_it_was(desk: Desk) -> None:
    text = jsonl(line(n, "x" * 50_000) for n in range(100))
    file = (await desk.upload(text)).json
    assert (await desk.ask("GET", f"/v1/files/{file['id']}/content")).body == text


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"purpose": "fine-tune"}, "purpose"), ({"expires_after[anchor]": "created_at"}, "expires_after")],
)
async def test_uploads_that_are_refused(desk: Desk, fields: dict[str, str], param: str) -> None:
    reply = await desk.upload(b"{}\n", **fields)
    assert reply.status == 400 and reply.error["param"] == param


async def test_forms_that_are_refused(desk: Desk) -> None:
    head, body = form(b"{}\n", purpose="batch")
    for wrong_head, wrong in ((head, body[:-10]), (b"content-type: text/plain\r\n", body)):
        reply = await desk.ask("POST", "/v1/files", wrong, head=wrong_head)
        assert (reply.status, reply.error["code"]) == (400, "invalid_multipart"), wrong
    without = await desk.ask("POST", "/v1/files", body.replace(b'"file"', b'"flie"'), head=head)
    assert without.error["param"] == "file"
    desk.running.settings = replace(desk.running.settings, most_bytes=10)
    assert (await desk.upload(b"{}\n" * 10)).error["code"] == "files_full"


async def test_what_is_wrong_with_the_input_is_told_by_line(desk: Desk, engine: FakeEngine) -> None:
    lines = [
        line(1), line(1), line(2) | {"method": "GET"}, {"custom_id": "x"}, line(3) | {"url": "/v1/embeddings"},
        line(4, model="no-such-model"), line(5) | {"body": []},
    ]  # fmt: skip
    file = (await desk.upload(jsonl(lines) + b"not json\n\n")).json
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = await desk.ended((await desk.ask("POST", "/v1/batches", asked)).json["id"])
    assert batch["status"] == "failed" and batch["failed_at"] and batch["output_file_id"] is None
    assert [(each["line"], each["code"], each["param"]) for each in batch["errors"]["data"]] == [
        (2, "duplicate_custom_id", "custom_id"), (3, "invalid_value", "method"),
        (4, "missing_required_parameter", "method"), (5, "url_mismatch", "url"),
        (6, "model_not_found", "body.model"), (7, "invalid_value", "body"), (8, "invalid_json_line", None),
    ]  # fmt: skip
    assert engine.calls == []


async def test_limits_of_a_batch(desk: Desk) -> None:
    empty = await desk.ended(await desk.begin([]))
    assert empty["errors"]["data"][0]["code"] == "empty_file"
    desk.running.settings = replace(desk.running.settings, most_lines=2)
    many = await desk.ended(await desk.begin([line(n) for n in range(3)]))
    assert [each["code"] for each in many["errors"]["data"]] == ["too_many_tasks"]
    file = (await desk.upload(jsonl([line(1)]))).json["id"]
    good = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    for change, param in (
        ({"endpoint": "/v1/nothing"}, "endpoint"), ({"endpoint": "/v1/decisions"}, "endpoint"),
        ({"endpoint": "/v1/messages/count_tokens"}, "endpoint"), ({"endpoint": "/api/chat"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "15d"}, "completion_window"), ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"n": 1}}, "metadata"),
    ):  # fmt: skip
        reply = await desk.ask("POST", "/v1/batches", good | change)
        assert reply.status in (400, 404) and reply.error["param"] == param, change
    desk.running.settings = replace(desk.running.settings, most=0)
    assert (await desk.ask("POST", "/v1/batches", good)).error["code"] == "too_many_batches"


async def test_a_line_that_is_refused_stands_in_the_error_file(desk: Desk) -> None:
    bad = line(2) | {"body": {"model": "fast", "messages": []}}
    batch = await desk.ended(await desk.begin([line(1), bad, line(3, stream=True), line(4)]))
    assert batch["status"] == "completed" and batch["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    assert [each["custom_id"] for each in await desk.content(batch["output_file_id"])] == ["ask-1", "ask-4"]
    refused, streamed = await desk.content(batch["error_file_id"])
    assert refused["custom_id"] == "ask-2" and refused["error"] is None
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["type"] == "invalid_request_error"
    assert streamed["response"]["body"]["error"]["param"] == "stream"


async def test_a_line_that_is_nested_too_deep_is_refused_alone(desk: Desk) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    batch = await desk.ended(await desk.begin([line(1), line(2, metadata=deep)]))
    assert batch["status"] == "completed" and batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    [refused] = await desk.content(batch["error_file_id"])
    assert refused["response"]["body"]["error"]["code"] == "nested_too_deep"


async def test_a_line_at_which_the_gateway_fails_is_not_asked_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are answered all the same."""
    complete, asked = desk.gateway.pipeline.complete, 0

    async def stumbles(call: Call) -> Any:
        nonlocal asked
        if call.body["messages"][0]["content"] == "line 1":
            asked += 1
            raise ZeroDivisionError
        return await complete(call)

    monkeypatch.setattr(desk.gateway.pipeline, "complete", stumbles)
    monkeypatch.setattr("ringfence.gateway.batches.pauses.FIRST_S", 0.05)
    batch = await desk.ended(await desk.begin([line(1), line(2)]))
    assert batch["status"] == "completed" and batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    [refused] = await desk.content(batch["error_file_id"])
    assert (refused["custom_id"], refused["response"]["status_code"], asked) == ("ask-1", 500, 3)


async def test_a_line_waits_while_nothing_can_serve_it(desk: Desk, engine: FakeEngine) -> None:
    port = engine.port
    await engine.stop()
    batch_id = await desk.begin([line(n) for n in range(3)], window="1h")
    await until(lambda: desk.running._pauses.holds("key_1", "fast", desk.running._now()), 25)
    assert (await desk.look(batch_id))["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    await engine.start(port)
    desk.running.look_anew()
    batch = await desk.ended(batch_id)
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_what_is_left_at_the_end_of_the_window_has_expired(desk: Desk, engine: FakeEngine) -> None:
    engine.once(Behaviour(), Behaviour())
    engine.always = Behaviour(Fault.HANG)
    desk.running.settings = replace(desk.running.settings, at_once=1)
    batch_id = await desk.begin([line(n) for n in range(5)], window="1h")
    await until(lambda: len(engine.calls) == 3)
    desk.clock_s += 3600
    batch = await desk.ended(batch_id)
    assert batch["status"] == "expired" and batch["expired_at"] and batch["completed_at"] is None
    assert batch["request_counts"] == {"total": 5, "completed": 2, "failed": 3}
    assert [each["custom_id"] for each in await desk.content(batch["output_file_id"])] == ["ask-0", "ask-1"]
    left = await desk.content(batch["error_file_id"])
    assert [each["custom_id"] for each in left] == ["ask-2", "ask-3", "ask-4"]
    assert {each["error"]["code"] for each in left} == {"batch_expired"} and left[0]["response"] is None
    await until(lambda: engine.calls[-1].client_left_s is not None)


async def test_cancelled_midway(desk: Desk, engine: FakeEngine) -> None:
    engine.once(Behaviour(), Behaviour())
    engine.always = Behaviour(Fault.HANG)
    desk.running.settings = replace(desk.running.settings, at_once=1)
    batch_id = await desk.begin([line(n) for n in range(5)])
    await until(lambda: len(engine.calls) == 3)
    told = await desk.ask("POST", f"/v1/batches/{batch_id}/cancel")
    assert told.json["status"] in ("cancelling", "cancelled") and told.json["cancelling_at"]
    batch = await desk.ended(batch_id)
    assert batch["status"] == "cancelled" and batch["cancelled_at"] and batch["cancelling_at"]
    assert [each["custom_id"] for each in await desk.content(batch["output_file_id"])] == ["ask-0", "ask-1"]
    left = await desk.content(batch["error_file_id"])
    assert [each["error"]["code"] for each in left] == ["batch_cancelled"] * 3
    again = await desk.ask("POST", f"/v1/batches/{batch_id}/cancel")
    assert again.status == 400 and again.error["code"] == "batch_ended"


async def test_a_key_that_is_revoked_ends_its_batch(desk: Desk, engine: FakeEngine) -> None:
    engine.always = Behaviour(Fault.HANG)
    batch_id = await desk.begin([line(n) for n in range(3)])
    await until(lambda: len(engine.calls) == 3)
    known = desk.gateway.keys.known
    mine = known.pop(b"sk-test")
    await until(lambda: batch_id not in desk.running.live)
    known[b"sk-test"] = mine
    desk.gateway.keys.version += 1
    batch = await desk.look(batch_id)
    assert batch["status"] == "failed" and batch["errors"]["data"][0]["code"] == "key_not_valid"
    assert len(engine.calls) == 3


async def test_files_and_batches_are_their_keys_alone(desk: Desk, engine: FakeEngine) -> None:
    engine.always = Behaviour(Fault.HANG)
    batch_id = await desk.begin([line(1)])
    file_id = (await desk.look(batch_id))["input_file_id"]
    assert (await desk.ask("DELETE", f"/v1/files/{file_id}")).error["code"] == "file_in_use"
    desk.gateway.keys.known[b"sk-other"] = replace(desk.gateway.keys.known[b"sk-test"], id="key_2", name="other")
    for method, path in (
        ("GET", f"/v1/files/{file_id}"), ("GET", f"/v1/files/{file_id}/content"), ("DELETE", f"/v1/files/{file_id}"),
        ("GET", f"/v1/batches/{batch_id}"), ("POST", f"/v1/batches/{batch_id}/cancel"),
    ):  # fmt: skip
        assert (await desk.ask(method, path, secret=b"sk-other")).status == 404
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    assert (await desk.ask("POST", "/v1/batches", asked, secret=b"sk-other")).status == 404
    for path in ("/v1/files", "/v1/batches"):
        assert (await desk.ask("GET", path, secret=b"sk-other")).json["data"] == []
        assert (await desk.ask("GET", path, secret=b"sk-wrong")).status == 401


async def test_batches_are_listed_a_page_at_a_time(desk: Desk) -> None:
    ids = [await desk.begin([line(1)]) for _ in range(3)]
    for each in ids:
        await desk.ended(each)
    page = (await desk.ask("GET", "/v1/batches?limit=2")).json
    assert [row["id"] for row in page["data"]] == [ids[2], ids[1]] and page["has_more"] is True
    rest = (await desk.ask("GET", f"/v1/batches?after={ids[1]}")).json
    assert [row["id"] for row in rest["data"]] == [ids[0]] and rest["has_more"] is False
    assert (await desk.ask("GET", "/v1/batches?limit=101")).status == 400


async def test_a_caller_comes_before_lines(desk: Desk, engine: FakeEngine) -> None:
    engine.always = Behaviour(Fault.HANG)
    batch_id = await desk.begin([line(n) for n in range(3)])
    await until(lambda: len(engine.calls) == 3)
    engine.always = Behaviour()
    reply = await desk.ask("POST", CHAT, {"model": "fast", "messages": [{"role": "user", "content": "me first"}]})
    assert reply.status == 200
    await until(lambda: all(call.client_left_s is not None for call in engine.calls[:3]))
    assert engine.calls[3].body["messages"][0]["content"] == "me first"
    assert (await desk.look(batch_id))["request_counts"]["failed"] == 0
    assert (await desk.ended(batch_id))["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_late_lines_keep_still_for_nobody(desk: Desk, engine: FakeEngine) -> None:
    engine.always = Behaviour(Fault.HANG)
    await desk.begin([line(n) for n in range(3)], window="1h")
    await until(lambda: len(engine.calls) == 3)
    desk.clock_s += 1801
    engine.once(Behaviour())
    reply = await desk.ask("POST", CHAT, {"model": "fast", "messages": [{"role": "user", "content": "me too"}]})
    assert reply.status == 200
    assert [call.client_left_s for call in engine.calls[:3]] == [None] * 3


async def test_lines_begin_in_their_hours_alone(desk: Desk, engine: FakeEngine) -> None:
    now = desk.wall()
    minute = int(now // 60 % 1440)
    later, end = (f"{(minute + n) % 1440 // 60:02}:{(minute + n) % 1440 % 60:02}" for n in (60, 120))
    desk.running.settings = replace(desk.running.settings, hours=daily(f"{later}-{end} UTC"))
    batch_id = await desk.begin([line(1)])
    await until(lambda: desk.running.live[batch_id].batch.total)
    await asyncio.sleep(0.2)
    assert engine.calls == [] and (await desk.look(batch_id))["status"] == "in_progress"
    desk.clock_s += 3600
    assert (await desk.ended(batch_id))["status"] == "completed"


async def test_it_goes_on_after_a_restart(engine: FakeEngine, tmp_path: Path) -> None:
    engine.once(*[Behaviour()] * 4)
    engine.always = Behaviour(Fault.HANG)
    async with Gateway(engine.endpoint) as gateway, batched(gateway, tmp_path) as desk:
        batch_id = await desk.begin([line(n) for n in range(LINES)])
        await until(lambda: len(engine.calls) == 8)
        await until(lambda: len(desk.running.live[batch_id].answered) == 4)
    engine.always = Behaviour()
    async with Gateway(engine.endpoint) as gateway, batched(gateway, tmp_path) as desk:
        batch = await desk.ended(batch_id)
        assert batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
        output = await desk.content(batch["output_file_id"])
        assert [each["custom_id"] for each in output] == [f"ask-{n}" for n in range(LINES)]
    assert len(engine.calls) == LINES + 4


async def test_text_goes_no_further_than_when_the_batch_was_made(engine: FakeEngine, tmp_path: Path) -> None:
    """The profile is widened afterwards, and the only target that is there lies further away."""
    near = made_target("near", boundary=Boundary.MESH, slots=1)
    narrow = Profile("default", Boundary.HOST)
    async with (
        Gateway(engine.endpoint, targets=(near,), profile=narrow) as gateway, batched(gateway, tmp_path) as desk,
    ):  # fmt: skip
        desk.running.settings = replace(desk.running.settings, hours=daily("00:00-00:01 UTC"))
        batch_id = await desk.begin([line(1)], window="2d")
        await until(lambda: desk.running.live[batch_id].batch.total)
        gateway.pipeline.settings.house.profiles["default"] = Profile("default", Boundary.CLOUD)
        desk.running.settings = replace(desk.running.settings, hours=None)
        batch = await desk.ended(batch_id)
        assert batch["request_counts"]["failed"] == 1
        [refused] = await desk.content(batch["error_file_id"])
        assert refused["response"]["status_code"] == 403
    assert engine.calls == []


async def test_a_batch_is_not_begun_before_its_time(desk: Desk, engine: FakeEngine) -> None:
    at_s = desk.wall() + 3600
    late = await desk.ask("POST", "/v1/batches", {
        "input_file_id": (await desk.upload(jsonl([line(1)]))).json["id"], "endpoint": CHAT,
        "completion_window": "1h", "not_before": at_s + 60,
    })  # fmt: skip
    assert (late.status, late.error["param"]) == (400, "not_before")
    batch_id = await desk.begin([line(1)], not_before=at_s)
    other = await desk.begin([line(2)], metadata={"not_before": str(int(at_s))})
    at_once = await desk.ended(await desk.begin([line(3)]))
    assert at_once["status"] == "completed" and "not_before" not in at_once
    assert (await desk.look(batch_id))["not_before"] == int(at_s) and len(engine.calls) == 1
    await desk.running.close()
    desk.running._is_closed = False
    await desk.running.restore()
    desk.clock_s += 3590
    await asyncio.sleep(0.2)
    assert len(engine.calls) == 1
    desk.clock_s += 11
    assert {(await desk.ended(one))["status"] for one in (batch_id, other)} == {"completed"}
    assert len(engine.calls) == 3
