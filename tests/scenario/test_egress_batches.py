"""Lines that the egress process lets out as a batch of a provider: checked one by one, together or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from egress_batches import ask, done, rows_of, said
from outgoing import CANARY, KEY, Away, away, provider

from ringfence.egress.journal_chain import verify
from ringfence.testing.fake_cloud import Certificate, Conduct, FakeCloud, Misdeed


@pytest.fixture
async def outside(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> AsyncIterator[Away]:
    rented = provider(cloud.url, batch=True, calls_per_day=10)
    async with away(tmp_path, rented, provider(cloud.url, "other"), certificate=certificate) as outside:
        yield outside


def a_line(number: int, **changes: Any) -> dict[str, Any]:
    body = {
        "model": "fake-large", "max_tokens": 50,
        "messages": [{"role": "user", "content": f"{CANARY} {number}"}],
    } | changes  # fmt: skip
    return {"call": f"call-{number}", "hold": f"hold_{number}", "body": body}


async def test_lines_leave_together_and_their_answers_are_fetched(outside: Away, cloud: FakeCloud) -> None:
    lines = [a_line(1), a_line(2), a_line(3, model="fake-large", temperature=0)]
    taken = await ask(outside, "", said(*lines))
    assert (taken.status, taken.refused) == (200, None), taken.body
    batch = json.loads(taken.body)
    assert batch["status"] == "in_progress" and "metadata" not in batch
    sent = [json.loads(raw) for raw in cloud.batches.files[batch["input_file_id"]].splitlines()]
    assert [(one["custom_id"], one["url"]) for one in sent] == [
        (f"hold_{n}", "/v1/chat/completions") for n in (1, 2, 3)
    ]
    assert [one["body"] for one in sent] == [one["body"] for one in lines]
    assert {asked.headers["authorization"] for asked in cloud.requests} == {f"Bearer {KEY}"}
    assert (await done(outside, "/look", batch=batch["id"]))["status"] == "in_progress"
    cloud.batches.finish(batch["id"], most=2)
    ended = await done(outside, "/look", batch=batch["id"])
    rows = rows_of(await done(outside, "/lines", file=ended["output_file_id"]))
    assert [row["custom_id"] for row in rows] == ["hold_2", "hold_1"]
    assert rows[0]["response"]["body"]["usage"]["completion_tokens"] > 0
    (missed,) = rows_of(await done(outside, "/lines", file=ended["error_file_id"]))
    assert (missed["custom_id"], missed["error"]["code"]) == ("hold_3", "batch_completed")
    for name in ("input_file_id", "output_file_id", "error_file_id"):
        assert (await done(outside, "/forget", file=ended[name]))["forgotten"] == ended[name]
    assert cloud.batches.files == {}
    await outside.until(lambda: len(outside.journalled()) == 6)
    journalled = outside.journalled()
    assert sorted(one.call for one in journalled if one.kind == "sent") == ["call-1", "call-2", "call-3"]
    assert {one.outcome for one in journalled if one.kind == "ended"} == {"answered"}
    assert verify(outside.folder / "journal").is_whole
    await asyncio.to_thread(outside.process.stop)  # it renames files of its journal while it runs
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in (outside.folder / "journal").iterdir())


WRONG: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("boundary", said(a_line(1)), {"allowed": "MESH"}, "boundary_refused"),
    ("provider", said(a_line(1)), {"provider": "other"}, "no_batches"),
    ("unknown", said(a_line(1)), {"provider": "nobody"}, "unknown_provider"),
    ("model", said(a_line(1), a_line(2, model="fake-small")), {}, "other_model"),
    ("output", said(a_line(1), a_line(2, max_tokens=51)), {}, "over_permit"),
    ("bound", said(a_line(1), a_line(2, max_tokens=None)), {}, "no_limit"),
    ("cap", said(a_line(1)), {"max_tokens": 101}, "over_cap"),
    ("hold", said(a_line(1), a_line(1)), {}, "malformed_body"),
    ("no hold", said(a_line(1) | {"hold": ""}), {}, "malformed_body"),
    ("more", said(a_line(1) | {"url": "/v1/files"}), {}, "malformed_body"),
    ("stream", said(a_line(1, stream=True)), {}, "malformed_body"),
    ("day", said(*(a_line(n) for n in range(11))), {}, "calls_per_day"),
    ("ability", said(a_line(1)), {"ability": "rerank"}, "unknown_ability"),
    ("nothing", b"", {}, "malformed_body"),
    ("permit", said(a_line(1)), {"hold": ""}, "malformed_permit"),
]


async def test_nothing_leaves_where_one_line_may_not(outside: Away, cloud: FakeCloud) -> None:
    for what, body, changes, code in WRONG:
        assert (await ask(outside, "", body, **changes)).refused == code, what
    for name in ("../models", "", "a/b", "x\r\ny"):
        taken = await ask(outside, "/look", json.dumps({"batch": name}).encode())
        assert taken.refused == "malformed_body", name
    assert (await ask(outside, "/look", b'{"batch": "batch_1"}', allowed="HOST")).refused == "boundary_refused"
    assert (await ask(outside, "/burn", b"{}")).refused == "not_found"
    assert cloud.connections == 0 and outside.journalled() == []


async def test_each_line_counts_as_a_call_of_the_day(outside: Away, cloud: FakeCloud) -> None:
    assert (await ask(outside, "", said(*(a_line(n) for n in range(6))))).status == 200
    assert (await ask(outside, "", said(*(a_line(n) for n in range(5))))).refused == "calls_per_day"
    assert (await ask(outside, "", said(*(a_line(n) for n in range(4))))).status == 200
    assert (await ask(outside, "", said(a_line(1)))).refused == "calls_per_day"
    assert len(cloud.batches.batches) == 2


async def test_one_of_which_nobody_heard_is_found_again(outside: Away, cloud: FakeCloud) -> None:
    assert await done(outside, "/find") == {"found": None, "is_leaving": False}
    cloud.once(Conduct(), Conduct(Misdeed.DROP))  # the file comes back, and the batch does not
    assert (await ask(outside, "", said(a_line(1)))).refused == "lost"
    found = (await done(outside, "/find"))["found"]
    assert found["id"] in cloud.batches.batches and found["status"] == "in_progress"
    assert (await done(outside, "/cancel", batch=found["id"]))["status"] == "cancelled"
    again = await ask(outside, "/cancel", json.dumps({"batch": found["id"]}).encode())  # it has ended
    error = json.loads(again.body)["error"]
    assert (again.status, again.refused, error["type"]) == (409, None, "invalid_request_error")
    await outside.until(lambda: len(outside.journalled()) == 2)
    assert outside.journalled()[1].outcome == "lost"


async def test_what_the_provider_refuses_is_told(outside: Away, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.STATUS, status=429, body={"error": {"message": "slow down", "code": "rate_limit"}}))
    taken = await ask(outside, "", said(a_line(1)))
    assert (taken.status, taken.refused) == (429, None) and json.loads(taken.body)["error"]["code"] == "rate_limit"
    cloud.once(Conduct(), Conduct(Misdeed.STATUS, status=429))  # the file comes there, and no batch is made of it
    assert (await ask(outside, "", said(a_line(1)))).status == 429
    assert cloud.batches.files == {}
    cloud.once(Conduct(Misdeed.REDIRECT))
    assert (await ask(outside, "", said(a_line(1)))).refused == "redirected"
    assert (await ask(outside, "/look", b'{"batch": "batch_77"}')).status == 404
    assert cloud.batches.batches == {}
