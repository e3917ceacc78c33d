"""The targets of one call, and how patiently it tries them: another at once, the same one after a pause."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from zlib import crc32

from ringfence.core.catalog import Target
from ringfence.core.route import Chain, Decision, Overlong
from ringfence.gateway.admission import Admission
from ringfence.gateway.call import Call
from ringfence.gateway.money import Purse
from ringfence.gateway.ports import Placing
from ringfence.routing.balance import balanced, prefix
from ringfence.routing.chain import roomiest_first
from ringfence.routing.health import Health

ROUTE = Overlong.ROUTE
BYTES_A_TOKEN = 4
"""About; with the output asked for, that is how many tokens a call can use."""
PAUSE_S = 0.05
"""Before the second try at a target; twice as long before the third, and so on."""
MOST_PAUSE_S = 2.0


def chain_of(call: Call, decision: Decision, admission: Admission, placement: Placing, money: Purse) -> Chain:
    """The targets in order: those first whose windows have room for the call, where the profile says so, and of one
    model those first that suit it. From the soft limit of a budget on, what has to be paid for comes last."""
    chain = decision.chain
    if len(chain.targets) == 1:
        return chain
    if decision.overlong is ROUTE:
        chain = roomiest_first(chain, call.body_bytes // BYTES_A_TOKEN + (call.output or 0))

    def load(target: Target) -> float:
        lane = admission.lanes.get(target.name)
        return (lane.running + len(lane.waiting)) / target.slots if lane is not None else 0.0

    targets = chain.targets
    ordered = balanced(targets, partial(prefix, call.body, call.key.id), load, placement.is_here)
    if not money.is_unused and any(target.provider for target in targets):
        ordered = sorted(ordered, key=partial(money.is_soft, call.key, call.agent, decision.profile))
    return chain if ordered is targets else replace(chain, targets=tuple(ordered))


async def once_more(call: Call, target: Target, health: Health) -> bool:
    """Whether a call that failed somewhere tries this target next; it pauses where it has been there before."""
    if not call.failed_at:
        return True
    if health.now() >= call.retry_until_s:
        return False
    times = call.failed_at.count(target.name)
    if times == 0:
        return True
    if health.is_closed_off(target):
        return False
    await asyncio.sleep(pause_s(call.id, times))
    return health.now() < call.retry_until_s


def pause_s(call_id: str, times: int) -> float:
    """Not the same for all calls that failed together; for one call always the same."""
    jitter = 0.5 + crc32(call_id.encode()) / 0xFFFFFFFF
    return min(MOST_PAUSE_S, PAUSE_S * 2 ** (times - 1)) * jitter
