"""Rankings: what is asked, and what of an engine's answer is told."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.errors import BadRequest, EngineFailed
from ringfence.core.usage import Usage
from ringfence.gateway.dialects.rerank import DIALECT
from ringfence.gateway.shrink import SHAPES
from ringfence.gateway.shrink.fit import METER, fits_surely

ASKED: dict[str, Any] = {"model": "m", "query": "a fox", "documents": ["one", {"text": "two"}, "three"]}


def row(index: Any, score: Any, name: str = "relevance_score") -> dict[str, Any]:
    return {"index": index, name: score}


def told(rows: Any, usage: Any = None, **asked: Any) -> dict[str, Any]:
    answer = {"model": "m", "object": "list", "results": rows, "usage": usage or {"prompt_tokens": 9}}
    DIALECT.finish(ASKED | asked, answer)
    return answer


def test_results_are_sorted_and_cut() -> None:
    rows = [row(0, 0.1), row(1, -3.5), row(2, 0.9)]
    assert [one["index"] for one in told(rows)["results"]] == [2, 0, 1]
    assert told(rows, top_n=1)["results"] == [row(2, 0.9)]
    assert told([row(2, 0.9)], top_n=1)["results"] == [row(2, 0.9)]
    assert len(told(rows, top_n=50)["results"]) == 3
    assert [one["index"] for one in told([row(i, 0.5, "score") for i in (2, 0, 1)])["results"]] == [0, 1, 2]


def test_documents_come_back_when_asked_for() -> None:
    rows = [{**row(0, 0.1), "document": {"text": "of the engine"}}, row(1, 1), row(2, 0.5)]
    assert told(rows, return_documents=True)["results"] == [
        {**row(1, 1), "document": {"text": "two"}}, {**row(2, 0.5), "document": {"text": "three"}},
        {**row(0, 0.1), "document": {"text": "one"}},
    ]  # fmt: skip
    assert all("document" not in one for one in told(rows)["results"])


def test_the_answer_field_by_field() -> None:
    answer = {"id": "rerank-1", "model": "m", "results": [row(i, i) for i in range(3)], "usage": {"total_tokens": 7}}
    DIALECT.finish(ASKED, answer)
    assert list(answer) == ["id", "object", "model", "results", "usage"]
    assert (answer["object"], answer["usage"]) == ("list", {"prompt_tokens": 7, "total_tokens": 7})
    assert Usage.read({"total_tokens": 7}) == Usage(7, 0)
    assert Usage.read({}) is None


@pytest.mark.parametrize(
    "rows",
    [
        None, {}, [], [row(0, 1)], [row(0, 1), row(0, 1), row(1, 1)], [row(3, 1)] * 3, ["x"] * 3,
        [row(0, None), row(1, 1), row(2, 1)], [row(True, 1), row(0, 1), row(2, 1)], [row(-1, 1), row(0, 1), row(1, 1)],
        [row(0, "1"), row(1, 1), row(2, 1)],
    ],
)  # fmt: skip
def test_what_is_no_ranking_fails(rows: Any) -> None:
    with pytest.raises(EngineFailed):
        told(rows)


def test_engines_get_texts_and_nothing_of_ours() -> None:
    body = {**ASKED, "return_documents": True, "top_n": 2, "stream": False}
    assert DIALECT.check(body) is False
    DIALECT.prepare(body)
    assert body == {"model": "m", "query": "a fox", "documents": ["one", "two", "three"], "top_n": 2}
    assert ASKED["documents"][1] == {"text": "two"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"query": ""}, "query"), ({"query": ["a"]}, "query"), ({"query": None}, "query"),
        ({"documents": []}, "documents"), ({"documents": "a"}, "documents"), ({"documents": None}, "documents"),
        ({"documents": ["a", 1]}, "documents[1]"), ({"documents": [{"title": "a"}]}, "documents[0].text"),
        ({"documents": [{"text": "a", "image": "b"}]}, "image"), ({"documents": [{"text": "a", "url": "b"}]}, "url"),
        ({"top_n": 0}, "top_n"), ({"top_n": "1"}, "top_n"), ({"top_n": True}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"), ({"stream": True}, "stream"), ({"input": "a"}, "input"),
        ({"messages": []}, "messages"), ({"max_tokens_per_doc": 512}, "max_tokens_per_doc"),
        ({"rank_fields": ["a"]}, "rank_fields"), ({"truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        ({"truncation": True}, "truncation"), ({"api_base": "http://203.0.113.1"}, "api_base"),
        ({"images": ["x"]}, "images"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        DIALECT.check(ASKED | given)
    assert refused.value.param == param


def test_each_document_has_the_window_for_itself() -> None:
    body = {"query": "q" * 100, "documents": ["d" * 500, {"text": "e" * 900}, "f"]}
    shape = SHAPES["rerank"]
    bound = shape.bound(body, METER)
    assert bound is not None and 1000 < bound < 1000 + 200
    assert fits_surely(body, shape, bound, None, METER, refuses=True) is not None
    prompts = shape.prompts(body, METER)
    assert [one.param for one in prompts] == ["documents[0]", "documents[1]", "documents[2]"]
    assert all(one.tokens >= 100 + size and not one.shrinks for one, size in zip(prompts, (500, 900, 1), strict=True))
