"""Whatever is asked for the sake of a request that thinks goes no further than the request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from composed import Gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thinking_inside import BOUNDS, Says, Script, asked, settled, thinks, thought

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.route import House, Profile, Tier

PLACES = st.sampled_from((Boundary.HOST, Boundary.MESH))
CARD = "My card is 4111 1111 1111 1111."
LISTED, FAR_LISTED, UNLISTED = "near_tool", "far_tool", "unknown_tool"
TOOLS = {LISTED: Boundary.HOST, FAR_LISTED: Boundary.CLOUD, UNLISTED: Boundary.HOST}


async def _reached(
    profile: Boundary, small_at: Boundary, deep_at: Boundary, text: str, question: str, tool: str | None, stream: bool
) -> tuple[int, int]:
    """How many calls reached the small model and the one that thinks."""
    profiles = {
        "default": Profile("default", profile, Tier.SPEED_OPTIONAL),
        "near": Profile("near"),
        "far": Profile("far", Boundary.CLOUD, Tier.SPEED_OPTIONAL),
    }
    house = House(profiles, {}, {LISTED: "near", FAR_LISTED: "far"})
    async with Script() as small, Script() as deep:
        small.says(thinks(question), Says("It is so."))
        deep.says(thought("Because."))
        async with Gateway(None) as gateway:
            gateway.pipeline.settings = settled(BOUNDS, profiles["default"], deep_at, house, small_at)
            for name, engine, at in (("small", small, small_at), ("deep", deep, deep_at)):
                gateway.seats.elsewhere[f"seat/{name}"] = Endpoint("127.0.0.1", engine.port, at)
            more: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": tool}}]} if tool else {}
            await asked(gateway, stream=stream, messages=[{"role": "user", "content": text}], **more)
        return len(small.calls), len(deep.calls)


@pytest.mark.parametrize("stream", [False, True])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    profile=st.sampled_from(Boundary), small_at=PLACES, deep_at=PLACES,
    text=st.sampled_from(("Is it so?", CARD)), question=st.sampled_from(("Why is it so?", CARD)),
    tool=st.sampled_from((None, *TOOLS)),
)  # fmt: skip
def test_no_inner_call_goes_further_than_the_request(
    stream: bool, profile: Boundary, small_at: Boundary, deep_at: Boundary, text: str, question: str, tool: str | None
) -> None:
    of_text, of_question = (Boundary.HOST if CARD in said else Boundary.CLOUD for said in (text, question))
    allowed = min(profile, of_text, TOOLS[tool] if tool else Boundary.CLOUD)
    small, deep = asyncio.run(_reached(profile, small_at, deep_at, text, question, tool, stream))
    if small_at > allowed:
        assert (small, deep) == (0, 0)
    elif deep_at > min(allowed, of_question):
        # the result of a thought that there was not is put to the small model, with the question in it
        assert deep == 0 and small == (1 if small_at > min(allowed, of_question) else 2)
    else:
        assert deep == 1 and small == (1 if small_at > min(allowed, of_question) else 2)
