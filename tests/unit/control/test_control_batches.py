"""Batches over the control API: who may look, one of them, and its end."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView

URL = "/control/v1/batches"
RUNNING, DONE = (f"batch_{number:024x}" for number in (3, 1))


def test_the_list_has_every_batch(admin: TestClient) -> None:
    found = admin.get(URL).json()
    assert [row["status"] for row in found["batches"]] == ["in_progress", "failed", "completed"]
    assert found["running"] == 1


def test_cancelling_stops_what_has_not_ended(admin: TestClient) -> None:
    assert admin.get(f"{URL}/{RUNNING}").json()["completed"] == 1200
    assert admin.delete(f"{URL}/{RUNNING}").json()["status"] == "cancelling"
    assert admin.delete(f"{URL}/{DONE}").json()["status"] == "completed"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_id_is_not_found(admin: TestClient, method: str) -> None:
    assert admin.request(method, f"{URL}/nobody").status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", f"/{RUNNING}"), ("DELETE", f"/{RUNNING}")])
def test_nobody_else_gets_in(client: TestClient, view: FakeView, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer sk-rf-chat-for-tests"}):
        assert client.request(method, f"{URL}{path}", headers=headers).status_code == 401
    assert view.batched[0]["status"] == "in_progress"
