"""Two requests that differ in one thing, at a whole gateway that keeps answers: the second is given what was kept of
the first only where that thing changes neither the answer nor who may see it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from composed import CHAT, Gateway, target
from gated import ask, became, caching, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model
from ringfence.core.identity import Key
from ringfence.core.route import Caching, Profile, Tier
from ringfence.gateway.deciding import Settings
from ringfence.signals.sensitivity import Sensitivity
from ringfence.signals.sensitivity import Settings as Looking

OWN, SHARED = Caching(), Caching(is_shared=True)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
TURNED = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


def tool(name: str) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}}]}


def said(*texts: str, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for text in texts]}


@dataclass(frozen=True)
class Asked:
    """A request, and whose."""

    secret: bytes = b"sk-test"
    path: str = "/v1/chat/completions"
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    head: bytes = b""


BODIES: list[dict[str, Any]] = [
    {}, {"temperature": 0}, {"temperature": 0.0}, {"temperature": 1}, {"seed": 1}, {"seed": 2}, {"max_tokens": 5},
    {"max_tokens": 6}, {"stop": ["a"]}, {"stop": "a"}, {"n": 1}, {"stream": True}, {"stream": False},
    {"stream": True, "stream_options": {"include_usage": True}}, {"model": "slow"}, {"model": "quick"}, {"top_p": 1},
    {"logit_bias": {"1": 1}}, {"logit_bias": {"2": 1}}, form(SCHEMA), form(TURNED), tool("one"), tool("two"),
    tool("one") | {"tool_choice": "none"}, said("hello there "), said("Hello there"), said("hello there", "there"),
    said("hello there", role="system"), said("hello \u0074here"), said("hello the\u0301re"), {"user": "a"},
    {"metadata": {"a": "b"}}, {"safety_identifier": "x"}, {"prompt_cache_key": "k"}, {"reasoning_effort": "low"},
    {"logprobs": True}, {"parallel_tool_calls": False},
]  # fmt: skip
HEADS = (
    b"", b"x-ringfence-profile: beside\r\n", b"x-ringfence-label: stays\r\n", b"x-ringfence-agent: digger\r\n",
    b"x-ringfence-priority: agent\r\n", b"anthropic-version: 2023-06-01\r\n",
)  # fmt: skip
SECRETS = (b"sk-test", b"sk-fellow", b"sk-beside", b"sk-agent")
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat")
ONE = st.builds(
    Asked, st.sampled_from(SECRETS), st.sampled_from(PATHS), st.sampled_from(BODIES), st.sampled_from(HEADS)
)


def changed(one: Asked, what: str, other: Asked) -> Asked:
    return replace(one, **{what: getattr(other, what)})


PAIRS = st.tuples(ONE, st.sampled_from(("secret", "path", "body", "head")), ONE).map(
    lambda drawn: (drawn[0], changed(*drawn))
)


def bound(asked: Asked) -> tuple[str, str]:
    """The profile and the agent that the key is bound to."""
    return ("beside" if asked.secret == b"sk-beside" else "default", "digger" if asked.secret == b"sk-agent" else "")


def stands(asked: Asked) -> str:
    """The profile under which it is answered: that of a header, else of its agent, else of its key."""
    is_beside = b"beside" in asked.head or b"digger" in asked.head or asked.secret in (b"sk-beside", b"sk-agent")
    return "beside" if is_beside else "default"


def may_see(first: Asked, second: Asked, is_shared: bool) -> bool:
    """Whether the second may be given what was made for the first."""
    if stands(first) != stands(second):
        return False
    return bound(first) == bound(second) if is_shared else first.secret == second.secret


def together(gateway: Gateway, keeps: Caching) -> None:
    """Two models; three profiles, one of which reaches further; what is labelled stays."""
    wide = Profile("default", Boundary.MESH, Tier.SPEED_OPTIONAL, caching=keeps)
    settle(
        gateway,
        wide,
        replace(wide, name="beside"),
        agents={"digger": "beside"},
        sensitivity=Sensitivity(Looking(labels=frozenset({"stays"}))),
    )
    models = [Model("fast", gateway.targets, aliases=("quick",)), Model("slow", (target("seat/slow", model="slow"),))]
    found: Settings = gateway.pipeline.settings
    gateway.pipeline.settings = replace(found, catalog=Catalog.of(models))
    assert gateway.keys is not None
    gateway.keys.known |= {
        b"sk-fellow": Key("key_2", "fellow"), b"sk-beside": Key("key_3", "beside", "beside"),
        b"sk-agent": Key("key_4", "agent", "default", agent="digger"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [OWN, SHARED], ids=("key", "profile"))
def test_a_pair_that_differs_in_one_thing(keeps: Caching) -> None:
    seen = {"hit": 0, "miss": 0}
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        gateway, engine = runner.run(stack.enter_async_context(caching(keeps)))
        together(gateway, keeps)

        async def asked(one: Asked, head: bytes = b"") -> tuple[str, list[dict[str, Any]]]:
            """What became of it, and what an engine was asked."""
            body = CHAT | one.body
            if one.path == "/v1/responses":
                body = {"input": body.pop("messages"), "store": False} | body
            before = len(engine.calls)
            reply = await ask(gateway, body, one.path, secret=one.secret, head=one.head + head)
            told = [{**call.body, "cache_salt": ""} for call in engine.calls[before:]]
            return (became(reply) if reply.status == 200 else "refused"), told

        async def check(first: Asked, second: Asked) -> None:
            gateway.pipeline.answers.clear()
            what, made = await asked(first)
            if what != "miss":
                return  # it asks for something that is refused, or that nobody keeps
            what, again = await asked(second)
            if what == "refused":
                return
            assert (what, len(again)) in (("hit", 0), ("miss", 1)), (first, second)
            seen[what] += 1
            if what == "hit":
                assert may_see(first, second, keeps.is_shared), (first, second)
                anew = (await asked(second, b"cache-control: no-cache\r\n"))[1]
                assert [json.dumps(one) for one in anew] == [json.dumps(one) for one in made], (first, second)

        @settings(max_examples=60, deadline=None, database=None)
        @given(pair=PAIRS)
        def pairs(pair: tuple[Asked, Asked]) -> None:
            runner.run(check(*pair))

        pairs()
        runner.run(stack.aclose())
    assert min(seen.values()) > 5, seen
