"""What each resource answers, and what all of them refuse in the same way."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView


def test_status_is_the_whole_of_what_the_view_says(admin: TestClient, view: FakeView) -> None:
    assert admin.get("/control/v1/status").json() == view.status()


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("models", {"models": "models"}),
        ("instances", {"instances": "instances", "left_out": "left_out"}),
        ("requests", {"requests": "requests", "recent": "recent"}),
    ],
)
def test_each_resource_is_its_part_of_the_status(
    admin: TestClient, view: FakeView, path: str, parts: dict[str, str]
) -> None:
    assert admin.get(f"/control/v1/{path}").json() == {name: view.sample[part] for name, part in parts.items()}


def test_devices_are_those_of_the_status_with_who_holds_what(admin: TestClient, view: FakeView) -> None:
    view.unread = [{"title": "NVIDIA", "reason": "the driver is not loaded"}]
    found = admin.get("/control/v1/devices").json()
    assert set(found) == {"devices", "unread"}
    assert found["unread"] == view.unread
    kept = ("expected_free_bytes", "headroom_bytes", "threshold_bytes", "leased_bytes")
    bare = [{name: one[name] for name in one if name not in ("holders", *kept)} for one in found["devices"]]
    assert all(set(kept) <= set(one) for one in found["devices"])
    assert bare == view.sample["devices"]
    for one in found["devices"]:
        ours = sum(row["held_bytes"] for row in one["holders"] if row["kind"] == "instance")
        others = sum(row["held_bytes"] or 0 for row in one["holders"] if row["kind"] != "instance")
        assert others == one["others_bytes"]
        assert ours + others == one["total_bytes"] - one["free_bytes"]


def test_a_key_is_made_shown_once_listed_and_revoked(admin: TestClient) -> None:
    wanted = {"name": "laptop", "requests_per_minute": 60, "tokens_per_minute": 10_000, "expires_s": 2_000_000_000}
    made = admin.post("/control/v1/keys", json=wanted)
    assert made.status_code == 201
    key = made.json()
    assert key["secret"].startswith("sk-rf-")
    assert wanted.items() <= key.items()
    listed = admin.get("/control/v1/keys").json()["keys"]
    assert [row["name"] for row in listed] == ["laptop"]
    assert "secret" not in listed[0]
    revoked = admin.delete(f"/control/v1/keys/{key['id']}").json()
    assert revoked["revoked_s"] is not None


def test_a_key_that_is_not_there_cannot_be_revoked(admin: TestClient) -> None:
    answer = admin.delete("/control/v1/keys/key_none")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "There is no key 'key_none'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "key_not_found",
    }


def test_explain_passes_everything_on(admin: TestClient) -> None:
    asked = {"model": "auto", "body": {"messages": [{"role": "user", "content": "hi"}]}, "key": "laptop"}
    answer = admin.post("/control/v1/explain", json=asked).json()
    assert answer["model"] == "qwen3-8b"
    assert answer["asker"] == {"key": "laptop"}
    assert [step["usable"] for step in answer["chain"]] == [True, False]


def test_a_bare_request_is_a_question_too(admin: TestClient) -> None:
    sent = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    bare = admin.post("/control/v1/explain", json=sent).json()
    assert bare == admin.post("/control/v1/explain", json={"model": "auto", "body": sent}).json()
    nameless = admin.post("/control/v1/explain", json={"messages": []})
    assert (nameless.status_code, nameless.json()["error"]["param"]) == (400, "model")


def test_explain_passes_on_how_urgent_it_would_be(admin: TestClient) -> None:
    answer = admin.post("/control/v1/explain", json={"model": "auto", "priority": "background", "labels": ["a", "b"]})
    assert answer.json()["asker"] == {"labels": "a,b", "priority": "background"}
    wrong = admin.post("/control/v1/explain", json={"model": "auto", "priority": "urgent"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "priority")


def test_what_left_begins_where_it_is_asked_to(admin: TestClient, view: FakeView) -> None:
    assert admin.get("/control/v1/egress").json() == view.what_left
    assert admin.get("/control/v1/egress?since_s=1793534400.5").json() == view.what_left
    assert view.asked_since == [None, 1793534400.5]
    for wrong in ("-1", "nan", "inf", "1e300", "yesterday"):
        answer = admin.get(f"/control/v1/egress?since_s={wrong}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "since_s")


def test_a_fresh_link_opens_the_console(admin: TestClient) -> None:
    link = admin.post("/control/v1/console-link").json()["url"]
    assert admin.get(link).headers["location"] == "/console"


def test_reload_and_config(admin: TestClient, view: FakeView) -> None:
    assert admin.post("/control/v1/config/reload").json() == {
        "ok": True,
        "changes": [],
        "problems": [],
        "dead_keys": [],
    }
    assert view.reloads == 1
    config = admin.get("/control/v1/config")
    assert config.headers["content-type"] == "application/yaml; charset=utf-8"
    assert config.text == view.config_text()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("keys", {"name": ""}, "name"),
        ("keys", {}, "name"),
        ("keys", {"name": "a", "profil": "default"}, "profil"),
        ("keys", {"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
        ("keys", {"name": "a", "requests_per_minute": "60"}, "requests_per_minute"),
        ("keys", {"name": "a", "profile": "none"}, "profile"),
        ("explain", {"model": 7}, "model"),
        ("explain", {"model": "auto", "body": "text"}, "body"),
    ],
)
def test_a_wrong_field_is_named_in_the_envelope(admin: TestClient, path: str, body: dict[str, Any], param: str) -> None:
    answer = admin.post(f"/control/v1/{path}", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param in error["message"]


def test_a_refusal_never_quotes_what_was_sent(admin: TestClient) -> None:
    for body in ({"model": "auto", "body": ["canary-text"]}, {"model": {"canary-text": 1}}):
        answer = admin.post("/control/v1/explain", json=body)
        assert answer.status_code == 400
        assert "canary-text" not in answer.text
    broken = admin.post(
        "/control/v1/explain", content=b'{"model": "canary-text', headers={"content-type": "application/json"}
    )
    assert (broken.status_code, "canary-text" in broken.text) == (400, False)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/control/v1/nothing", 404, "not_found"),
        ("GET", "/control/v1/", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/redoc", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("PUT", "/control/v1/status", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_said_in_the_envelope(
    admin: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = admin.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert status != 405 or answer.headers["allow"] == "GET"


def test_a_bug_is_an_envelope_too_and_its_words_stay_out_of_answer_and_log(
    admin: TestClient, view: FakeView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks() -> dict[str, Any]:
        raise RuntimeError("canary-text")

    monkeypatch.setattr(view, "status", breaks)
    answer = admin.get("/control/v1/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "RuntimeError" in caplog.text
    assert "canary-text" not in answer.text + caplog.text


def test_every_answer_carries_the_headers(admin: TestClient) -> None:
    for path in ("/control/v1/status", "/control/v1/nothing", "/console", "/console/sign-in"):
        headers = admin.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
