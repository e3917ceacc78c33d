"""What the metrics page reads off the parts when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringfence.core.money import USD_MICROS

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime


MOST_KEYS = 100


def describe(runtime: Runtime) -> None:
    """Once, at the start."""
    gauge, lanes, server = runtime.metrics.gauge, runtime.admission.lanes, runtime.server
    gauge("ringfence_running", "Requests that a target works on.", ("target",),
          lambda: (((name,), float(lane.running)) for name, lane in lanes.items()))  # fmt: skip
    gauge("ringfence_target_state", "0: it serves; 1: one call at a time tries it; 2: it is set aside.", ("target",),
          lambda: _targets(runtime))  # fmt: skip
    gauge("ringfence_waiting", "Requests that wait for a place.", ("target", "class"),
          lambda: (((name, urgency.name.lower()), float(count)) for name, lane in lanes.items()
                   for urgency, count in lane.queue.by_class().items()))  # fmt: skip
    gauge("ringfence_place_seconds", "For how long a place is held, on the whole, while others wait.", ("target",),
          lambda: (((name,), lane.held_s) for name, lane in lanes.items() if lane.held_s is not None))  # fmt: skip
    gauge("ringfence_parked", "Requests that are parked.", (), lambda: [((), float(len(runtime.parking.waiting)))])
    gauge("ringfence_batches", "Batches that have not ended.", (), lambda: [((), float(len(runtime.batches.live)))])
    gauge("ringfence_batch_lines_running", "Lines of batches that are under way.", (),
          lambda: [((), float(runtime.batches.lines_going))])  # fmt: skip
    gauge("ringfence_cache_calls", "Calls of profiles that keep answers: hit, miss or joined.", ("profile", "became"),
          lambda: ((at, float(count)) for at, count in runtime.pipeline.answers.cache.counts.items()))  # fmt: skip
    gauge("ringfence_cache_bytes", "Memory held by kept answers.", ("profile",),
          lambda: (((name,), float(shelf.size_bytes))
                   for name, shelf in runtime.pipeline.answers.cache.shelves.items()))  # fmt: skip
    gauge("ringfence_budget_usd", "Dollars of a capped period: spent, held for calls under way, and the limit.",
          ("scope", "name", "period", "what"), lambda: budgets(runtime))  # fmt: skip
    gauge("ringfence_connections", "Open client connections.", (), lambda: [((), float(len(server.connections)))])
    gauge("ringfence_body_bytes", "Memory held by request bodies.", (), lambda: [((), float(server.body_bytes))])
    gauge("ringfence_instance_ready", "1 when the instance answers.", ("instance", "engine"),
          lambda: (((s.name, s.engine), float(s.state == "ready")) for s in runtime.placement.status()))  # fmt: skip
    gauge("ringfence_device_bytes", "Memory of a device: in all, free, and held by programs of others.",
          ("device", "what"), lambda: _devices(runtime))  # fmt: skip


def budgets(runtime: Runtime) -> Iterator[tuple[tuple[str, str, str, str], float]]:
    """Of caps alone, and of no more keys than a page can bear."""
    keys = {key.id: key for key in runtime.keyring.valid()}
    shown: set[str] = set()
    for one in runtime.pipeline.money.standings(keys):
        kind, name = one.scope
        if one.limit is None:
            continue
        if kind == "key":
            if name not in keys or (name not in shown and len(shown) >= MOST_KEYS):
                continue
            shown.add(name)
            name = f"{keys[name].name} ({name})"  # several may have one name
        for what, micros in (("spent", one.spent), ("held", one.held), ("limit", one.limit)):
            yield (kind, name, one.period.value, what), micros / USD_MICROS


def _targets(runtime: Runtime) -> list[tuple[tuple[str], float]]:
    every = (target for model in runtime.pipeline.settings.catalog.models.values() for target in model.targets)
    return [((target.name,), float(runtime.health.standing(target)[0].value)) for target in dict.fromkeys(every)]


def _devices(runtime: Runtime) -> list[tuple[tuple[str, str], float]]:
    return [
        ((device.id, what), float(size_bytes))
        for device in runtime.placing.memory.pools
        for what, size_bytes in (
            ("total", device.total_bytes), ("free", device.available_bytes), ("others", device.used_by_others_bytes)
        )
    ]  # fmt: skip
