"""What a whole gateway does with requests that are too long, and shows of it, with engines of several windows."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from whole import Reply, ask, command, control, until

from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

SMALL, LARGE = 2048, 32_768
CANARY = "nobody-else-says-this"
LATEST = {"role": "user", "content": "And what is left of it?"}


def talk(words: int) -> list[dict[str, Any]]:
    """Turns of about a hundred words each, and a question."""
    said = " ".join([CANARY, *["word"] * 99])
    turns = [{"role": role, "content": said} for _ in range(words // 200) for role in ("user", "assistant")]
    return [*turns, LATEST]


@contextmanager
def beside(*engines: FakeEngine) -> Iterator[None]:
    """They serve on a loop and a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    for engine in engines:
        asyncio.run_coroutine_threadsafe(engine.start(), loop).result(5)
    try:
        yield
    finally:
        for engine in engines:
            asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class House:
    """A gateway, a key for each profile, and its two engines."""

    def __init__(self, up: Any, small: FakeEngine, large: FakeEngine) -> None:
        self.up, self.small, self.large = up, small, large
        self.keys = {name: self._key(name) for name in ("shrinks", "refuses", "routes", "client")}

    def _key(self, profile: str) -> str:
        told = command("keys", "create", profile, "--profile", profile, "--json", folder=self.up.folder)
        return str(json.loads(told.stdout)["secret"])

    def chat(self, profile: str, messages: list[dict[str, Any]], **more: Any) -> Reply:
        body = {"model": "auto", "messages": messages, "max_tokens": 64} | more
        return ask(self.up.root_url, "POST", "/v1/chat/completions", body, self.keys[profile])

    def explain(self, profile: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        body = {"messages": messages, "max_tokens": 64} | more
        asked = {"model": "auto", "body": body, "profile": profile}
        return control(self.up, "/explain", "POST", asked)["window"]

    def models(self) -> dict[str, tuple[int | None, int | None]]:
        rows = ask(self.up.root_url, "GET", "/v1/models", None, self.up.api_key).json["data"]
        return {row["id"]: (row["context_length"], row["max_model_len"]) for row in rows}


@pytest.fixture(scope="module")
def house(start_up: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    small, large = (FakeEngine("vllm", (FakeModel(name, window=size),)) for name, size in (("s", SMALL), ("l", LARGE)))
    with beside(small, large):
        file = tmp_path_factory.mktemp("overlong") / "ringfence.yaml"
        file.write_text(f"""
discovery: {{adopt: false}}
models:
  small: {{url: "http://127.0.0.1:{small.port}", engine: vllm, aliases: [quick]}}
  large: {{url: "http://127.0.0.1:{large.port}", engine: vllm}}
profiles:
  shrinks: {{chain: [small, large]}}
  refuses: {{chain: [small, large], overlong: refuse}}
  routes: {{chain: [small, large], overlong: route}}
  client: {{exact: {{model: small}}}}
""")
        up = start_up("--config", str(file))
        house = House(up, small, large)
        until(lambda: house.models().get("large") == (LARGE, LARGE), 25, "both windows")
        yield house


def test_every_name_shows_the_window_that_holds_for_it(house: House) -> None:
    shown = house.models()
    assert {name: shown.pop(name) for name in ("small", "quick", "large")} == {
        "small": (SMALL, SMALL), "quick": (SMALL, SMALL), "large": (LARGE, LARGE),
    }  # fmt: skip
    assert set(shown.values()) == {(SMALL, SMALL)}, "what rules choose from holds no more than its smallest"
    one = ask(house.up.root_url, "GET", "/v1/models/quick", None, house.up.api_key).json
    assert (one["root"], one["context_length"]) == ("small", SMALL)


def test_by_default_it_is_shrunk(house: House) -> None:
    messages = talk(3000)
    told = house.explain("shrinks", messages)
    reply = house.chat("shrinks", messages)
    assert (reply.status, reply.headers["x-ringfence-model"]) == (200, "s"), reply.body
    state, before, after = _window(reply)
    assert (state, before > SMALL >= after + 64) == ("truncated", True)
    assert (told["state"], told["target"], told["by"]) == ("truncated", "vllm/small", "estimate")
    assert house.small.calls[-1].body["messages"][-1] == LATEST


def test_who_refuses_gets_all_of_it_or_an_error(house: House) -> None:
    for profile in ("refuses", "client"):
        calls = len(house.small.calls)
        refused = house.chat(profile, talk(3000))
        assert (refused.status, refused.code) == (400, "context_length_exceeded"), profile
        assert refused.json["error"]["message"].startswith("This model's maximum context length is 2048 tokens. Howev")
        assert len(house.small.calls) == calls
        whole = house.chat(profile, talk(1500))  # beyond the bound, but not by the engine's count
        assert (whole.status, whole.headers["x-ringfence-window"]) == (200, "fit"), whole.body
        assert len(house.small.calls[-1].body["messages"]) == len(talk(1500))
        told = house.explain(profile, talk(6000))
        assert (told["state"], told["overlong"]) == ("refused", "refuse")
        assert told["error"].startswith("This model's maximum context length is 2048 tokens.")


def test_who_routes_takes_the_large_window_for_what_is_long(house: House) -> None:
    assert house.chat("routes", talk(200)).headers["x-ringfence-model"] == "s"
    long = talk(3000)
    told = house.explain("routes", long)
    reply = house.chat("routes", long)
    assert (reply.status, reply.headers["x-ringfence-model"]) == (200, "l"), reply.body
    assert reply.headers["x-ringfence-window"] == "fit"
    assert told["target"] == "vllm/large"
    assert house.chat("shrinks", long).headers["x-ringfence-model"] == "s"
    beyond = house.chat("routes", talk(60_000))
    assert (beyond.status, beyond.headers["x-ringfence-model"], _window(beyond)[0]) == (200, "l", "truncated")


def test_explain_foresees_what_is_sure(house: House) -> None:
    body = {"messages": [LATEST], "max_tokens": 30_000}
    told = control(house.up, "/explain", "POST", {"model": "large", "body": body, "profile": "shrinks"})["window"]
    assert (told["state"], told["by"], told["asked"], told["max_tokens"]) == ("clamped", "bound", 30_000, 19_660)
    assert told["shares"] == {
        "input": LARGE - 19_660 - 512, "output": 19_660, "least_output": 19_660, "reserve": 512,
    }  # fmt: skip
    assert told["estimate"] <= told["bound"]
    assert (told["dropped"], told["shortened"], told["error"]) == (0, {}, "")


@pytest.mark.parametrize("body", [{}, {"prompt": "text"}, {"prompt": ["a", "b"], "suffix": "c"}])
def test_explain_knows_other_bodies_as_well(house: House, body: dict[str, Any]) -> None:
    assert control(house.up, "/explain", "POST", {"model": "large", "body": body})["window"]["state"] == "fit"


def test_the_command_tells_it_in_words(house: House, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"model": "quick", "messages": talk(3000), "max_tokens": 1000}))
    done = command("explain", "--body", str(file), folder=house.up.folder, env={"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for part in (
        "small: 'quick' is another name for it",
        "Window    2,048 tokens: input at most 536, output 1,000, reserve 512",
        "truncated: messages are left out",
        "messages left out",
        "the engine itself has the last word",
    ):
        assert part in done.stdout
    assert CANARY not in done.stdout
    for words, what in (
        (("--body", str(tmp_path / "none")), "cannot be read: no such file"),
        (("--body", str(tmp_path)), "cannot be read: is a directory"),
        (("--body", str(file), "--prompt", "x"), "one of --prompt and --body"),
    ):
        wrong = command("explain", *words, folder=house.up.folder)
        assert (wrong.returncode, what in " ".join(wrong.stderr.replace("│", " ").split())) == (2, True), wrong.stderr
    for text, what in (("{", "is no JSON, line 1"), ("[1]", "holds no JSON object"), ("\0", "is no JSON")):
        file.write_text(text)
        wrong = command("explain", "--body", str(file), folder=house.up.folder)
        assert (wrong.returncode, what in wrong.stderr) == (2, True), wrong.stderr


def test_the_status_and_the_metrics_tell_it_in_numbers(house: House) -> None:
    reply = house.chat("shrinks", talk(3000))
    rows = control(house.up, "/requests")["recent"]
    [row] = [row for row in rows if row["id"] == reply.headers["x-request-id"]]
    state, before, after = _window(reply)
    fitting = row["fitting"]
    assert (fitting["state"], fitting["before"], fitting["after"]) == (state, before, after)
    assert fitting["dropped"] == len(talk(3000)) - len(house.small.calls[-1].body["messages"])
    assert (fitting["asked"], fitting["output"]) == (64, 64)
    page = ask(house.up.root_url, "GET", "/metrics", None, house.up.api_key).body.decode()
    assert 'ringfence_window_total{state="truncated",target="vllm/small"}' in page
    assert CANARY not in page + json.dumps(rows)


def _window(reply: Reply) -> tuple[str, int, int]:
    state, before, after = reply.headers["x-ringfence-window"].split("; ")
    return state, int(before.removeprefix("before=")), int(after.removeprefix("after="))
