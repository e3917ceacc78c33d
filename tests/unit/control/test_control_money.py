"""Money over the control API: who may look, and how many days."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from ringfence.store.failure import StoreFailed
from ringfence.testing.fake_view import FakeView


def test_caps_and_days(admin: TestClient) -> None:
    found = admin.get("/control/v1/money").json()
    assert {one["scope"] for one in found["standings"]} == {"house", "provider", "profile", "key"}
    assert sum(one["usd_micros"] for one in found["holds"]) == 420_000
    assert len(admin.get("/control/v1/spend").json()["days"]) == 30
    assert len(admin.get("/control/v1/spend?days=7").json()["days"]) == 7


@pytest.mark.parametrize("days", ["0", "367", "x", "-1"])
def test_days_that_are_none_are_refused(admin: TestClient, days: str) -> None:
    assert admin.get(f"/control/v1/spend?days={days}").status_code == 400


def test_a_database_that_is_away_is_named(admin: TestClient, view: FakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keys() -> list[dict[str, Any]]:
        raise StoreFailed("postgresql://db.lan/ringfence", "cannot be reached", "wait until it is back")

    monkeypatch.setattr(view, "keys", keys)
    told = admin.get("/control/v1/keys")
    assert (told.status_code, told.headers["retry-after"]) == (503, "2")
    error = told.json()["error"]
    assert error["code"] == "ledger_unavailable"
    assert error["message"] == "postgresql://db.lan/ringfence cannot be reached; wait until it is back."


@pytest.mark.parametrize("path", ["money", "spend"])
def test_nobody_else_gets_in(client: TestClient, path: str) -> None:
    assert client.get(f"/control/v1/{path}").status_code == 401
