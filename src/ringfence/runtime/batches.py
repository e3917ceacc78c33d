"""Batches, put together for one gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.config.hours import daily
from ringfence.config.schema import Config
from ringfence.gateway.batches.running import Running
from ringfence.gateway.batches.settings import BatchSettings
from ringfence.gateway.call import Call
from ringfence.store.batches import BatchRows
from ringfence.store.files import FileRows

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
    return running


def batch_settings(config: Config) -> BatchSettings:
    """As the configuration says."""
    told = config.batches
    hours = daily(told.hours) if told.hours is not None else None
    return BatchSettings(
        hours, told.at_once, told.quiet_s, told.most, told.most_lines, told.most_bytes, float(told.keep_s)
    )
