"""Money over the control API: who may look, and how many days."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient


def test_caps_and_days(admin: TestClient) -> None:
    found = admin.get("/control/v1/money").json()
    assert {one["scope"] for one in found["standings"]} == {"house", "provider", "profile", "key"}
    assert sum(one["usd_micros"] for one in found["holds"]) == 420_000
    assert len(admin.get("/control/v1/spend").json()["days"]) == 30
    assert len(admin.get("/control/v1/spend?days=7").json()["days"]) == 7


@pytest.mark.parametrize("days", ["0", "367", "x", "-1"])
def test_days_that_are_none_are_refused(admin: TestClient, days: str) -> None:
    assert admin.get(f"/control/v1/spend?days={days}").status_code == 400


@pytest.mark.parametrize("path", ["money", "spend"])
def test_nobody_else_gets_in(client: TestClient, path: str) -> None:
    assert client.get(f"/control/v1/{path}").status_code == 401
