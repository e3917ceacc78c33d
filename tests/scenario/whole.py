"""The whole product seen from outside: requests to it, streams of it, its processes, its control API."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
LONG_TOKENS = 1900


class Running(Protocol):
    """What the fixture `start_up` gives."""

    folder: Path
    ready: dict[str, Any]

    @property
    def root_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...


@dataclass(frozen=True)
class Reply:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of an error, None for anything else."""
        return self.json["error"]["code"] if self.status >= 400 else None

    @property
    def text(self) -> str:
        return str(self.json["choices"][0]["message"]["content"])


def open_request(
    root_url: str, method: str, path: str, body: Any = None, key: str | None = None, timeout_s: float = 30.0,
    more_headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:  # fmt: skip
    """The response, its body unread. `body` that is bytes is sent as it is."""
    parts = urlsplit(root_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    headers = {"content-type": "application/json", "connection": "close"} | (more_headers or {})
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, raw, headers)
    return connection.getresponse()


def ask(
    root_url: str, method: str, path: str, body: Any = None, key: str | None = None, timeout_s: float = 30.0,
    more_headers: dict[str, str] | None = None,
) -> Reply:  # fmt: skip
    """One request on a connection of its own. Raises OSError or HTTPException when the gateway does not answer."""
    response = open_request(root_url, method, path, body, key, timeout_s, more_headers)
    with response:
        return Reply(response.status, response.headers, response.read())


def question(text: str = "hello", model: str = "auto", **more: Any) -> dict[str, Any]:
    """The body of a chat; short unless told otherwise."""
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4} | more


def chat(up: Running, text: str = "hello", *, key: str | None = None, timeout_s: float = 30.0, **more: Any) -> Reply:
    """A chat that is answered in one piece."""
    return ask(up.root_url, "POST", "/v1/chat/completions", question(text, **more), key or up.api_key, timeout_s)


class Stream:
    """A streamed chat, read event by event. `saw_done` tells whether [DONE] came."""

    def __init__(self, up: Running, text: str = "hello", *, timeout_s: float = 30.0, **more: Any) -> None:
        told = {"stream": True, "max_tokens": LONG_TOKENS, "ignore_eos": True} | more
        body = question(text, **told)
        self.response = open_request(up.root_url, "POST", "/v1/chat/completions", body, up.api_key, timeout_s)
        self.status = self.response.status
        self.saw_done = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """Each event as it comes; ends with [DONE] or with the connection."""
        with suppress(http.client.IncompleteRead, ConnectionError):
            for line in self.response:
                if line.strip() == b"data: [DONE]":
                    self.saw_done = True
                elif line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def until_text(self) -> None:
        """Read on until the first piece of the answer."""
        next(event for event in self.events() if _piece(event))

    def rest(self) -> tuple[str, list[dict[str, Any]]]:
        """(the text that was left, the error events)."""
        events = list(self.events())
        return "".join(map(_piece, events)), [event["error"] for event in events if "error" in event]


def _piece(event: dict[str, Any]) -> str:
    return "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices") or ())


def control(up: Running, path: str, method: str = "GET", body: Any = None) -> Any:
    """The control API, as the owner of the state folder."""
    token = (up.folder / "admin.token").read_text().strip()
    reply = ask(up.root_url, method, f"/control/v1{path}", body, token)
    assert reply.status < 400, reply.body
    return reply.json if reply.body else None


def made_key(up: Running, name: str, **bound: Any) -> str:
    """The secret of a new key, bound as told; by the control API, much quicker than `ringfence keys create`."""
    return str(control(up, "/keys", "POST", {"name": name} | bound)["secret"])


def reloaded(up: Running, *, ok: bool = True) -> dict[str, Any]:
    """What came of another look at the configuration."""
    outcome = control(up, "/config/reload", "POST")
    assert outcome["ok"] is ok, outcome
    return dict(outcome)


def gateway_pid(up: Running) -> int:
    """The gateway that serves now: another one after a crash."""
    return int(json.loads((up.folder / "run.json").read_text())["pid"])


def engine_pid(up: Running) -> int:
    """The one engine of our own that runs, once those are gone that end what they began."""

    def pids() -> list[int]:
        return [one["pid"] for one in control(up, "/status")["instances"] if one["kind"] == "supervised" and one["pid"]]

    return until(lambda: found if len(found := pids()) == 1 else [], 25, "one engine of our own alone")[0]


def children(pid: int) -> list[int]:
    """All processes below `pid`, however deep."""
    with suppress(OSError):
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        direct = [int(word) for text in lists for word in text.split()]
        return direct + [deeper for child in direct for deeper in children(child)]
    return []


def is_alive(pid: int) -> bool:
    """False for a zombie: nothing of it works any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def until(look: Callable[[], T], within_s: float, what: str) -> T:
    """The first true value of `look`, which may fail in the meantime; fails when none comes in time."""
    deadline = time.monotonic() + within_s
    problem: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except (OSError, http.client.HTTPException, ValueError, KeyError, AssertionError) as error:
            problem = error
        else:
            if found:
                return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s: {what}") from problem


def midway(up: Running, engine: int) -> Stream:
    """A stream that is surely under way, for its engine was stopped (SIGSTOP). The model is tiny: on a busy machine it
    may have said everything before it could be stopped, and then it is tried again."""
    for _ in range(5):
        stream = Stream(up)
        stream.until_text()
        kill(engine, signal.SIGSTOP)
        time.sleep(0.3)  # the end of what the engine had said whole reaches the gateway in this time
        if control(up, "/status")["requests"]["running"]:
            return stream
        kill(engine, signal.SIGCONT)
        stream.response.close()
    raise AssertionError("each of five streams was whole")


def gone(pids: list[int], within_s: float) -> None:
    """Fails when one of these is still alive after `within_s`."""
    until(lambda: not any(map(is_alive, pids)), within_s, f"the end of {pids}")


class Terminal:
    """A command that prints for people; what it printed so far can be read at any time."""

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._out = folder / "printed.txt"
        known = os.environ | {"RINGFENCE_STATE_DIR": str(folder / "state"), "PYTHONIOENCODING": "utf-8"} | (env or {})
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ringfence", *words], env=known, cwd=folder, stdout=out, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    @property
    def text(self) -> str:
        return self._out.read_text(encoding="utf-8")

    def until(self, words: str, within_s: float = 30.0) -> str:
        """What was printed once `words` are in it."""
        until(lambda: words in self.text, within_s, f"{words!r} in what was printed")
        return self.text


def command(*words: str, folder: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`ringfence WORDS`, run in and with the state of `folder`."""
    known = os.environ | {"RINGFENCE_STATE_DIR": str(folder)} | (env or {})
    return subprocess.run(
        [sys.executable, "-m", "ringfence", *words],
        env=known, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
