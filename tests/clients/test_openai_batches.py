"""The openai package over files and batches, with a real llama.cpp behind them."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion

ENDED = ("completed", "failed", "expired", "cancelled")
CHAT = "/v1/chat/completions"
LINES = 6


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


def until(client: openai.OpenAI, batch_id: str, claim: Callable[[Batch], bool]) -> Batch:
    until_s = time.monotonic() + 60
    while not claim(batch := client.batches.retrieve(batch_id)):
        assert time.monotonic() < until_s, batch
        time.sleep(0.1)
    return batch


def chat(number: int, model: str = "tiny", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Hello {number}"}], "max_tokens": 4} | more
    return {"custom_id": f"ask-{number}", "method": "POST", "url": CHAT, "body": body}


def uploaded(client: openai.OpenAI, lines: list[dict[str, Any]], **more: Any) -> FileObject:
    text = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("lines.jsonl", io.BytesIO(text)), purpose="batch", **more)


def test_files(client: openai.OpenAI) -> None:
    file = uploaded(client, [chat(1)], expires_after={"anchor": "created_at", "seconds": 7200})
    assert FileObject.model_validate(file.model_dump(), strict=True) == file
    assert file.purpose == "batch" and file.filename == "lines.jsonl"
    assert file.expires_at is not None and file.expires_at - file.created_at == 7200
    assert client.files.retrieve(file.id) == file
    assert json.loads(client.files.content(file.id).text)["custom_id"] == "ask-1"
    others = [uploaded(client, [chat(n)]) for n in range(2)]
    listed = [each.id for each in client.files.list(limit=1, order="asc", purpose="batch")]  # page by page
    assert listed[-2:] == [each.id for each in others] and file.id in listed
    deleted = client.files.delete(file.id)
    assert deleted.deleted and deleted.id == file.id
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=b"x", purpose="assistants")
    assert caught.value.param == "purpose"


def test_a_batch_is_answered(client: openai.OpenAI) -> None:
    lines = [chat(n) for n in range(LINES)] + [chat(LINES, messages=[])]
    file = uploaded(client, lines)
    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"job": "nightly"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )  # fmt: skip
    assert batch.status in ("validating", "in_progress") and batch.metadata == {"job": "nightly"}
    batch = until(client, batch.id, lambda batch: batch.status in ENDED)
    assert Batch.model_validate(batch.model_dump(), strict=True) == batch
    assert batch.status == "completed" and batch.output_file_id and batch.error_file_id
    counts = batch.request_counts
    assert counts is not None and (counts.total, counts.completed, counts.failed) == (LINES + 1, LINES, 1)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in answers] == [f"ask-{n}" for n in range(LINES)]
    for each in answers:
        answer = ChatCompletion.model_validate(each["response"]["body"])
        assert answer.model == "tiny" and answer.usage is not None and answer.usage.completion_tokens > 0
    [refused] = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert refused["custom_id"] == f"ask-{LINES}" and refused["response"]["status_code"] == 400
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output" and output.expires_at is not None
    assert next(each.id for each in client.batches.list(limit=1)) == batch.id


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"model": "tiny", "prompt": "Once", "max_tokens": 4}, "text_completion"),
        ("/v1/embeddings", {"model": "fakes/embedder", "input": "Once"}, "list"),
    ],
)
def test_other_calls(client: openai.OpenAI, endpoint: Any, body: dict[str, Any], kind: str) -> None:
    file = uploaded(client, [{"custom_id": "one", "method": "POST", "url": endpoint, "body": body}])
    batch = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    batch = until(client, batch.id, lambda batch: batch.status in ENDED)
    assert batch.output_file_id is not None
    [answer] = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert answer["response"]["body"]["object"] == kind


def test_a_batch_with_faults(client: openai.OpenAI) -> None:
    file = uploaded(client, [chat(1), chat(1), chat(2, model="nobody")])
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    batch = until(client, batch.id, lambda batch: batch.status in ENDED)
    assert batch.status == "failed" and batch.errors is not None and batch.errors.data is not None
    assert [(each.line, each.code) for each in batch.errors.data] == [
        (2, "duplicate_custom_id"),
        (3, "model_not_found"),
    ]


def test_a_batch_is_cancelled(client: openai.OpenAI) -> None:
    slow = [chat(n, "tiny", max_tokens=2000, ignore_eos=True) for n in range(40)]
    file = uploaded(client, [chat(100), *slow])
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    until(client, batch.id, lambda batch: batch.request_counts is not None and batch.request_counts.completed > 0)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    batch = until(client, batch.id, lambda batch: batch.status in ENDED)
    counts = batch.request_counts
    assert batch.status == "cancelled" and counts is not None and counts.completed + counts.failed == 41
    assert batch.output_file_id is not None
    first = client.files.content(batch.output_file_id).text.splitlines()[0]
    assert json.loads(first)["custom_id"] == "ask-100"
