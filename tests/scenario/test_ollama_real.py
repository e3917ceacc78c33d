"""Ollama's own API and rankings, through a whole gateway to a real llama.cpp that it runs itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from whole import Reply, ask

CALL = {"type": "function", "function": {"name": "look_up", "parameters": {
    "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"],
}}}  # fmt: skip
HI = [{"role": "user", "content": "Who walks from gate to gate?"}]


class Real:
    def __init__(self, up: Any) -> None:
        self.up = up

    def post(self, path: str, **body: Any) -> Reply:
        return ask(self.up.root_url, "POST", path, body, self.up.api_key, timeout_s=60)

    def get(self, path: str) -> Any:
        return json.loads(ask(self.up.root_url, "GET", path, None, self.up.api_key, timeout_s=10).body)


@pytest.fixture(scope="module")
def real(start_up: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    file = tmp_path_factory.mktemp("ollama") / "ringfence.yaml"
    models = {
        "tiny": {"source": str(tiny_model), "threads": 1},
        "ranker": {"source": str(tiny_model), "threads": 1, "rerank": True, "window": 256},
    }
    file.write_text(json.dumps({"models": models}))
    up = start_up("--config", str(file))
    yield Real(up)
    up.stop()


def test_a_chat_and_a_prompt(real: Real) -> None:
    few = {"num_predict": 6, "temperature": 0, "seed": 1}
    lines = [
        json.loads(one) for one in real.post("/api/chat", model="tiny", messages=HI, options=few).body.splitlines()
    ]
    whole = json.loads(real.post("/api/chat", model="tiny:latest", messages=HI, options=few, stream=False).body)
    assert "".join(one["message"]["content"] for one in lines) == whole["message"]["content"] != ""
    last = lines[-1]
    assert (last["done_reason"], last["eval_count"], whole["eval_count"]) == ("length", 6, 6)
    assert last["prompt_eval_count"] == whole["prompt_eval_count"] > 10
    assert all(0 < told["eval_duration"] <= told["total_duration"] for told in (last, whole))
    told = json.loads(real.post("/api/generate", model="tiny", prompt=HI[0]["content"], options=few, stream=False).body)
    assert told["response"] == whole["message"]["content"]
    raw = json.loads(
        real.post("/api/generate", model="tiny", prompt="The night", raw=True, options=few, stream=False).body
    )
    assert raw["prompt_eval_count"] < 10 and raw["response"] != told["response"]


def test_a_format_and_a_tool(real: Real) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    told = json.loads(real.post(
        "/api/chat", model="tiny", messages=HI, format=schema, stream=False, options={"num_predict": 64},
    ).body)  # fmt: skip
    assert isinstance(json.loads(told["message"]["content"])["n"], int)
    called = {"function": {"name": "look_up", "arguments": {"place": "x"}}}
    conversation = [
        *HI, {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_name": "look_up", "content": "a watch"},
    ]  # fmt: skip
    reply = real.post("/api/chat", model="tiny", messages=conversation, tools=[CALL], stream=False, think=False,
                      options={"num_predict": 4})  # fmt: skip
    assert reply.status == 200, reply.body


def test_embeddings_and_the_lists(real: Real) -> None:
    told = json.loads(real.post("/api/embed", model="tiny", input=["a watch", "a gate"]).body)
    assert [len(row) for row in told["embeddings"]] == [128, 128] and told["prompt_eval_count"] > 0
    assert [row["name"] for row in real.get("/api/tags")["models"]][:2] == ["tiny", "ranker"]
    assert {row["name"] for row in real.get("/api/ps")["models"]} == {"tiny", "ranker"}
    shown = json.loads(real.post("/api/show", model="tiny").body)
    assert shown["details"]["quantization_level"] and shown["capabilities"] == ["completion", "tools", "embedding"]
    assert json.loads(real.post("/api/chat", model="tiny").body)["done_reason"] == "load"


def test_a_ranking(real: Real) -> None:
    documents = ["The night watch", "a question comes in", "zero"]
    body = {"model": "ranker", "query": "Who watches?", "documents": documents}
    told = json.loads(real.post("/v1/rerank", **body, return_documents=True).body)
    scores = [one["relevance_score"] for one in told["results"]]
    assert sorted(scores, reverse=True) == scores and {one["index"] for one in told["results"]} == {0, 1, 2}
    assert all(one["document"]["text"] == documents[one["index"]] for one in told["results"])
    assert told["usage"]["prompt_tokens"] > 6 and told["model"] == "ranker"
    best = json.loads(real.post("/v1/rerank", **body, top_n=1).body)["results"]
    assert [one["index"] for one in best] == [told["results"][0]["index"]]
    reply = real.post("/v1/rerank", **{**body, "documents": ["a", "The night watch walks. " * 200]})
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, "context_length_exceeded")
    assert json.loads(real.post("/v1/rerank", **{**body, "model": "tiny"}).body)["error"]["code"] == "model_not_able"
    listed = {row["id"]: row["abilities"] for row in real.get("/v1/models")["data"]}
    assert (listed["ranker"], listed["tiny"]) == (["rerank"], ["chat", "completions", "embeddings"])
