"""POST /v1/rerank in front of each kind of engine that ranks."""

from __future__ import annotations

from typing import Any

import pytest
from composed import Gateway, target

from ringfence.core.catalog import Ability
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

ASKED: dict[str, Any] = {
    "model": "fast", "query": "quick brown fox", "documents": ["a brown bear", {"text": "the quick brown fox"}, "hen"],
}  # fmt: skip
RANKS = frozenset((Ability.RERANK,))


@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "openai_compatible"])
async def test_a_ranking(kind: str) -> None:
    fake = "vllm" if kind == "openai_compatible" else kind
    async with (
        FakeEngine(fake, (FakeModel("fake-model", window=256, ranks=True),)) as engine,
        Gateway(engine.endpoint, targets=(target(engine=kind, abilities=RANKS, window=256),)) as gateway,
    ):
        client = await gateway.client()
        for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
            reply = await client.ask(path, ASKED)
            assert reply.status == 200, reply.body
            told = reply.json
            assert [one["index"] for one in told["results"]] == [1, 0, 2]
            assert told["results"][0]["relevance_score"] == 1.0 and "document" not in told["results"][0]
            assert (told["model"], told["usage"]["prompt_tokens"] > 0) == ("fast", True)
        reply = await client.ask("/v1/rerank", ASKED | {"top_n": 1, "return_documents": True})
        assert reply.json["results"] == [
            {"index": 1, "relevance_score": 1.0, "document": {"text": "the quick brown fox"}}
        ]
        assert engine.requests[-1].body["documents"] == ["a brown bear", "the quick brown fox", "hen"]
        assert {one.kind.dialect for one in gateway.answered} == {"rerank"}
        long = ASKED | {"documents": ["short", "word " * 600]}
        reply = await client.ask("/v1/rerank", long)
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert reply.error["param"].startswith("documents")
        reply = await client.ask(
            "/v1/chat/completions", {"model": "fast", "messages": [{"role": "user", "content": "a"}]}
        )
        assert (reply.status, reply.error["code"]) == (400, "model_not_able")
        engine.once(Behaviour(Fault.BAD_JSON))
        assert (await client.ask("/v1/rerank", ASKED)).status == 200
        client.leave()
