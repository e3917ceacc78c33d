"""Batches, put together for one gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ringfence.config.hours import daily
from ringfence.config.schema import Config
from ringfence.egress.client import egress_endpoint
from ringfence.gateway.batches.outside import Outside
from ringfence.gateway.batches.rented import Rented
from ringfence.gateway.batches.rented_ends import Ends
from ringfence.gateway.batches.running import Running
from ringfence.gateway.batches.settings import BatchSettings
from ringfence.gateway.call import Call
from ringfence.gateway.line_money import LineMoney
from ringfence.runtime.instances import egress_socket
from ringfence.runtime.money import never_left, whoever
from ringfence.runtime.prices import prices_then
from ringfence.store import keys as keystore
from ringfence.store.batches import BatchRows
from ringfence.store.files import FileRows
from ringfence.store.provider_batches import ProviderBatchRows

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime


def running_batches(runtime: Runtime) -> Running:
    """Nothing runs before `restore`."""
    rows = BatchRows(runtime.db, FileRows(runtime.db, runtime.folder))
    running = Running(runtime.pipeline, rows, runtime.front.routes, runtime.key_by_id)
    parking = runtime.parking

    def is_waiting(call: Call) -> bool:
        return any(kept.call is call and kept.target is None for kept in parking.kept.values())

    running.is_waiting = is_waiting
    pipeline, relay = runtime.pipeline, runtime.pipeline.relay
    money = LineMoney(pipeline.money, runtime.ledger.flush)
    outside = Outside(runtime.pool, egress_endpoint(egress_socket(runtime.folder)), lambda: relay.timeouts)
    ends = Ends(pipeline, rows, money, outside, runtime.front.routes, runtime.key_by_id)
    left = partial(never_left, runtime.folder / "journal")
    running.rented = Rented(pipeline, ProviderBatchRows(runtime.db), money, outside, ends, left)
    return running


async def restore_money(runtime: Runtime) -> None:
    """What dead processes have spent and held counts; what is under way at providers is held as it was."""
    rented = runtime.batches.rented
    assert rented is not None
    open_ = await rented.read()
    purse = runtime.pipeline.money
    key_of = whoever(await runtime.db.run(keystore.all_keys))
    await purse.restore(partial(never_left, runtime.folder / "journal"), key_of, open_)
    await rented.restore(key_of, await prices_then(runtime.db, purse.rules.prices))


def batch_settings(config: Config) -> BatchSettings:
    """As the configuration says."""
    told = config.batches
    hours = daily(told.hours) if told.hours is not None else None
    return BatchSettings(
        hours, told.at_once, told.quiet_s, told.most, told.most_lines, told.most_bytes, float(told.keep_s)
    )
