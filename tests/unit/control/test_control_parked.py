"""Parked requests over the control API: who may look, one of them, and its end."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView

TICKET, DONE = (f"parked-{number:020x}" for number in (4, 6))
URL = "/control/v1/parked"
ROW = {
    "id", "model", "profile", "key", "class", "ticketed", "state", "age_s", "position", "deadline_s", "estimate_s",
}  # fmt: skip


def test_the_list_has_every_row_and_how_many_there_may_be(admin: TestClient, view: FakeView) -> None:
    found = admin.get(URL).json()
    assert set(found) == {"parked", "most", "sealed"}
    assert (found["most"], found["sealed"]) == (1000, "ok")
    assert [set(row) for row in found["parked"]] == [ROW] * 7
    assert [row["position"] for row in found["parked"]] == [None, 1, 2, 3, 4, None, None]
    assert view.sample["parking"]["waiting"] == 4


def test_one_is_its_row(admin: TestClient) -> None:
    row = admin.get(f"{URL}/{TICKET}").json()
    assert (row["id"], row["key"], row["ticketed"], row["class"]) == (TICKET, "research-agent", True, "agent")


def test_cancelling_ends_what_has_not_ended(admin: TestClient, view: FakeView) -> None:
    assert admin.delete(f"{URL}/{TICKET}").json()["state"] == "cancelled"
    assert admin.delete(f"{URL}/{DONE}").json()["state"] == "done"
    assert [row["state"] for row in view.parking.rows()].count("cancelled") == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_id_is_not_found(admin: TestClient, method: str) -> None:
    answer = admin.request(method, f"{URL}/nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_browser_cancels_only_with_the_header(browser: TestClient, view: FakeView) -> None:
    assert browser.get(URL).status_code == 200
    refused = browser.delete(f"{URL}/{TICKET}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "console_header_missing")
    assert view.parking.row(TICKET)["state"] == "waiting"  # type: ignore[index]
    assert browser.delete(f"{URL}/{TICKET}", headers={"x-ringfence-console": "1"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", f"/{TICKET}"), ("DELETE", f"/{TICKET}")])
def test_nobody_else_gets_in(client: TestClient, view: FakeView, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer sk-rf-chat-for-tests"}):
        assert client.request(method, f"{URL}{path}", headers=headers).status_code == 401
    assert view.parking.row(TICKET)["state"] == "waiting"  # type: ignore[index]
