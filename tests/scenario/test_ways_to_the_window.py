"""By whichever field a caller asks for more than the window: what arrives at the engine fits it, under one name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from composed import CHAT, PATH, Gateway, request, target

from ringfence.gateway.window import ALL_OUTPUT_NAMES, NESTED, WITHIN_NESTED, hard_cap
from ringfence.testing.fake_dialects import FakeModel, words_in
from ringfence.testing.fake_engine import FakeEngine

WINDOW = 8192
HUGE = 10**9
WORDS = " ".join(["word"] * 60)
MESSAGES = [{"role": "user", "content": WORDS}]
NAMED: list[dict[str, Any]] = [
    {},
    *({name: HUGE} for name in ALL_OUTPUT_NAMES),
    dict.fromkeys(ALL_OUTPUT_NAMES, HUGE),
    {"max_tokens": HUGE, "max_completion_tokens": None},
    {"max_tokens": None},
    {"num_predict": -1, "n_predict": -2},
    {"max_tokens": HUGE, "n": 5, "best_of": 9},
    {"min_tokens": HUGE, "min_new_tokens": HUGE},
    {"min_tokens": HUGE, "max_tokens": 7},
    {"ignore_eos": True, "n_keep": -1, "n_discard": 100, "context_shift": True, "cache_prompt": False},
    *({name: {"num_predict": HUGE, "max_tokens": HUGE, "num_ctx": HUGE, "min_tokens": HUGE}} for name in NESTED),
    {"options": {"num_predict": -1}, "extra_body": {"max_tokens": HUGE}},
]
TWICE = ['"max_tokens": 5, "max_tokens": 1000000000', '"max_tokens": 1000000000, "max_completion_tokens": 5']
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": "16"}, "max_tokens"),
    ({"max_completion_tokens": 16.0}, "max_completion_tokens"),
    ({"max_tokens": 1e30}, "max_tokens"),
    ({"max_tokens": 10**40}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"n_predict": "all"}, "n_predict"),
    ({"options": {"num_predict": 1.5}}, "options.num_predict"),
    ({"extra_body": {"max_tokens": -5}}, "extra_body.max_tokens"),
    ({"min_tokens": "900"}, "min_tokens"),
    ({"min_tokens": 900.0}, "min_tokens"),
    ({"truncate_prompt_tokens": -1}, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": False}, "truncate_prompt_tokens"),
    ({"pad_prompt_tokens": -1}, "pad_prompt_tokens"),
    ({"truncate": True}, "truncate"),
    ({"truncate": "END"}, "truncate"),
    ({"truncation": "auto"}, "truncation"),
]
ABOUT_INPUT = [wrong for wrong in WRONG if wrong[1].startswith(("trunc", "pad"))]
BENIGN: list[dict[str, Any]] = [
    {"truncate_prompt_tokens": None}, {"truncate": False}, {"truncation": "disabled"}, {"truncate": "NONE"},
]  # fmt: skip


@pytest.fixture(params=["vllm", "llamacpp", "openai_compatible"])
async def small(request: pytest.FixtureRequest, serve: Any) -> Any:
    """A gateway before an engine of each kind with a known window, and that engine."""
    kind = request.param
    async with FakeEngine("vllm" if kind == "openai_compatible" else kind, (FakeModel(window=WINDOW),)) as engine:
        yield await serve(engine=engine.endpoint, targets=(target(engine=kind, window=WINDOW),)), engine


def arrived(engine: FakeEngine) -> dict[str, Any]:
    """The last body that it was asked to answer; fails where that is more than its window."""
    body = engine.calls[-1].body
    output = body["max_tokens"]
    assert type(output) is int
    assert 1 <= output <= hard_cap(WINDOW)
    assert words_in(body) + output <= WINDOW
    assert [name for name in body if name in ALL_OUTPUT_NAMES] == ["max_tokens"]
    assert body.get("min_tokens", 0) <= output >= body.get("min_new_tokens", 0)
    for name in NESTED.intersection(body):
        assert WITHIN_NESTED.isdisjoint(body[name])
    return body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_every_name_for_the_output(small: tuple[Gateway, FakeEngine], stream: bool) -> None:
    gateway, engine = small
    client = await gateway.client()
    for more in NAMED:
        for path, asked in ((PATH, {"messages": MESSAGES}), ("/v1/completions", {"prompt": WORDS})):
            reply = await client.ask(path, {"model": "fast", "stream": stream} | asked | more)
            assert reply.status == 200, (more, reply.body)
            assert reply.head["x-ringfence-window"] in ("fit", "clamped"), more
            arrived(engine)


async def test_what_is_said_twice_in_the_json(small: tuple[Gateway, FakeEngine]) -> None:
    """The last one counts, as everybody reads it; of two names the smaller."""
    gateway, engine = small
    client = await gateway.client()
    for said, most in zip(TWICE, (hard_cap(WINDOW), 5), strict=True):
        data = f'{{"model": "fast", "messages": {json.dumps(MESSAGES)}, {said}}}'.encode()
        await client.send(request(PATH, data))
        assert (await client.answer()).status == 200
        assert arrived(engine)["max_tokens"] <= most
        assert engine.calls[-1].body["max_tokens"] > 4


@pytest.mark.parametrize(("more", "param"), WRONG, ids=[json.dumps(more)[:50] for more, _ in WRONG])
async def test_what_cannot_be_taken_is_refused_by_name(
    small: tuple[Gateway, FakeEngine], more: dict[str, Any], param: str
) -> None:
    gateway, engine = small
    client = await gateway.client()
    for path, asked in ((PATH, {"messages": MESSAGES}), ("/v1/completions", {"prompt": WORDS})):
        reply = await client.ask(path, {"model": "fast"} | asked | more)
        assert (reply.status, reply.error["param"]) == (400, param), reply.body
    assert engine.calls == [], "nothing arrives"


async def test_an_embedding_is_never_cut_by_the_engine(small: tuple[Gateway, FakeEngine]) -> None:
    gateway, engine = small
    client = await gateway.client()
    for more, param in ABOUT_INPUT:
        reply = await client.ask("/v1/embeddings", {"model": "fast", "input": WORDS} | more)
        assert (reply.status, reply.error["param"]) == (400, param), reply.body
    reply = await client.ask("/v1/embeddings", {"model": "fast", "input": ["a", " ".join(["word"] * 9000)]})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "context_length_exceeded", "input[1]")
    assert engine.calls == []


async def test_who_says_that_nothing_is_to_be_cut_is_right(small: tuple[Gateway, FakeEngine]) -> None:
    gateway, engine = small
    client = await gateway.client()
    for more in BENIGN:
        assert (await client.ask(PATH, CHAT | more)).status == 200, more
        arrived(engine)


@pytest.mark.parametrize("words", [400, 3000, 4915, 8191, 8192, 9000, 80_000])
async def test_whatever_its_length(small: tuple[Gateway, FakeEngine], words: int) -> None:
    gateway, engine = small
    client = await gateway.client()
    for more in ({}, {"max_tokens": 9}, {"max_completion_tokens": HUGE}):
        asked = CHAT | {"messages": [{"role": "user", "content": " ".join(["word"] * words)}]} | more
        reply = await client.ask(PATH, asked)
        if reply.status == 200:
            arrived(engine)
        else:
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded"), reply.body
