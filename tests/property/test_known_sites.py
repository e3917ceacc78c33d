"""Sites as people have them, for an hour each: everyone is served, and what is to be there always is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from virtual_site import VirtualSite, gpu, site

from ringfence.placement.planning import Model, Phase, Priority, Residency, Slot

ALWAYS, SWAP, LAZY, ON_DEMAND = Residency.ALWAYS, Residency.SWAP, Residency.LAZY, Residency.ON_DEMAND
P0, P1, P2, P3 = Priority


def small_card() -> VirtualSite:
    """24 GB: 8B by default, 32B on request, embeddings on the processor."""
    models = [
        Model("8b", SWAP, P1, (site(("gpu", 9.0)),), load_s=8, slot="large"),
        Model("32b", SWAP, P2, (site(("gpu", 20.0)),), load_s=25, slot="large"),
        Model("embed", ALWAYS, P0, (site(("ram", 1.0)),), load_s=2),
    ]
    return VirtualSite([gpu("gpu", 24), gpu("ram", 32, 2.0)], models, (Slot("large", "8b"),))


def desktop_and_spark() -> VirtualSite:
    """32 GB and 128 GB unified: an 8B always, a 14B swap slot, a 70B, four specialists, a coder on request."""
    specialists = [Model(f"small{n}", ALWAYS, P2, (site(("spark", 4.0)),), load_s=4) for n in range(4)]
    models = [
        Model("8b", ALWAYS, P0, (site(("desktop", 8.0)),), load_s=8),
        Model("14b", SWAP, P1, (site(("desktop", 16.0)),), load_s=15, slot="slot"),
        Model("vision", SWAP, P1, (site(("desktop", 12.0)),), load_s=12, slot="slot"),
        Model("70b", ALWAYS, P1, (site(("spark", 44.0)),), load_s=90),
        Model("coder", LAZY, P2, (site(("spark", 50.0)),), load_s=100),
        *specialists,
    ]
    return VirtualSite([gpu("desktop", 32), gpu("spark", 128, 6.0)], models, (Slot("slot", "14b"),))


def three_nodes() -> VirtualSite:
    """24 GB, 10 GB and an ARM board: what does not fit beside the others goes to the next one."""
    models = [
        Model("chat", ALWAYS, P0, (site(("large", 9.0)),), load_s=8),
        Model("code", LAZY, P2, (site(("large", 12.0)), site(("small", 8.5))), load_s=15),
        Model("draw", ON_DEMAND, P3, (site(("small", 8.0)), site(("large", 8.0))), load_s=12),
        Model("floor", ALWAYS, P1, (site(("arm", 4.0)),), load_s=6),
    ]
    return VirtualSite([gpu("large", 24), gpu("small", 10, 0.5), gpu("arm", 16, 2.0)], models)


@pytest.mark.parametrize("make", [small_card, desktop_and_spark, three_nodes], ids=lambda make: make.__name__)
def test_an_hour(make: Callable[[], VirtualSite]) -> None:
    virtual = make()
    virtual.lying = 0.0
    kept = {model.name for model in virtual.models.values() if model.residency is ALWAYS}
    asked = 0
    while virtual.now_s < 1_000 + 3_600:
        for name in virtual.models:
            if virtual.chance.random() < 0.04:
                virtual.ask(name)
                asked += 1
        virtual.advance(4.0)
        assert virtual.reconcile().refused == ()
        ready = {each.state.model for each in virtual.engines.values() if each.state.phase is Phase.READY}
        assert virtual.now_s < 1_200 or kept <= ready
    assert virtual.counts.served >= asked - 20
    assert virtual.counts.longest_wait_s < 300
    virtual.queues = {name: [] for name in virtual.queues}
    for _ in range(500):
        virtual.advance(4.0)
        virtual.reconcile()
    defaults = {slot.default for slot in virtual.slots}
    assert {each.state.model for each in virtual.engines.values()} == kept | defaults
