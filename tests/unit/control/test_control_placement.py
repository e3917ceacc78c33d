"""What would be done with the devices, the modes of their use, and their last hour, over the control API."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView

URL = "/control/v1"
READ = ("plan", "modes", "devices/timeline")
CONSOLE = {"x-ringfence-console": "1"}


def test_the_plan_is_what_the_view_says(admin: TestClient, view: FakeView) -> None:
    found = admin.get(f"{URL}/plan").json()
    assert found == view.placement.plan
    assert set(found) == {
        "actions", "waiting", "refused", "asked_again_in_s", "models", "mode", "recent",
    }  # fmt: skip


def test_the_timeline_is_what_the_view_says(admin: TestClient, view: FakeView) -> None:
    found = admin.get(f"{URL}/devices/timeline").json()
    assert found == {"every_s": 5, "devices": view.placement.points}
    assert {len(point) for points in found["devices"].values() for point in points} == {4}


def test_a_switch_begins_at_once_and_its_steps_are_told_as_they_come(admin: TestClient, view: FakeView) -> None:
    before = admin.get(f"{URL}/modes").json()
    assert (before["now"], [mode["name"] for mode in before["modes"]]) == (None, ["forensic", "creative", "audio"])
    view.placement.script = ["qwen3-8b takes no new requests", "done"]
    begun = admin.post(f"{URL}/mode", json={"mode": "forensic"}).json()
    assert (begun["switch"]["to"], begun["switch"]["outcome"], begun["switch"]["steps"]) == ("forensic", None, [])
    assert [step["text"] for step in admin.get(f"{URL}/modes").json()["switch"]["steps"]] == [
        "qwen3-8b takes no new requests"
    ]
    after = admin.get(f"{URL}/modes").json()
    assert (after["now"], after["switch"]["outcome"]) == ("forensic", "done")


def test_a_switch_to_no_mode(admin: TestClient, view: FakeView) -> None:
    assert admin.post(f"{URL}/mode", json={"mode": None}).json()["switch"]["to"] is None
    assert view.placement.asked == [None]


@pytest.mark.parametrize(("name", "words"), [
    ("forensics", "There is no mode 'forensics'; did you mean 'forensic'?"),
    ("x", "There is no mode 'x'; the configuration has: forensic, creative, audio."),
])  # fmt: skip
def test_an_unknown_mode_is_refused_with_those_that_there_are(
    admin: TestClient, view: FakeView, name: str, words: str
) -> None:
    answer = admin.post(f"{URL}/mode", json={"mode": name})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "not_found", "mode")
    assert words in error["message"]
    assert view.placement.asked == []


@pytest.mark.parametrize("body", [{}, {"mode": ""}, {"mode": 3}, {"mode": ["audio"]}, {"mode": None, "now": True}, 7])
def test_a_body_that_is_none_is_refused(admin: TestClient, view: FakeView, body: Any) -> None:
    assert admin.post(f"{URL}/mode", json=body).status_code == 400
    assert view.placement.asked == []


def test_a_browser_switches_only_with_the_header(browser: TestClient, view: FakeView) -> None:
    refused = browser.post(f"{URL}/mode", json={"mode": "audio"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "console_header_missing")
    assert view.placement.asked == []
    assert browser.post(f"{URL}/mode", json={"mode": "audio"}, headers=CONSOLE).status_code == 200
    assert [browser.get(f"{URL}/{name}").status_code for name in READ] == [200] * 3


def test_nobody_else_gets_in(client: TestClient, view: FakeView) -> None:
    for headers in ({}, {"authorization": "Bearer sk-rf-chat-for-tests"}):
        assert [client.get(f"{URL}/{name}", headers=headers).status_code for name in READ] == [401] * 3
        assert client.post(f"{URL}/mode", json={"mode": "audio"}, headers=headers).status_code == 401
    assert view.placement.asked == []
