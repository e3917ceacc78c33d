"""Providers whose quota of the day is used up."""

from __future__ import annotations

import pytest

from ringfence.config.hours import daily_moment
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import EngineFailed, Failure, RateLimited
from ringfence.core.route import Chain, Urgency
from ringfence.gateway.quotas import Quotas

DAY_S = 86_400.0
NOON_S = 20_000 * DAY_S + 12 * 3600
RENTED = Target("rented/large", "smart", "openai", "large", Boundary.CLOUD, None, 4, frozenset(), provider="rented")
OTHER = Target("other/large", "wise", "openai", "large", Boundary.CLOUD, None, 4, frozenset(), provider="other")
OWN = Target("vllm/fast", "fast", "vllm", "fast", Boundary.HOST, None, 4, frozenset())
CHAIN = Chain("smart", (RENTED, OTHER, OWN))
UNPAID = EngineFailed("used up", code="provider_unpaid")


@pytest.fixture
def quotas() -> Quotas:
    quotas = Quotas(lambda: NOON_S)
    quotas.resets = {"rented": daily_moment("00:00 UTC")}
    return quotas


@pytest.mark.parametrize("code", ["provider_unpaid", "provider_calls_used_up", "provider_quota_used_up"])
def test_what_nobody_waits_for_leaves_it_alone_until_its_day_begins(quotas: Quotas, code: str) -> None:
    told = quotas.told(RENTED, EngineFailed("used up", code=code))
    assert isinstance(told, RateLimited) and told.code == "provider_quota_used_up"
    assert told.retry_after_s == 12 * 3600
    assert quotas.open_to(Urgency.BACKGROUND, CHAIN).targets == (OTHER, OWN)
    assert quotas.open_to(Urgency.USER, CHAIN) is CHAIN and quotas.open_to(Urgency.AGENT, CHAIN) is CHAIN
    quotas.clock = lambda: NOON_S + 12 * 3600 - 0.1
    assert quotas.rests(RENTED)
    quotas.clock = lambda: NOON_S + 12 * 3600
    assert quotas.open_to(Urgency.BACKGROUND, CHAIN) is CHAIN and not quotas.rests(RENTED)


def test_other_failures_and_other_providers_say_nothing_of_it(quotas: Quotas) -> None:
    failure = Failure("something else", code="provider_rate_limited")
    assert quotas.told(RENTED, failure) is failure
    assert quotas.told(OTHER, UNPAID) is UNPAID and quotas.told(OWN, UNPAID) is UNPAID
    assert quotas.open_to(Urgency.BACKGROUND, CHAIN) is CHAIN


def test_a_provider_whose_day_is_known_no_more_rests_no_more(quotas: Quotas) -> None:
    quotas.told(RENTED, UNPAID)
    quotas.resets = {}
    assert not quotas.rests(RENTED)
