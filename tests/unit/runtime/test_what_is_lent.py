"""Leases as JSON, waiting for one, and what is on disk of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ringfence.core.device import Device, DeviceKind
from ringfence.core.errors import BadRequest, NotFound
from ringfence.placement.planning import DeviceState, Plan, Waiting
from ringfence.placement.tenants import Tenants
from ringfence.runtime.what_is_lent import KeptLeases, WhatIsLent
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.leases import LeaseRows

GIB = 1 << 30
CARD = Device("GPU-a", DeviceKind.GPU, "card", 24 * GIB, 24 * GIB, 0)
WISH = {"tenant": "t", "device": None, "memory": GIB, "priority": None, "ttl_s": 60.0, "pid": None, "wait_s": 0.0}


def book() -> Tenants:
    return Tenants(lambda: [DeviceState(CARD)], asyncio.get_running_loop().time)


def lent(tenants: Tenants) -> WhatIsLent:
    return WhatIsLent(tenants, asyncio.get_running_loop().time)


async def test_one_is_told_while_it_waits_is_held_and_is_over() -> None:
    tenants = book()
    view = lent(tenants)
    row = await view.ask(WISH)
    assert (row["phase"], row["bytes"], row["used_bytes"], row["priority"]) == ("asked", GIB, 0, 4)
    assert (row["reason"], row["estimate_s"], row["pid"]) == ("", None, None)
    tenants.told(Plan(waiting=(Waiting(row["id"], "room is made", asyncio.get_running_loop().time() + 40),)))
    told = view.all()["leases"][0]
    assert (told["reason"], round(told["estimate_s"])) == ("room is made", 40)
    assert round(told["expires_s"]) == 60
    tenants.granted(row["id"])
    assert view.keep(row["id"])["phase"] == "held"
    assert view.end(row["id"])["phase"] == "held"
    for gone in (view.keep, view.end):
        with pytest.raises(NotFound, match="Ask for another"):
            gone(row["id"])
    assert view.all() == {"leases": []}


async def test_waiting_ends_as_soon_as_it_is_held() -> None:
    tenants = book()
    waits = asyncio.ensure_future(lent(tenants).ask(WISH | {"wait_s": 30.0}))
    await asyncio.sleep(0.01)
    assert not waits.done()
    tenants.granted(tenants.all()[0].id)
    assert (await asyncio.wait_for(waits, 25))["phase"] == "held"


async def test_waiting_ends_when_its_time_is_over_or_the_lease_is() -> None:
    tenants = book()
    assert (await lent(tenants).ask(WISH | {"wait_s": 0.05}))["phase"] == "asked"
    waits = asyncio.ensure_future(lent(tenants).ask(WISH | {"wait_s": 30.0}))
    await asyncio.sleep(0.01)
    tenants.end(tenants.all()[-1].id)
    with pytest.raises(NotFound):
        await asyncio.wait_for(waits, 25)


async def test_a_refusal_reaches_the_caller() -> None:
    with pytest.raises(BadRequest):
        await lent(book()).ask(WISH | {"memory": 25 * GIB})


async def restarted(db: Database) -> tuple[Tenants, KeptLeases]:
    tenants = book()
    kept = KeptLeases(tenants, db)
    await kept.restore()
    return tenants, kept


async def test_what_is_held_is_held_after_a_restart(db: Database) -> None:
    tenants, kept = await restarted(db)
    ids = [tenants.ask("t", None, GIB).id for _ in range(3)]
    tenants.granted(ids[0])
    tenants.granted(ids[1])
    tenants.end(ids[1])
    tenants.recalled(ids[0])
    await kept.close()
    after, _ = await restarted(db)
    assert [(one.id, one.phase) for one in after.all()] == [(ids[0], "recalled")]
    after.end(ids[0])
    await asyncio.sleep(0)
    for task in [task for task in asyncio.all_tasks() if task.get_name() == "write leases"]:
        await task
    assert await LeaseRows(db).all() == []


async def test_what_changes_while_it_is_written_is_written_as_well(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants, kept = await restarted(db)
    replace, go_on = LeaseRows.replace, asyncio.Event()

    async def slowly(self: LeaseRows, rows: Any) -> None:
        await go_on.wait()
        await replace(self, rows)

    monkeypatch.setattr(LeaseRows, "replace", slowly)
    ids = [tenants.ask("t", None, GIB).id for _ in range(2)]
    tenants.granted(ids[0])
    await asyncio.sleep(0)
    tenants.granted(ids[1])
    go_on.set()
    await kept.close()
    assert {one.id for one in await LeaseRows(db).all()} == set(ids)


async def test_what_died_while_we_were_away_is_forgotten_on_disk_as_well(db: Database) -> None:
    tenants, kept = await restarted(db)
    child = await asyncio.create_subprocess_exec("sleep", "30")
    tenants.granted(tenants.ask("t", None, GIB, pid=child.pid).id)
    await kept.close()
    child.kill()
    await child.wait()
    after, again = await restarted(db)
    assert after.all() == []
    await again.close()
    assert await LeaseRows(db).all() == []


async def test_a_disk_that_fails_ends_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tenants, kept = await restarted(db)

    async def fails(_self: object, _kept: Any) -> None:
        raise StoreFailed("ringfence.db", "cannot grow: the disk is full", "free some space")

    with monkeypatch.context() as patched:
        patched.setattr(LeaseRows, "replace", fails)
        tenants.granted(tenants.ask("t", None, GIB).id)
        await kept.close()
    assert "would not outlive a restart" in caplog.text
    tenants.ask("t", None, GIB)  # the next change writes what was not written
    await kept.close()
    assert len(await LeaseRows(db).all()) == 1
