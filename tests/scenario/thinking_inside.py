"""A gateway with a small model and one that reasons, each an engine that says what its script has."""

from __future__ import annotations

from typing import Any

from composed import Client, Gateway, Reply, target

from ringfence.config.routing import THINKS
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Endpoint, Model
from ringfence.core.identity import Key
from ringfence.core.route import House, Profile
from ringfence.gateway.deciding import Settings
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.routing.ruleset import NamedChain, Ruleset
from ringfence.testing.fake_engine import Behaviour, FakeEngine
from ringfence.testing.fake_turns import USED, Says

HARD: dict[str, Any] = {
    "model": THINKS, "messages": [{"role": "user", "content": "Is it so?"}], "reasoning_effort": "high",
}  # fmt: skip
ANSWER = "It is so."
OF_SMALL = USED
OF_THOUGHT = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


def thinks(question: str, text: str = "") -> Says:
    """It calls our tool."""
    return Says(text, (("think", {"question": question}),))


def thought(text: str) -> Says:
    return Says(text, usage=OF_THOUGHT)


class Script(FakeEngine):
    """Says one thing after the other; the last one again and again."""

    def says(self, *turns: Says) -> None:
        """From now on."""
        self.as_usual()
        self.once(*(Behaviour(twist=turn) for turn in turns))
        self.always = Behaviour(twist=turns[-1])

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [call.body for call in self.calls]


def settled(
    bounds: Bounds, profile: Profile, reasoning_at: Boundary, house: House | None = None,
    small_at: Boundary = Boundary.HOST,
) -> Settings:  # fmt: skip
    """A small model, and one that reasons `reasoning_at`."""
    small = target("seat/small", model="small", boundary=small_at)
    deep = target("seat/deep", model="deep", boundary=reasoning_at)
    catalog = Catalog.of([Model("small", (small,)), Model("deep", (deep,))])
    rules = Ruleset((), {THINKS: NamedChain((bounds.model,))})
    return Settings(catalog, house or House({"default": profile}, {}, {}), rules=rules, thinking=bounds)


BOUNDS = Bounds("small", "deep")


async def thinking(
    serve: Any, small: FakeEngine, deep: FakeEngine, bounds: Bounds = BOUNDS, *, at: Boundary = Boundary.HOST,
    profile: Profile | None = None, key: Key | None = None, house: House | None = None,
) -> Gateway:  # fmt: skip
    """As composed, with both engines behind it."""
    gateway: Gateway = await serve(engine=small.endpoint, **({"key": key} if key is not None else {}))
    gateway.pipeline.settings = settled(bounds, profile or Profile("default"), at, house)
    gateway.seats.elsewhere["seat/deep"] = Endpoint("127.0.0.1", deep.port, at)
    return gateway


async def asked(gateway: Gateway, **changes: Any) -> Reply:
    client: Client = await gateway.client()
    try:
        return await client.ask("/v1/chat/completions", HARD | changes)
    finally:
        client.leave()


def offers(body: dict[str, Any]) -> list[str]:
    """Names of the tools in what an engine was asked."""
    return [tool["function"]["name"] for tool in body.get("tools", ())]
