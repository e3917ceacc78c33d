"""A prompt that an engine has cached for one key tells nothing to another."""

from __future__ import annotations

from typing import Any

import pytest
from composed import CHAT, PATH, Gateway, target

from ringfence.core.identity import Key
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

ASKS: dict[str, dict[str, Any]] = {
    PATH: CHAT,
    "/v1/completions": {"model": "fast", "prompt": "one two"},
    "/v1/embeddings": {"model": "fast", "input": "one two"},
}


async def sent(serve: Any, engine: FakeEngine, key: str, path: str = PATH, **more: Any) -> Any:
    """The salt that the engine was sent, if any."""
    targets = (target(engine=engine.kind),)
    gateway: Gateway = await serve(engine=engine.endpoint, targets=targets, key=Key(key, "tests"))
    gateway.relay.salts.use(b"of this installation")
    reply = await (await gateway.client()).ask(path, ASKS[path] | more)
    assert reply.status == 200
    return engine.calls[-1].body.get("cache_salt")


@pytest.mark.parametrize("path", list(ASKS))
async def test_each_key_has_a_salt_of_its_own_on_a_vllm(serve: Any, path: str) -> None:
    async with FakeEngine("vllm", (FakeModel(embeds=path.endswith("embeddings")),)) as engine:
        first, again, other = [await sent(serve, engine, key, path) for key in ("key_1", "key_1", "key_2")]
    assert isinstance(first, str)
    assert first == again != other


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_takes_the_salt_of_another(serve: Any, engine: FakeEngine, stream: bool) -> None:
    mine = await sent(serve, engine, "key_1")
    assert await sent(serve, engine, "key_2", cache_salt=mine, stream=stream) not in (mine, None)
    assert await sent(serve, engine, "key_1", cache_salt="", stream=stream) == mine


@pytest.mark.parametrize("path", list(ASKS))
async def test_nothing_in_a_body_stands_in_its_place(serve: Any, path: str) -> None:
    async with FakeEngine("vllm", (FakeModel(embeds=path.endswith("embeddings")),)) as engine:
        mine = await sent(serve, engine, "key_1", path)
        for more in ({"cache_salt": "mine"}, {"cache_salt": None}, {"cache_salt": {"of": "all"}}):
            assert await sent(serve, engine, "key_1", path, **more) == mine


@pytest.mark.parametrize("kind", ["llamacpp", "ollama"])
async def test_engines_without_one_are_sent_none(serve: Any, kind: str) -> None:
    async with FakeEngine(kind) as engine:
        assert await sent(serve, engine, "key_1") is None
