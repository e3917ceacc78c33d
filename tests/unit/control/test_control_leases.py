"""Leases over the control API: asked for, kept, ended, and what is refused before anybody looks at it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView

GIB = 1 << 30
URL = "/control/v1/leases"
ROW = {
    "id", "tenant", "device", "bytes", "used_bytes", "priority", "phase", "age_s", "expires_s", "pid", "reason",
    "estimate_s",
}  # fmt: skip
FIRST = f"lease-{1:020x}"


def test_the_list_has_every_lease(admin: TestClient) -> None:
    found = admin.get(URL).json()
    assert set(found) == {"leases"}
    assert [set(row) for row in found["leases"]] == [ROW] * 3


def test_one_is_asked_for_kept_and_ended(admin: TestClient, view: FakeView) -> None:
    body = {"tenant": "finetune", "memory": "16GiB", "device": "gpu0", "priority": 4, "ttl_s": 30, "pid": 7}
    answer = admin.post(URL, json=body)
    assert answer.status_code == 201
    lease = answer.json()
    assert (lease["bytes"], lease["phase"], lease["pid"], lease["device"]) == (16 * GIB, "held", 7, "gpu0")
    assert admin.post(f"{URL}/{lease['id']}/heartbeat").json()["id"] == lease["id"]
    assert admin.delete(f"{URL}/{lease['id']}").json()["id"] == lease["id"]
    for gone in (admin.post(f"{URL}/{lease['id']}/heartbeat"), admin.delete(f"{URL}/{lease['id']}")):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("memory", [1024, "1KiB", "1.024kB"])
def test_memory_is_bytes_or_text(admin: TestClient, memory: Any) -> None:
    assert admin.post(URL, json={"tenant": "t", "memory": memory}).json()["bytes"] == 1024


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"memory": "much"}, "memory"), ({"memory": 0}, "memory"), ({"memory": -5}, "memory"),
        ({"memory": None}, "memory"),
        ({"tenant": ""}, "tenant"), ({"tenant": "a\x1b[31m"}, "tenant"), ({"priority": -1}, "priority"),
        ({"priority": "4"}, "priority"), ({"ttl_s": 0}, "ttl_s"), ({"pid": 0}, "pid"), ({"wait_s": 601}, "wait_s"),
        ({"wait_s": -1}, "wait_s"), ({"device": ""}, "device"), ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(admin: TestClient, view: FakeView, wrong: dict[str, Any], param: str) -> None:
    answer = admin.post(URL, json={"tenant": "t", "memory": 1024} | wrong)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert len(view.lent.kept) == 3


def test_a_browser_changes_something_only_with_the_header(browser: TestClient, view: FakeView) -> None:
    assert browser.get(URL).status_code == 200
    assert browser.delete(f"{URL}/{FIRST}").json()["error"]["code"] == "console_header_missing"
    assert len(view.lent.kept) == 3
    assert browser.delete(f"{URL}/{FIRST}", headers={"x-ringfence-console": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("POST", f"/{FIRST}/heartbeat"), ("DELETE", f"/{FIRST}")]
)
def test_nobody_else_gets_in(client: TestClient, view: FakeView, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer sk-rf-chat-for-tests"}):
        answer = client.request(method, f"{URL}{path}", headers=headers, json={"tenant": "t", "memory": 1})
        assert answer.status_code == 401
    assert len(view.lent.kept) == 3
