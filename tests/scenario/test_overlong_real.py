"""Requests of half to a hundred times the window, through the whole gateway, to real llama.cpp servers: each is an
answer that fits, or our own refusal; never the engine's words, and never its end."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from llama_server import llama_server
from overlong import Asked, error_events, outcome, prose, requests, user
from whole import Reply, ask, until

from ringfence.testing.ports import free_port

WINDOW = 1024
RUNS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "one": (WINDOW, 1, {}),
    "four": (4 * WINDOW, 4, {}),
    "shared": (WINDOW, 4, {"kv_unified": True}),
    "seen": (WINDOW, 4, {"kv_unified": True, "is_seen": True}),
}
"""`-c`, `-np` and more, by the name of the model: a window for one, for each of four, and for four together as it is
without `-np`, which the gateway learns by a failure or sees among the processes."""
OWN = "own"
"""And one that the gateway runs itself, with its trained window."""
OWN_WINDOW = 2048
CROWD = 8


@dataclass
class Real:
    """The gateway, and the servers that somebody else runs."""

    up: Any
    servers: dict[str, subprocess.Popen[bytes]]

    def ask(self, path: str, body: dict[str, Any]) -> Reply:
        return ask(self.up.root_url, "POST", path, body, self.up.api_key, timeout_s=60)

    def outcomes(self, model: str, window: int, times: float) -> Counter[str]:
        found = Counter(outcome(asked, self.ask(asked.path, asked.body)) for asked in requests(model, window, times))
        self.assert_serves(model)
        return found

    def assert_serves(self, model: str) -> None:
        """Nothing has gone away, and nobody is kept out."""
        assert all(server.poll() is None for server in self.servers.values())
        reply = self.ask("/v1/chat/completions", {"model": model, "messages": [user("hello")], "max_tokens": 2})
        assert reply.status == 200, reply.body

    def teach_that_it_is_shared(self) -> None:
        """By answers that do not fit together: they are asked for again before anybody is told."""
        body = {"model": "shared", "messages": [user("hello")], "ignore_eos": True, "n": 4}
        assert self.ask("/v1/chat/completions", body).status == 200


@pytest.fixture(scope="module")
def real(start_up: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    pytest.importorskip("xllamacpp")
    with ExitStack() as stack:
        servers: dict[str, subprocess.Popen[bytes]] = {}
        models: dict[str, Any] = {OWN: {"source": str(tiny_model), "threads": 1}}
        for name, (context, parallel, more) in RUNS.items():
            port = free_port()
            servers[name] = stack.enter_context(
                llama_server(tiny_model, port, context, parallel, embedding=True, **more)
            )
            at = f"http://127.0.0.1:{port}"
            models[name] = {"url": at, "engine": "llamacpp", "engine_model": str(tiny_model)}
        config = tmp_path_factory.mktemp("config") / "ringfence.yaml"
        config.write_text(json.dumps({"models": models}))  # YAML reads JSON
        up = start_up("--config", str(config))
        until(
            lambda: _windows(up).items() >= (dict.fromkeys(RUNS, WINDOW) | {OWN: OWN_WINDOW}).items(), 40, "the windows"
        )
        yield Real(up, servers)
        up.stop()


def _windows(up: Any) -> dict[str, int]:
    rows = ask(up.root_url, "GET", "/v1/models", None, up.api_key).json["data"]
    return {row["id"]: row["context_length"] for row in rows}


def test_an_answer_or_our_own_refusal(real: Real) -> None:
    found = real.outcomes("one", WINDOW, 1.2)
    assert found["answered"] >= 8, "what can be shortened is"
    assert found["refused"] >= 1, "what must not be is not"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("model", "times"),
    [
        *((model, times) for model in RUNS if model != "seen" for times in (0.5, 1, 1.1, 3, 10, 100)),
        (OWN, 1.1),
        (OWN, 30),
    ],
)
def test_every_kind_at_every_length(real: Real, model: str, times: float) -> None:
    if model == "shared":
        real.teach_that_it_is_shared()
    found = real.outcomes(model, OWN_WINDOW if model == OWN else WINDOW, times)
    assert found["answered"] > 0


def test_slots_that_share_one_context(real: Real) -> None:
    """Two that fit alone do not fit together, and llama.cpp fails them all. That is seen once at most."""

    def one(number: int, model: str = "shared") -> tuple[int, list[dict[str, Any]]]:
        body = {"model": model, "messages": [user(prose(200 + 40 * number))], "ignore_eos": True}
        asked = Asked(f"crowd {number}", "/v1/chat/completions", body | {"stream": number % 2 == 0}, WINDOW)
        reply = real.ask(asked.path, asked.body)
        errors = error_events(reply)
        if not errors:
            assert outcome(asked, reply) == "answered"
        return reply.status, errors

    with ThreadPoolExecutor(CROWD) as crowd:
        first = list(crowd.map(one, range(CROWD)))
        for status, errors in first:
            assert status == 200
            assert [error["code"] for error in errors] in ([], ["overloaded"])
            assert not any("Context size" in error["message"] for error in errors)
        for _ in range(2):
            assert list(crowd.map(one, range(CROWD))) == [(200, [])] * CROWD, "once it is known, they take turns"
        seen = list(crowd.map(partial(one, model="seen"), range(CROWD)))
        assert seen == [(200, [])] * CROWD, "known from the beginning"
    real.assert_serves("shared")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_several_answers_share_one_context_too(real: Real, stream: bool) -> None:
    real.teach_that_it_is_shared()
    several = {"model": "shared", "ignore_eos": True, "stream": stream}
    chat = Asked("answers", "/v1/chat/completions", several | {"messages": [user(prose(300))], "n": 3}, 3 * WINDOW)
    prompts = Asked("prompts", "/v1/completions", several | {"prompt": [prose(300)] * 6}, WINDOW)
    for asked in (chat, prompts):
        assert outcome(asked, real.ask(asked.path, asked.body)) == "answered"
