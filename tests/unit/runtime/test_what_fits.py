"""What an explanation foresees, by what is known of the target: nobody is asked to count."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.route import Overlong
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat, embeddings
from ringfence.gateway.meters import Meters
from ringfence.gateway.ratio import Ratios
from ringfence.gateway.relay import Relay
from ringfence.runtime.what_fits import WhatFits

LONG = {"messages": [{"role": "user", "content": "some words and " * 800}]}


class Cuts:
    """Of a relay, whether the engine may cut."""

    def __init__(self, may_cut: bool) -> None:
        self.may_cut = may_cut

    def cuts(self, target: Target) -> bool:
        return self.may_cut


async def foreseen(
    body: dict[str, Any], window: int | None, *, may_cut: bool = False, overlong: Overlong = Overlong.SHRINK,
    ratios: Ratios | None = None,
) -> dict[str, Any]:  # fmt: skip
    dialect = embeddings.DIALECT if "input" in body else chat.DIALECT
    call = Call("c", Key("key_1", "tests"), dialect, "m", body, len(str(body)), False, 0.0)
    target = Target("seat/m", "m", "vllm", "m", Boundary.HOST, window=window)
    return await WhatFits(cast(Relay, Cuts(may_cut)), ratios or Ratios(), Meters(lambda: 0.0)).foresee(
        call, target, overlong
    )


async def test_without_a_window_nothing_is_done() -> None:
    told = await foreseen(LONG, None)
    assert (told["state"], told["shares"], told["bound"], told["max_tokens"]) == ("unknown", None, None, None)


async def test_who_may_cut_is_fitted_by_the_bound_and_who_refuses_by_an_estimate() -> None:
    by_bound, by_estimate = [await foreseen(LONG, 8192, may_cut=may_cut) for may_cut in (True, False)]
    assert (by_bound["by"], by_bound["state"]) == ("bound", "compressed")
    assert by_bound["before"] == by_bound["bound"] > 8192 >= by_bound["after"] + by_bound["max_tokens"]
    assert (by_estimate["by"], by_estimate["state"]) == ("estimate", "fit")
    assert by_estimate["estimate"] < by_estimate["bound"] / 2


async def test_an_estimate_learns_from_reports() -> None:
    ratios = Ratios()
    for _ in range(40):
        ratios.learn("seat/m", 10_000, 9_000)
    told = await foreseen(LONG, 8192, ratios=ratios)
    assert (told["by"], told["state"]) == ("estimate", "compressed")
    assert told["estimate"] == told["before"] > 8192


@pytest.mark.parametrize("may_cut", [False, True])
async def test_embeddings_are_whole_or_refused(may_cut: bool) -> None:
    told = await foreseen({"input": "some words and " * 800}, 1024, may_cut=may_cut)
    assert (told["state"], told["dropped"], told["shortened"]) == ("refused", 0, {})
    assert told["error"].startswith("This model's maximum context length is 1024 tokens. However, your input resulted")
    assert (await foreseen({"input": "some words"}, 1024, may_cut=may_cut))["state"] == "fit"


async def test_whoever_refuses_is_told_so() -> None:
    told = await foreseen(LONG, 2048, overlong=Overlong.REFUSE)
    assert (told["state"], told["by"], told["overlong"]) == ("refused", "estimate", "refuse")
    assert told["shares"]["reserve"] == 0
