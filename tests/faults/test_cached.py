"""What breaks is never kept: every row of the matrix where answers are kept, asked again when all is well."""

from __future__ import annotations

import pytest
from cells import NOBODY, PATIENT, QUICK, asked, seen
from composed import Gateway, Reply, target
from matrix import ROWS, WELL, Row

from ringfence.core.route import Caching, Profile
from ringfence.testing.fake_engine import Behaviour, FakeEngine

OWN = [row for row in ROWS if not row.place]
KEEPS = Profile("default", caching=Caching())
WAYS = [("chat", False), ("chat", True)]


def became(reply: Reply) -> str:
    return reply.head.get("x-ringfence-cache", "")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=("whole", "stream"))
@pytest.mark.parametrize("row", OWN, ids=[row.fault for row in OWN])
async def test_only_what_is_whole_is_given_again(row: Row, way: tuple[str, bool]) -> None:
    ends = row.stream if way[1] else row.whole
    async with FakeEngine("vllm") as engine:
        engine.always = row.always
        engine.once(*row.once)
        timeouts = QUICK if row.is_slow else PATIENT
        endpoint = NOBODY if row.refuses else engine.endpoint
        async with Gateway(endpoint, targets=(target(),), timeouts=timeouts, profile=KEEPS) as gateway:
            first = await asked(gateway, way)
            assert seen(first, way) == ends.seen
            engine.always, gateway.seats.endpoint = Behaviour(), engine.endpoint
            engine.as_usual()
            gateway.pipeline.health.succeed(target())
            again = await asked(gateway, way)
            assert seen(again, way) == WELL
            assert became(again) == ("hit" if ends.seen == WELL else "miss")
            if ends.seen == WELL:
                assert again.body == first.body
