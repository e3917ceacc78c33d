"""A house under proof: the real `ringfence up` in its namespace, with engines that tempt it, and the sink behind it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from ringfence.prove import temptations as scene_of
from ringfence.prove.network import ENTER_SINK, RESOLVER, lay_cable
from ringfence.prove.packets import Flow, Measure, Packet, Reach
from ringfence.prove.verdict import Weighed
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

ANSWER_S = 30.0
QUIET_S = 0.06
"""No packet for so long, and what an attempt sent has arrived: a cable has no delay, only processes have."""
UNSAID_S = 3.0
START_S = 60.0
SERVED_S = 10.0
PASSED_ON = frozenset({
    "PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH",
})  # fmt: skip
"""What the program needs to start. Nothing that names a configuration or a folder of the owner's is among it."""


REFUSALS = frozenset(("boundary_refused", "forbidden", "model_not_allowed"))
"""Codes of what is not permitted."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the gateway; `status` 0 when there was none."""

    status: int
    code: str = ""
    target: str = ""
    kind: str = ""
    """The type of an error, as OpenAI's envelope has it, or Anthropic's."""
    location: str = ""
    id: str = ""
    """Of an answer that was given."""

    @property
    def came_in(self) -> bool:
        """The gateway took it for a call under the profile: it is there, and knows the key."""
        return self.status not in (0, 401)

    @property
    def is_refused(self) -> bool:
        """What is asked for is not permitted."""
        return self.status == 403 and self.kind == "permission_error"

    @property
    def is_decided(self) -> bool:
        """It was answered, or refused for what it is, rather than for the state that things are in."""
        return self.status in (200, 400) or self.is_refused

    @property
    def in_words(self) -> str:
        return " ".join(word for word in (str(self.status or "no answer"), self.code or self.target) if word)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the sink had counted at a moment."""

    packets: Mapping[Packet, int]
    missed: int
    arrived: frozenset[str]
    looks: frozenset[Flow]
    unsaid: int
    """Connections to engines of the mesh on which nothing has been asked yet: nobody knows what they are for."""

    def since(self, before: Seen) -> list[tuple[Packet, int]]:
        """Packets that came after `before`, and how many of each."""
        return [(p, n - before.packets.get(p, 0)) for p, n in self.packets.items() if n > before.packets.get(p, 0)]


class NotStarted(Exception):
    """The house under proof does not start; the text is its own words."""


class SinkProcess:
    """The driver's end of `ringfence.prove.sink`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, spec: Mapping[str, Any]) -> SinkProcess:
        """Lays the cable from the namespace that we are in to that of the sink. Raises NoNamespace."""
        process = await asyncio.create_subprocess_exec(
            *ENTER_SINK, sys.executable, "-P", "-m", "ringfence.prove.sink",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=16 * 1024 * 1024,
        )  # fmt: skip
        sink = cls(process)
        lay_cable((await sink._hear())["pid"])
        await sink._order(spec)
        return sink

    async def seen(self, **order: Any) -> Seen:
        """What has come until now; `names` and `texts` are told to it on the way."""
        row = await self._order(order)
        packets = {Packet(*fields[:-1]): int(fields[-1]) for fields in row["packets"]}
        looks = frozenset((flow[0], flow[1], flow[2]) for flow in row["looks"])
        return Seen(packets, int(row["missed"]), frozenset(row["arrived"]), looks, int(row["unsaid"]))

    async def settled(self) -> Seen:
        """What has come once nothing comes any more."""
        last = await self.seen()
        until = monotonic() + UNSAID_S
        while True:
            await asyncio.sleep(QUIET_S)
            now = await self.seen()
            if now.packets == last.packets and (not now.unsaid or monotonic() > until):
                return now
            last = now

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._hear()

    async def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise NotStarted("the sink ended unexpectedly; what it said stands above")
        return json.loads(line)


class House:
    """What an attempt has at hand. `key` is bound to the profile that is proven."""

    def __init__(self, folder: Path, scene: Mapping[str, Any], certificate: Path, certificate_key: Path) -> None:
        self.folder = folder
        self.scene = scene
        self.measure = Measure(scene["mesh"], scene["rented"], scene["own_names"], RESOLVER)
        self.models: dict[str, Any] = scene["config"]["models"]
        self.profile = ""
        self.key = ""
        self.sink: SinkProcess
        self.own_engine = FakeEngine("vllm", (FakeModel(scene_of.DECOY),))
        self.engine = FakeEngine("vllm", (FakeModel(scene_of.DECOY),))
        self.embedder = FakeEngine("vllm", (FakeModel(scene_of.DECOY, embeds=True),))
        self.broken = FakeEngine("vllm", (FakeModel(scene_of.DECOY),))
        self.redirecting = FakeEngine("vllm", (FakeModel(scene_of.DECOY),))
        self.ollama = FakeEngine("ollama", (FakeModel(scene_of.DECOY, remote_host="https://ollama.com"),))
        self._certificate, self._certificate_key = certificate, certificate_key
        self._up: asyncio.subprocess.Process | None = None
        self._root_url = ""
        self._config = folder / "ringfence.yaml"

    # -- its life -------------------------------------------------------------------------------------------------

    async def open(self, profile: str) -> None:
        """Start everything; a key is made for this profile. Raises NotStarted."""
        scene = self.scene
        self.profile = profile
        self.sink = await SinkProcess.start({
            "certificate": str(self._certificate), "key": str(self._certificate_key), "names": scene["names"],
            "tls_ports": scene["tls_ports"], "plain_ports": [80], "engine_ports": scene["engine_ports"],
        })  # fmt: skip
        for engine, port in (
            (self.own_engine, scene_of.OWN_PORT), (self.engine, scene_of.LOCAL_PORT),
            (self.embedder, scene_of.EMBEDDING_PORT), (self.broken, scene_of.BROKEN_PORT),
            (self.redirecting, scene_of.REDIRECTING_PORT), (self.ollama, scene_of.OLLAMA_PORT),
        ):  # fmt: skip
            await engine.start(port)
        self._config.write_text(json.dumps(scene["config"]), encoding="utf-8")  # JSON is YAML
        self._root_url = (await self._start())["base_url"].removesuffix("/v1")
        status, told = await self.ringfence("keys", "create", "proof", "--profile", profile, "--json")
        if status:
            raise NotStarted(told.strip())
        self.key = json.loads(told)["secret"]

    async def leave(self) -> None:
        """The program under proof ends, as at SIGTERM; the engines and the sink stay."""
        if self._up is not None and self._up.returncode is None:
            with suppress(ProcessLookupError):
                self._up.send_signal(signal.SIGTERM)
            await self._up.wait()

    async def close(self) -> None:
        await self.leave()
        for engine in self._engines:
            await engine.stop()
        if hasattr(self, "sink"):
            await self.sink.stop()

    @property
    def _engines(self) -> tuple[FakeEngine, ...]:
        return (self.own_engine, self.engine, self.embedder, self.broken, self.redirecting, self.ollama)

    @property
    def is_bound(self) -> bool:
        """True when the profile has one exact target and is refused every other."""
        return self.is_exact(self.profile)

    def is_exact(self, profile: str) -> bool:
        return bool(self.scene["config"]["profiles"][profile].get("exact"))

    @property
    def delegates(self) -> tuple[str, ...]:
        """Profiles under which keys of this one may call."""
        return tuple(self.scene["config"]["profiles"][self.profile].get("delegates", ()))

    def reach_of(self, profile: str) -> Reach:
        return Reach[self.scene["profiles"][profile].upper()]

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name in PASSED_ON} | {
            "HOME": str(self.folder), "RINGFENCE_STATE_DIR": str(self.state), "SSL_CERT_FILE": str(self._certificate),
        }  # fmt: skip

    async def _start(self) -> dict[str, Any]:
        self._up = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "ringfence", "up", "--json", "--config", str(self._config),
            env=self._environment(), stdout=subprocess.PIPE, cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._up.stdout is not None
        try:
            line = await asyncio.wait_for(self._up.stdout.readline(), START_S)
        except TimeoutError:
            raise NotStarted(f"it was not ready within {START_S:g} s") from None
        told: dict[str, Any] = json.loads(line) if line else {"error": "it ended without a word"}
        if "error" in told:
            raise NotStarted("; ".join([told["error"], *told.get("problems", [])]))
        return told

    async def ringfence(self, *words: str) -> tuple[int, str]:
        """A command of the owner's: its exit status, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "ringfence", *words, "--config", str(self._config),
            env=self._environment(), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    # -- what attempts use ----------------------------------------------------------------------------------------

    async def ask(self, path: str, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST") -> Said:
        """One request to the gateway with the profile's key, its answer read to the end."""
        return await asyncio.to_thread(self._ask, path, body, headers or {}, method)

    async def chat(self, text: str, model: str, headers: Mapping[str, str] | None = None, **more: Any) -> Said:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16} | more
        return await self.ask("/v1/chat/completions", body, headers)

    async def read(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> dict[str, Any]:
        """The object that the gateway answers with; empty where it answers with none."""
        raw = (await asyncio.to_thread(self._exchange, path, body, headers or {}, method))[1]
        with suppress(ValueError):
            return dict(json.loads(raw))
        return {}

    def _exchange(
        self, path: str, body: Any, headers: Mapping[str, str], method: str
    ) -> tuple[http.client.HTTPResponse | None, bytes]:
        """`body` that is bytes is sent as it is."""
        parts = urlsplit(self._root_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "connection": "close"}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
        try:
            connection.request(method, path, raw, sent | dict(headers))
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()

    def _ask(self, path: str, body: Any, headers: Mapping[str, str], method: str) -> Said:
        answer, raw = self._exchange(path, body, headers, method)
        if answer is None:
            return Said(0)
        code = kind = answer_id = ""
        if answer.status >= 400:
            with suppress(ValueError, KeyError, TypeError):
                answered = json.loads(raw)
                error = answered["error"]
                if isinstance(error, str):  # as Ollama has it, with our code beside it
                    code = str(answered["code"])
                    kind = "permission_error" if code in REFUSALS else ""
                else:
                    kind = str(error["type"])
                    code = str(error["code"] if "code" in error else error["details"]["error_code"])
        else:
            with suppress(ValueError, KeyError, TypeError):
                answer_id = str(json.loads(raw)["id"])
        target, location = answer.headers.get("x-ringfence-target") or "", answer.headers.get("location") or ""
        return Said(answer.status, code, target, kind, location, answer_id)

    async def heard(self, text: str) -> bool:
        """True when a stand-in was asked with this text: an engine of this machine, or what the sink plays."""
        calls = (call for engine in self._engines for call in engine.calls)
        return any(text in json.dumps(call.body) for call in calls) or text in (await self.sink.seen()).arrived

    async def served(self, text: str) -> Said:
        """The answer to a call that anybody may make, once a stand-in gives one: an engine may be about to start, or
        may rest after it failed. The last refusal when none does."""
        until = monotonic() + SERVED_S
        while True:
            said = await self.chat(text, "auto")
            if said.status == 200 or monotonic() > until:
                return said
            await asyncio.sleep(0.2)

    def weighed(self, after: Seen, before: Seen) -> list[Weighed]:
        """What came between two moments, and how far each packet would have got."""
        return [
            Weighed(packet, count, self.measure.reach(packet, after.looks)) for packet, count in after.since(before)
        ]
