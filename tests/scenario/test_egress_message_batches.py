"""Lines that the egress process sends to a provider of Anthropic's dialect as a batch: the same operations as for
OpenAI's, and the bodies of ordinary calls there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from egress_batches import SUBMISSION, ask, done, rows_of, said
from outgoing import CANARY, KEY, Away, away, provider

from ringfence.core.catalog import Ability
from ringfence.core.money import Price, Rates
from ringfence.core.usage import Usage
from ringfence.egress.journal_chain import verify
from ringfence.providers.anthropic import ADAPTER
from ringfence.testing.fake_cloud import Certificate, Conduct, FakeCloud, Misdeed
from ringfence.testing.fake_cloud_answers import Saying

BODY = {"messages": [{"role": "system", "content": "Be brief."}], "model": "fake-large", "max_tokens": 40}
PRICE = Price(Rates.of(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000), batch_percent=50)


@pytest.fixture
async def cloud(certificate: Certificate) -> AsyncIterator[FakeCloud]:
    async with FakeCloud("anthropic", api_key=KEY, certificate=certificate) as cloud:
        yield cloud


@pytest.fixture
async def outside(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> AsyncIterator[Away]:
    rented = provider(cloud.url, dialect="anthropic", batch=True, calls_per_day=20)
    async with away(tmp_path, rented, provider(cloud.url, "other"), certificate=certificate) as outside:
        yield outside


def a_line(number: int, **changes: Any) -> dict[str, Any]:
    """As the gateway makes it of a chat, with the adapter that makes every call there."""
    turn = {"role": "user", "content": f"{CANARY} {number}"}
    asked = {**BODY, "messages": [*BODY["messages"], turn]} | changes
    body = ADAPTER.request(Ability.CHAT, asked, "https://api.anthropic.com", 100)
    return {"call": f"call-{number}", "hold": f"hold_{number}", "body": body}


def answered(row: dict[str, Any]) -> dict[str, Any]:
    return ADAPTER.answer(row["response"]["body"])


async def test_lines_leave_as_one_batch_and_are_answered_as_calls_are(outside: Away, cloud: FakeCloud) -> None:
    cloud.says = Saying(words=("A", " fox", "."), cached_tokens=1000, written_tokens=200)
    lines = [a_line(1), a_line(2), a_line(3, temperature=0)]
    taken = await ask(outside, "", said(*lines))
    assert (taken.status, taken.refused) == (200, None), taken.body
    batch = json.loads(taken.body)
    assert (batch["id"], batch["status"], batch["input_file_id"]) == ("msgbatch_01", "in_progress", None)
    assert batch["expires_at"] - batch["created_at"] == 86_400
    sent = cloud.message_batches.lines[batch["id"]]
    assert [one["params"] for one in sent] == [one["body"] for one in lines]
    assert sent[0]["params"]["system"] == "Be brief." or sent[0]["params"]["system"][0]["text"] == "Be brief."
    assert {(one.headers["x-api-key"], one.headers["anthropic-version"]) for one in cloud.requests} == {
        (KEY, "2023-06-01")
    }
    assert (await done(outside, "/look", batch=batch["id"]))["output_file_id"] is None
    cloud.message_batches.finish(batch["id"])
    ended = await done(outside, "/look", batch=batch["id"])
    assert (ended["status"], ended["error_file_id"]) == ("completed", None)
    rows = rows_of(await done(outside, "/lines", file=ended["output_file_id"]))
    assert [(row["custom_id"], row["error"]) for row in rows] == [(f"hold_{n}", None) for n in (3, 2, 1)]
    completion = answered(rows[0])
    assert completion["choices"][0]["message"]["content"] == "A fox."
    usage = Usage.read(completion["usage"])
    assert usage is not None and (usage.cached_tokens, usage.cache_write_tokens) == (1000, 200)
    whole = (usage.prompt_tokens - 1200) * 3 + 1000 * 0.3 + 200 * 3.75 + 3 * 15
    assert PRICE.cost(usage, is_batch=True) == -(-round(whole) // 2)
    assert (await done(outside, "/forget", file=ended["output_file_id"]))["forgotten"] == batch["id"]
    assert cloud.message_batches.batches == {} and cloud.message_batches.results == {}
    await outside.until(lambda: len(outside.journalled()) == 6)
    journalled = outside.journalled()
    assert sorted(one.call for one in journalled if one.kind == "sent") == ["call-1", "call-2", "call-3"]
    assert {one.outcome for one in journalled if one.kind == "ended"} == {"answered"}
    assert verify(outside.folder / "journal").is_whole
    await asyncio.to_thread(outside.process.stop)  # it renames files of its journal while it runs
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in (outside.folder / "journal").iterdir())


async def test_lines_that_fail_expire_or_are_cancelled(outside: Away, cloud: FakeCloud) -> None:
    wrong = a_line(1)
    wrong["body"]["temperature"] = 2
    batch = json.loads((await ask(outside, "", said(wrong, a_line(2), a_line(3)))).body)
    cloud.message_batches.finish(batch["id"], most=2)
    ended = await done(outside, "/look", batch=batch["id"])
    assert ended["status"] == "expired"
    by_hold = {row["custom_id"]: row for row in rows_of(await done(outside, "/lines", file=ended["output_file_id"]))}
    failed = by_hold["hold_1"]["response"]
    assert failed["status_code"] == 400
    assert ADAPTER.failure(failed["status_code"], failed["body"]).message == "temperature: range: 0..1"
    assert answered(by_hold["hold_2"])["usage"]["completion_tokens"] == 5
    assert (by_hold["hold_3"]["response"], by_hold["hold_3"]["error"]["code"]) == (None, "batch_expired")
    batch = json.loads((await ask(outside, "", said(a_line(4), a_line(5)))).body)
    assert (await done(outside, "/cancel", batch=batch["id"]))["status"] == "cancelling"
    cloud.message_batches.finish(batch["id"], most=1)
    ended = await done(outside, "/look", batch=batch["id"])
    rows = rows_of(await done(outside, "/lines", file=ended["output_file_id"]))
    assert ended["status"] == "cancelled" and rows[0]["error"]["code"] == "batch_cancelled"
    assert rows[1]["response"]["status_code"] == 200
    taken = await ask(outside, "/cancel", json.dumps({"batch": batch["id"]}).encode())
    assert (taken.status, taken.refused) == (400, None)


WRONG: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("boundary", said(a_line(1)), {"allowed": "MESH"}, "boundary_refused"),
    ("provider", said(a_line(1)), {"provider": "other"}, "no_batches"),
    ("model", said(a_line(1), a_line(2, model="fake-small")), {}, "other_model"),
    ("output", said(a_line(1), a_line(2, max_tokens=51)), {}, "over_permit"),
    ("hold", said(a_line(1), a_line(2) | {"hold": "hold.2"}), {}, "malformed_body"),
    ("long", said(a_line(1) | {"hold": "h" * 52}), {}, "malformed_body"),
    ("stream", said(a_line(1, stream=True)), {}, "malformed_body"),
    ("day", said(*(a_line(n) for n in range(21))), {}, "calls_per_day"),
    ("ability", said(a_line(1)), {"ability": "embeddings"}, "unknown_ability"),
]


async def test_one_of_which_nobody_heard_is_told_by_its_results(outside: Away, cloud: FakeCloud) -> None:
    assert await done(outside, "/find") == {"found": None, "is_leaving": False}
    ours = json.loads((await ask(outside, "", said(a_line(1)), call="pb-1")).body)
    cloud.once(Conduct(Misdeed.DROP))
    assert (await ask(outside, "", said(a_line(2), a_line(3)))).refused == "lost"
    assert await done(outside, "/find") == {"found": None, "is_leaving": True}
    cloud.message_batches.finish(ours["id"])
    assert await done(outside, "/find") == {"found": None, "is_leaving": True}
    cloud.message_batches.finish("msgbatch_02")
    found = await done(outside, "/find")
    assert (found["found"]["id"], found["is_leaving"]) == ("msgbatch_02", False)
    fetched = [one.path for one in cloud.requests if one.path.endswith("/results")]
    assert fetched == ["/v1/messages/batches/msgbatch_02/results"]  # the other one is known
    rows = rows_of(await done(outside, "/lines", file=found["found"]["output_file_id"]))
    assert {row["custom_id"] for row in rows} == {"hold_2", "hold_3"}
    await outside.until(lambda: len(outside.journalled()) == 6)
    assert [one.outcome for one in outside.journalled() if one.kind == "ended"] == ["answered", "lost", "lost"]


async def test_one_that_others_made_is_not_taken_for_ours(outside: Away, cloud: FakeCloud) -> None:
    """A workspace may have batches of which this gateway knows nothing."""
    theirs = {"requests": [{"custom_id": "theirs", "params": a_line(1)["body"]}]}
    told = {"content-type": "application/json"}
    name = cloud.message_batches.served("POST", "/v1/messages/batches", told, json.dumps(theirs).encode())["id"]
    assert await done(outside, "/find") == {"found": None, "is_leaving": True}
    taken = await ask(outside, "/find", b'{"since_s": 1000000000}')
    assert json.loads(taken.body) == {"found": None, "is_leaving": False}
    cloud.once(Conduct(Misdeed.STATUS, status=529))
    assert (await ask(outside, "", said(a_line(2), a_line(3)), call="pb-2")).status == 529
    taken = await ask(outside, "/find", b"{}", call="pb-2")  # it would have two lines
    assert json.loads(taken.body) == {"found": None, "is_leaving": False}
    cloud.message_batches.finish(name)
    assert await done(outside, "/find") == {"found": None, "is_leaving": False}
    assert (await ask(outside, "/find", b'{"since_s": "noon"}')).refused == "malformed_body"


async def test_what_is_refused_here_and_there(outside: Away, cloud: FakeCloud) -> None:
    for what, body, changes, code in WRONG:
        assert (await ask(outside, "", body, **changes)).refused == code, what
    assert cloud.connections == 0 and outside.journalled() == []
    for status in (429, 529):
        cloud.once(Conduct(Misdeed.STATUS, status=status, headers=(("retry-after", "33"),)))
        taken = await ask(outside, "", said(a_line(1)))
        assert (taken.status, taken.refused, taken.header(b"retry-after")) == (status, None, b"33")
        failure = ADAPTER.failure(taken.status, json.loads(taken.body), 33)
        assert (failure.status, failure.retry_after_s) == (429 if status == 429 else 503, 33)
    cloud.once(Conduct(Misdeed.REDIRECT))
    assert (await ask(outside, "", said(a_line(1)))).refused == "redirected"
    taken = await ask(outside, "/lines", b'{"file": "msgbatch_77"}')
    assert (taken.status, taken.refused) == (404, None)
    assert cloud.message_batches.batches == {}


async def test_an_answer_that_never_comes(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> None:
    rented = provider(cloud.url, dialect="anthropic", batch=True)
    async with away(tmp_path, rented, certificate=certificate, timeouts={"answer_s": 1.0}) as outside:
        cloud.once(Conduct(Misdeed.HANG))
        assert (await ask(outside, "", said(a_line(1)))).refused == "first_byte_timeout"
        assert await done(outside, "/find") == {"found": None, "is_leaving": False}
        await outside.until(lambda: len(outside.journalled()) == 2)
        assert [one.outcome for one in outside.journalled()][1] == "first_byte_timeout"
        assert outside.journalled()[0].call == "call-1" != SUBMISSION
