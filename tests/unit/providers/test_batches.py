"""What dialects of batches ask of their provider, and how they read what it says: without a network."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.egress.batch_dialect import Answered, Declined, Errand, Found, Shown, Sought, Steps, Unheard
from ringfence.egress.caps import Cap, Claim, Refused
from ringfence.egress.lines import Limits, OneLine, read_lines
from ringfence.providers import anthropic, openai
from ringfence.providers.anthropic_batches import MessageBatches
from ringfence.providers.openai_batches import FileBatches

T = TypeVar("T")
CLAIM = Claim("pb-1", "hold_1", "key_1", "bold", "rented", "large", Boundary.CLOUD, 100, Ability.CHAT)
LINE = OneLine(CLAIM, b'{"model":"large"}')
MESSAGES = MessageBatches("/v1/messages/batches")
FILES = FileBatches("/v1")
BATCH: dict[str, Any] = {
    "id": "msgbatch_1", "processing_status": "in_progress", "created_at": "2026-09-01T10:00:00.5Z",
    "request_counts": {"processing": 1, "succeeded": 0},
}  # fmt: skip


def carried(steps: Steps[T], *answers: Any) -> tuple[list[Errand], T]:
    """All that was asked, and what came of it. An answer is a body, a status with one, or an outcome."""
    asked = [next(steps)]
    try:
        for answer in answers:
            if isinstance(answer, Unheard):
                asked.append(steps.throw(answer))
                continue
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            asked.append(steps.send(Answered(status, body if isinstance(body, bytes) else orjson.dumps(body))))
    except StopIteration as end:
        return asked, end.value
    raise AssertionError("it asks for more")


def result_of(line: dict[str, Any]) -> dict[str, Any]:
    _, lines = carried(MESSAGES.lines("msgbatch_1"), orjson.dumps(line) + b"\n\n")
    return orjson.loads(lines)


def test_a_batch_of_messages_is_one_request() -> None:
    asked, shown = carried(MESSAGES.submit("pb-1", Ability.CHAT, [LINE]), BATCH)
    assert [(one.method, one.path) for one in asked] == [("POST", "")]
    (sent,) = orjson.loads(asked[0].body)["requests"]
    assert sent["custom_id"].startswith("hold_1-") and sent["params"] == {"model": "large"}
    assert MESSAGES.limits.holds.fullmatch("h" * 51) and len("h" * 51 + sent["custom_id"][6:]) == 64
    assert shown == Shown("msgbatch_1", "in_progress", created_at=1_788_256_800)


@pytest.mark.parametrize(
    ("told", "status", "file"),
    [
        ({"processing_status": "canceling"}, "cancelling", None),
        ({"processing_status": "ended", "results_url": "https://elsewhere.example/x"}, "completed", "msgbatch_1"),
        ({"processing_status": "ended", "results_url": None}, "completed", None),
        ({"processing_status": "ended", "request_counts": {"expired": 1}, "results_url": "x"}, "expired", "msgbatch_1"),
        ({"processing_status": "ended", "cancel_initiated_at": "2026-09-01T10:00:00Z"}, "cancelled", None),
    ],
)
def test_how_far_a_batch_of_messages_is(told: dict[str, Any], status: str, file: str | None) -> None:
    _, shown = carried(MESSAGES.look("msgbatch_1"), BATCH | told)
    assert (shown.status, shown.output_file_id) == (status, file)


@pytest.mark.parametrize("told", [{"processing_status": "paused"}, {"id": None}])
def test_what_is_no_batch_of_messages(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no batch"):
        carried(MESSAGES.look("msgbatch_1"), BATCH | told)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}, 400),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, 529),
        ({"type": "api_error", "message": "x"}, 500),
        ({"type": "error", "error": {"type": "of a later day", "message": "x"}}, 500),
    ],
)
def test_a_line_that_failed_is_as_a_call_that_did(error: dict[str, Any], status: int) -> None:
    row = result_of({"custom_id": "hold_1-0123456789ab", "result": {"type": "errored", "error": error}})
    assert (row["custom_id"], row["response"]["status_code"]) == ("hold_1", status)
    failure = anthropic.ADAPTER.failure(status, row["response"]["body"])
    assert failure.message == "x" if status == 400 else failure.status >= 500


def test_what_is_in_no_known_form_may_have_been_charged() -> None:
    row = result_of({"custom_id": "hold_1-0123456789ab", "result": {"type": "of a later day"}})
    assert row["response"] == {"status_code": 200, "body": {"type": "of a later day"}}
    assert result_of({"custom_id": "theirs"})["custom_id"] == "theirs"
    with pytest.raises(ValueError, match="not a JSON object"):
        carried(MESSAGES.lines("msgbatch_1"), b'{"custom_id"')


def test_one_that_is_sought_is_told_by_what_is_known_of_it() -> None:
    ended = BATCH | {"id": "msgbatch_2", "processing_status": "ended", "results_url": "x"}
    asked, found = carried(MESSAGES.find(Sought("pb-1", known={"msgbatch_1": "pb-1"})), {"data": [BATCH, ended]})
    assert found.shown is not None and found.shown.id == "msgbatch_1" and len(asked) == 1
    asked, found = carried(MESSAGES.find(Sought("pb-1", known={"msgbatch_1": "pb-7"})), {"data": [BATCH]})
    assert found == Found()
    first = {"custom_id": "hold_1-0123456789ab", "result": {"type": "expired"}}
    asked, found = carried(MESSAGES.find(Sought("pb-1")), {"data": [BATCH, ended]}, first)
    assert asked[1].is_first_line and asked[1].path == "/msgbatch_2/results" and found == Found(is_leaving=True)
    for sought, may_be in (
        (Sought("pb-1", 1_788_256_800.0, 1), True),
        (Sought("pb-1", 1_788_256_800.0, 2), False),
        (Sought("pb-1", 1_788_256_800.0 + 4000), False),
        (Sought("pb-1", 1_788_256_800.0 - 8000), False),
    ):
        assert carried(MESSAGES.find(sought), {"data": [BATCH]})[1].is_leaving is may_be, sought


def test_a_file_of_which_no_batch_is_made_is_taken_back() -> None:
    begun = FILES.submit("pb-1", Ability.CHAT, [LINE])
    with pytest.raises(Declined) as declined:
        carried(begun, {"id": "file-1"}, (429, {}), Unheard("connect"))
    assert declined.value.answered.status == 429
    begun = FILES.submit("pb-1", Ability.CHAT, [LINE])
    with pytest.raises(Declined):  # it may have been made: its file is needed
        carried(begun, {"id": "file-1"}, (500, {}))


def test_what_a_provider_takes_is_the_most_of_a_batch() -> None:
    cap, raw = Cap(10, 100), b'{"call":"c","hold":"%b","body":{"model":"large","max_tokens":5}}\n'
    both = raw % b"hold_1" + raw % b"hold_2"
    assert len(read_lines(CLAIM, cap, both, Limits(2, 1000))) == 2
    for limits, code in ((Limits(1, 1000), "malformed_body"), (Limits(2, 500), "too_large")):
        with pytest.raises(Refused) as refused:
            read_lines(CLAIM, cap, both, limits)
        assert refused.value.code == code
    assert (MESSAGES.limits.lines, MESSAGES.limits.bytes) == (100_000, 256_000_000)


@pytest.mark.parametrize(
    ("url", "before"),
    [
        ("https://api.openai.com", "/v1"),
        ("https://api.groq.com", "/openai/v1"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "/compatible-mode/v1"),
        ("https://openrouter.ai", None),
        ("https://generativelanguage.googleapis.com", None),
        ("https://api.mistral.ai/v1", None),
        ("https://api.deepseek.com", None),
    ],
)
def test_no_file_is_sent_where_batches_have_another_form(url: str, before: str | None) -> None:
    batches = openai.ADAPTER.batches(url)
    assert (batches.before if batches is not None else None) == before
