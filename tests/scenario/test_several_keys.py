"""Several keys of one provider: one that is limited or refused is set aside, and the call goes with another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from outgoing import WORKS, Away, away, provider
from renting import clouds, started_up
from whole import control, reloaded

from ringfence.egress.client import HEALTH_PATH
from ringfence.egress.journal_chain import calls
from ringfence.testing.fake_cloud import Conduct, FakeCloud, Misdeed, make_certificate

FIRST, SECOND = "sk-canary-first-51c07e9b2f", "sk-canary-second-e84d10a63c"


class Either(str):
    """Both keys are good."""

    def __ne__(self, shown: object) -> bool:
        return shown not in (FIRST, SECOND)

    __hash__ = str.__hash__


def limited(**headers: str) -> Conduct:
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Conduct(Misdeed.STATUS, status=429, headers=told)


@pytest.fixture
async def cloud() -> AsyncIterator[FakeCloud]:
    async with FakeCloud("openai", api_key=Either(FIRST)) as cloud:
        yield cloud


@pytest.fixture
async def outside(tmp_path: Path, cloud: FakeCloud) -> AsyncIterator[Away]:
    several = provider(cloud.url, keys=[{"key": FIRST}, {"key": SECOND}])
    del several["key"]
    async with away(tmp_path, several) as outside:
        yield outside


def used(cloud: FakeCloud) -> list[int]:
    """Which keys were shown, by their numbers."""
    return [1 + (FIRST, SECOND).index(one.headers["authorization"].removeprefix("Bearer ")) for one in cloud.calls]


async def set_aside(outside: Away) -> list[dict[str, Any]]:
    told: Any = (await outside.pool.fetch(outside.endpoint, HEALTH_PATH)).body
    return list(told["keys_set_aside"])


async def test_a_limited_key_is_set_aside_and_the_same_call_goes_with_another(outside: Away, cloud: FakeCloud) -> None:
    cloud.once(limited(retry_after="40"))
    assert (await outside.ask()).status == 200
    assert used(cloud) == [1, 2]
    (told,) = await set_aside(outside)
    assert {**told, "until_s": 0} == {"provider": "rented", "of": 2, "number": 1, "reason": "limited", "until_s": 0}
    assert (await outside.ask()).status == (await outside.ask(WORKS | {"stream": True})).status == 200
    assert used(cloud) == [1, 2, 2, 2]

    cloud.once(limited(retry_after="30"))  # now both are: what the cloud says is passed on
    refused = await outside.ask()
    assert (refused.status, refused.refused, refused.header(b"retry-after")) == (429, None, b"30")
    assert [one["number"] for one in await set_aside(outside)] == [1, 2]
    assert (await outside.ask()).status == 200  # the one that comes free first is asked
    assert used(cloud) == [1, 2, 2, 2, 2, 2]
    await outside.until(lambda: [call.ended for call in calls(outside.folder / "journal")].count(None) == 0)
    outcomes = [call.ended.outcome for call in calls(outside.folder / "journal") if call.ended is not None]
    assert outcomes == ["key_limited", *["answered"] * 5]
    log = (outside.folder / "egress.log").read_text()
    assert "key 1 of 'rented' is limited, and set aside for 40 s" in log
    assert FIRST not in log and SECOND not in log


async def test_a_refused_key_is_set_aside_and_what_began_is_never_made_again(outside: Away, cloud: FakeCloud) -> None:
    cloud.api_key = SECOND
    assert (await outside.ask()).status == 200
    assert used(cloud) == [1, 2]
    assert [(one["number"], one["reason"]) for one in await set_aside(outside)] == [(1, "refused")]
    cloud.once(Conduct(Misdeed.DROP), Conduct(Misdeed.STATUS, status=500))
    await outside.ask(WORKS | {"stream": True})
    assert (await outside.ask()).status == 500
    assert used(cloud) == [1, 2, 2, 2]


async def test_a_key_without_money_is_set_aside_for_the_next_call(outside: Away, cloud: FakeCloud) -> None:
    unpaid = {"error": {"type": "billing_error", "message": "pay first"}}
    cloud.once(Conduct(Misdeed.STATUS, status=403, body=unpaid))
    assert (await outside.ask()).status == 403
    assert (await outside.ask()).status == (await outside.ask()).status == 200
    assert used(cloud) == [1, 2, 2]
    assert [(one["number"], one["reason"]) for one in await set_aside(outside)] == [(1, "unpaid")]


CONFIG = """
discovery: {{adopt: false}}
providers:
  rented: {{url: "{cloud}/v1", api_keys: {keys}, calls_per_day: 1000, max_tokens: 100}}
models:
  smart: {{provider: rented, provider_model: fake-large, price: {{input: 3, output: 15}}}}
profiles:
  personal: {{tier: T2, chain: [smart]}}
"""


@pytest.mark.slow
def test_of_a_whole_gateway_the_callers_notice_nothing(tmp_path: Path) -> None:
    """One call is paid once, whatever was tried; and a reload with other keys is put to work."""
    certificate = make_certificate(tmp_path)
    with clouds(certificate, {"rented": "openai"}) as made:
        cloud, file = made["rented"], tmp_path / "ringfence.yaml"
        cloud.api_key = Either(FIRST)
        (tmp_path / "second.key").touch(0o600)
        (tmp_path / "second.key").write_text(SECOND)
        file.write_text(CONFIG.format(cloud=cloud.url, keys=f'["env:RENTED_KEY", "file:{tmp_path}/second.key"]'))
        with started_up(file, made, certificate, RENTED_KEY=FIRST) as house:
            house.make_keys("personal")
            cloud.once(limited(x_ratelimit_reset_requests="1m", x_ratelimit_remaining_requests="0"))
            assert [house.chat("personal", model="smart").status for _ in range(3)] == [200] * 3
            assert used(cloud) == [1, 2, 2, 2]
            money = control(house, "/money")
            assert [(one["provider"], one["number"]) for one in money["keys_set_aside"]] == [("rented", 1)]
            assert money["holds"] == []
            (day,) = control(house, "/spend?days=1")["days"]
            assert (day["calls"], list(day["providers"])) == (3, ["rented"])
            told = json.dumps([control(house, "/status"), money])
            assert FIRST not in told and SECOND not in told
            file.write_text(CONFIG.format(cloud=cloud.url, keys=f'["file:{tmp_path}/second.key"]'))
            assert [one["path"] for one in reloaded(house)["changes"]] == ["providers.rented.api_keys"]
            assert house.chat("personal", model="smart").status == 200
            assert used(cloud)[-1] == 2 and control(house, "/money")["keys_set_aside"] == []
