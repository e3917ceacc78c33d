"""Who gets in, who does not, and what a browser must prove before it changes something."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from ringfence.testing.fake_view import FakeView

READS = ["status", "models", "instances", "devices", "requests", "keys", "config", "openapi.json"]
CHANGES = [
    ("POST", "keys", {"name": "laptop"}, 201),
    ("DELETE", "keys/key_000000000000", None, 200),
    ("POST", "config/reload", None, 200),
    ("POST", "console-link", None, 200),
    ("POST", "explain", {"model": "qwen3-8b"}, 200),
]
EVERYTHING = [("GET", path, None, 200) for path in [*READS, "events"]] + CHANGES
OURS = {"x-ringfence-console": "1"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Basic cmYtYWRtaW4tZm9yLXRlc3Rz"},
        {"authorization": "Bearer sk-rf-chat-for-tests"},
        {"cookie": "ringfence_session=guessed"},
        {"cookie": "ringfence_session="},
    ],
)
def test_without_a_token_or_a_session_nothing_opens(
    client: TestClient, view: FakeView, headers: dict[str, str]
) -> None:
    for method, path, body, _ in EVERYTHING:
        answer = client.request(method, f"/control/v1/{path}", json=body, headers=headers | OURS)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer", path
        assert answer.json()["error"]["code"] in ("invalid_admin_token", "not_signed_in"), path
        assert view.known_keys == {}, path
        assert view.reloads == 0, path


@pytest.mark.parametrize("path", READS)
def test_the_command_line_reads_with_its_token(admin: TestClient, path: str) -> None:
    assert admin.get(f"/control/v1/{path}").status_code == 200


@pytest.mark.parametrize("path", READS)
def test_a_session_reads(browser: TestClient, path: str) -> None:
    assert browser.get(f"/control/v1/{path}").status_code == 200


@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES)
def test_the_command_line_needs_no_header_of_the_console(
    admin: TestClient, view: FakeView, method: str, path: str, body: object, status: int
) -> None:
    _make_key(view)
    assert admin.request(method, f"/control/v1/{path}", json=body).status_code == status


@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES)
def test_a_session_changes_things_only_with_the_header(
    browser: TestClient, view: FakeView, method: str, path: str, body: object, status: int
) -> None:
    _make_key(view)
    url = f"/control/v1/{path}"
    for headers in ({}, {"x-ringfence-console": "0"}):
        refused = browser.request(method, url, json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "console_header_missing")
    assert browser.request(method, url, json=body, headers=OURS).status_code == status
    own = OURS | {"origin": "http://127.0.0.1:7464", "sec-fetch-site": "same-origin"}
    assert browser.request(method, url, json=body, headers=own).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "config/reload"), ("GET", "status"), ("GET", "events")])
def test_a_page_of_another_origin_is_refused_even_with_cookie_and_header(
    browser: TestClient, view: FakeView, headers: dict[str, str], method: str, path: str
) -> None:
    answer = browser.request(method, f"/control/v1/{path}", headers=OURS | headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert view.reloads == 0


def test_a_wrong_token_is_not_made_good_by_a_session(browser: TestClient) -> None:
    assert browser.get("/control/v1/status", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_an_ended_session_opens_nothing(browser: TestClient, view: FakeView) -> None:
    view.sessions["session-0"]["expires_s"] = 0
    assert browser.get("/control/v1/status").status_code == 401


def _make_key(view: FakeView) -> None:
    view.known_keys["key_000000000000"] = {"id": "key_000000000000", "name": "old", "revoked_s": None}
