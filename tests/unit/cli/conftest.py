"""A made-up gateway behind the control API, over a real socket, for commands to ask."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_site import ControlSite

from ringfence.gateway import http
from ringfence.store.credentials import admin_token
from ringfence.testing.fake_view import FakeView


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RINGFENCE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


@pytest.fixture
def view(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeView]:
    """What the running gateway knows; it listens until the end of the test."""
    view = FakeView()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = http.HttpServer(ControlSite(view), http.Limits())
    port = asyncio.run_coroutine_threadsafe(server.listen("127.0.0.1", 0), loop).result(5)
    token = admin_token(state)
    monkeypatch.setattr(view, "is_admin", lambda given: given == token)
    note = {"base_url": f"http://127.0.0.1:{port}/v1", "pid": os.getpid(), "started_s": time.time()}
    (state / "run.json").write_text(json.dumps(note))
    yield view
    asyncio.run_coroutine_threadsafe(server.drain(0), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
