"""The control API and the console together, as one application, in front of a made-up gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from ringfence.console import pages
from ringfence.control.access import SESSION_COOKIE
from ringfence.control.app import build
from ringfence.testing.fake_view import ADMIN_TOKEN, FakeView

ADMIN = {"authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest.fixture
def view() -> FakeView:
    return FakeView()


@pytest.fixture
def client(view: FakeView) -> Iterator[TestClient]:
    """Nobody is signed in."""
    app = build(view)
    pages.mount(app, view, cookie=SESSION_COOKIE)
    with TestClient(app, base_url="http://127.0.0.1:7464", follow_redirects=False) as client:
        yield client


@pytest.fixture
def admin(client: TestClient) -> TestClient:
    """The command line."""
    client.headers.update(ADMIN)
    return client


@pytest.fixture
def browser(client: TestClient, view: FakeView) -> TestClient:
    """Someone who has signed in to the console."""
    view.tokens.add("once")
    assert client.get("/console?token=once").status_code == 303
    return client
