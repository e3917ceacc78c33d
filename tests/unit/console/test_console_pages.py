"""The way into the console, what stands in its pages, and its own files."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from starlette.testclient import TestClient

from ringfence.console.assets import Assets
from ringfence.testing.fake_view import CHAT_KEY, FakeView

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
SOURCES = [file for file in files("ringfence.console").joinpath("static").iterdir() if file.is_file()]


def test_root_leads_to_the_console(client: TestClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")


def test_a_stranger_sees_how_to_get_in_and_nothing_else(client: TestClient) -> None:
    page = client.get("/console")
    assert page.status_code == 200
    assert "ringfence status --console" in page.text
    assert "main.js" not in page.text


@pytest.mark.parametrize("name", ["egress", "explain", "waiting", "memory", "batches"])
def test_every_page_is_for_whoever_is_signed_in(client: TestClient, view: FakeView, name: str) -> None:
    page = client.get(f"/console/{name}")
    assert (page.status_code, f"{name}.js" in page.text) == (200, False)
    assert "ringfence status --console" in page.text
    view.tokens.add("once")
    client.get("/console?token=once")
    assert f"{name}.js" in client.get(f"/console/{name}").text


def test_a_token_opens_once(client: TestClient, view: FakeView) -> None:
    view.tokens.add("once")
    entered = client.get("/console?token=once")
    assert (entered.status_code, entered.headers["location"]) == (303, "/console")
    cookie = entered.headers["set-cookie"].lower()
    assert cookie.startswith("ringfence_session=session-0;")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "main.js" in client.get("/console").text
    client.cookies.clear()
    again = client.get("/console?token=once")
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert "works once" in again.text


def test_an_old_link_leads_someone_who_is_signed_in_back_to_the_page(browser: TestClient) -> None:
    answer = browser.get("/console?token=once")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert "set-cookie" not in answer.headers


def test_a_pasted_token_opens_and_a_wrong_one_is_explained(client: TestClient, view: FakeView) -> None:
    view.tokens.add("pasted")
    assert client.post("/console/sign-in", data={"token": "wrong"}).status_code == 401
    assert client.post("/console/sign-in", data={}).status_code == 401
    entered = client.post("/console/sign-in", data={"token": " pasted\n"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/console")
    assert "main.js" in client.get("/console").text


def test_what_was_typed_is_never_shown_again(client: TestClient) -> None:
    for answer in (
        client.get("/console", params={"token": "<script>alert(1)</script>"}),
        client.post("/console/sign-in", data={"token": "<script>alert(1)</script>"}),
    ):
        assert answer.status_code == 401
        assert "alert(1)" not in answer.text


def test_a_form_of_any_size_is_not_read(client: TestClient) -> None:
    answer = client.post("/console/sign-in", content=b"token=" + b"x" * 10_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_the_key_of_the_chat_is_for_a_session(client: TestClient, view: FakeView) -> None:
    assert client.get("/console/session").status_code == 401
    assert client.get("/console/session?probe").status_code == 204
    view.tokens.add("once")
    client.get("/console?token=once")
    assert client.get("/console/session").json()["api_key"] == CHAT_KEY
    assert client.get("/console/session", headers={"sec-fetch-site": "same-site"}).status_code == 403


def test_an_ended_session_is_asked_to_sign_in(browser: TestClient, view: FakeView) -> None:
    view.sessions["session-0"]["expires_s"] = 0
    assert "sign-in" in browser.get("/console").text
    assert browser.get("/console/session").status_code == 401


def test_the_policy_stands_on_every_page(client: TestClient, view: FakeView) -> None:
    view.tokens.add("once")
    answers = [client.get("/console"), client.get("/console?token=no"), client.post("/console/sign-in", data={})]
    answers += [client.get("/console?token=once"), client.get("/console")]
    answers += [client.get(f"/console/{name}") for name in ("egress", "explain", "waiting", "memory", "batches")]
    for answer in answers:
        said = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert said == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


class Page(HTMLParser):
    """Every element, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_pages_load_their_own_files_and_hold_no_script_or_style(client: TestClient, view: FakeView) -> None:
    view.tokens.add("once")
    texts = [client.get("/console").text]
    client.get("/console?token=once")
    names = ("", "/egress", "/explain", "/waiting", "/memory", "/batches", "/money")
    texts += [client.get(f"/console{name}").text for name in names]
    for text in texts:
        for tag, attributes in Page(text).found:
            assert tag != "style"
            assert tag != "script" or attributes.get("src")
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("src", "href", "action"):
                assert (attributes.get(name) or "/").startswith(("/console", "#", "/"))
                if (attributes.get(name) or "").startswith("/console/static/"):
                    assert client.get(str(attributes[name])).status_code == 200


def test_files_have_their_types_are_kept_for_good_and_change_their_address(client: TestClient) -> None:
    assets = Assets.read()
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    assert {name.rpartition(".")[2] for name in assets.files} == set(types)
    for name in assets.files:
        answer = client.get(f"/console/static/{assets.edition}/{name}")
        assert answer.headers["content-type"] == types[name.rpartition(".")[2]]
        assert "immutable" in answer.headers["cache-control"]
        again = client.get(
            f"/console/static/{assets.edition}/{name}", headers={"if-none-match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
    for path in (
        "older/main.js",
        f"{assets.edition}/none.js",
        f"{assets.edition}/..%2fpages.py",
        f"{assets.edition}/../pages.py",
    ):
        assert client.get(f"/console/static/{path}").status_code == 404


def test_the_files_are_small_and_name_no_other_host() -> None:
    assert sum(len(file.read_bytes()) for file in SOURCES) < 160_000  # seven pages; each loads a part of it, once
    for file in SOURCES:
        text = file.read_text()
        assert len(text.splitlines()) < 500
        hosts = set(re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", text)) - {"www.w3.org"}
        assert not hosts, f"{file.name} names {hosts}"


@pytest.mark.parametrize("name", ["", "/memory", "/waiting", "/batches", "/money", "/explain", "/egress"])
def test_each_page_loads_little(browser: TestClient, name: str) -> None:
    sizes = {file.name: len(file.read_bytes()) for file in SOURCES}
    texts = {file.name: file.read_text() for file in SOURCES if file.name.endswith(".js")}
    loaded: set[str] = set()
    wanted = re.findall(r'/([\w-]+\.(?:js|css|svg))"', browser.get(f"/console{name}").text)
    while wanted:
        file = wanted.pop()
        if file not in loaded:
            loaded.add(file)
            wanted += re.findall(r'from "\./([\w.-]+)"', texts.get(file, ""))
    assert len(loaded) > 8
    assert sum(sizes[file] for file in loaded) < 72_000


@pytest.mark.parametrize("name", [file.name for file in SOURCES if file.name.endswith(".js")])
def test_scripts_never_turn_text_into_markup(name: str) -> None:
    text = next(file for file in SOURCES if file.name == name).read_text()
    for risky in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "localStorage",
        "sessionStorage",
    ):
        assert risky not in text
