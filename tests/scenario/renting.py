"""A whole Ringfence with rented clouds on loopback, with TLS, that keep every byte they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whole import Reply, ask, children, is_alive, made_key, question

from ringfence.testing.fake_cloud import Certificate, FakeCloud
from ringfence.testing.fake_cloud_answers import Saying
from ringfence.testing.ports import free_port

SECRET = "sk-rented-7f3a91c5e2d84b60"
KINDS = {"gateway": "ringfence.runtime.process", "egress": "ringfence.egress.process", "engine": "llamacpp_process"}


class Ear:
    """Reads for the fake cloud, and keeps every byte, also of requests that never came to an end."""

    def __init__(self, reader: asyncio.StreamReader, heard: list[bytes]) -> None:
        self._reader = reader
        self._heard = heard

    async def readuntil(self, end: bytes) -> bytes:
        return await self._kept(self._reader.readuntil(end))

    async def readexactly(self, size: int) -> bytes:
        return await self._kept(self._reader.readexactly(size))

    async def read(self) -> bytes:
        return await self._kept(self._reader.read())

    async def _kept(self, reading: Any) -> bytes:
        try:
            data: bytes = await reading
        except asyncio.IncompleteReadError as cut:
            self._heard.append(cut.partial)
            raise
        self._heard.append(data)
        return data


class Mouth:
    """Writes for the fake cloud, one event after the other, so that a stream can be struck while it runs."""

    def __init__(self, writer: asyncio.StreamWriter, cloud: HeardCloud) -> None:
        self._writer = writer
        self._cloud = cloud

    async def drain(self) -> None:
        await self._writer.drain()
        await asyncio.sleep(self._cloud.pause_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class HeardCloud(FakeCloud):
    def __init__(self, *told: Any, **more: Any) -> None:
        super().__init__(*told, **more)
        self.heard: list[bytes] = []
        self.pause_s = 0.005
        self.says = Saying(tuple(f" word{number}" for number in range(30)))

    async def _connected(self, reader: Any, writer: Any) -> None:
        await super()._connected(Ear(reader, self.heard), Mouth(writer, self))  # type: ignore[arg-type]


@contextlib.contextmanager
def clouds(
    certificate: Certificate, kinds: Mapping[str, str], made_by: type[HeardCloud] = HeardCloud
) -> Iterator[dict[str, HeardCloud]]:
    """One of each kind, by name, on a loop and a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(doing: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, loop).result(30)

    made = {name: made_by(kind, api_key=SECRET, certificate=certificate) for name, kind in kinds.items()}
    for cloud in made.values():
        wait(cloud.__aenter__())
    try:
        yield made
    finally:
        for cloud in made.values():
            wait(cloud.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@dataclass
class House:
    """A whole `ringfence up`, and the keys of its profiles."""

    process: subprocess.Popen[str]
    root_url: str
    folder: Path
    file: Path
    clouds: dict[str, HeardCloud]
    keys: dict[str, str] = field(default_factory=dict)

    def pids(self, kind: str) -> list[int]:
        """Every living process of a kind, as soon as it runs its own program."""
        found: list[int] = []
        for pid in children(self.process.pid):
            with contextlib.suppress(OSError):
                if KINDS[kind].encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and is_alive(pid):
                    found.append(pid)
        return found

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def make_keys(self, *profiles: str) -> None:
        for profile in profiles:
            self.keys[profile] = made_key(self, profile, profile=profile)

    def chat(self, profile: str, text: str = "hello", **more: Any) -> Reply:
        body = question(text, **({"max_tokens": 8} | more))
        return ask(self.root_url, "POST", "/v1/chat/completions", body, self.keys[profile])


def beside(certificate: Certificate, *words: str) -> list[str]:
    """The command that is `ringfence WORDS`, with clouds on loopback."""
    return [sys.executable, str(Path(__file__).with_name("beside_clouds.py")), str(certificate.cert_path), *words]


@contextlib.contextmanager
def started_up(file: Path, made: dict[str, HeardCloud], certificate: Certificate, **env: str) -> Iterator[House]:
    """`ringfence up` with the configuration in `file`, and with its state in a folder beside that."""
    folder = file.parent / "state"
    folder.mkdir(mode=0o700, exist_ok=True)
    program = beside(certificate, "up", "--json", "--port", str(free_port()), "--config", str(file))
    known = os.environ | {"RINGFENCE_STATE_DIR": str(folder), "RENTED_KEY": SECRET} | env
    with subprocess.Popen(program, env=known, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield House(process, ready["base_url"].removesuffix("/v1"), folder, file, made)
        finally:
            process.terminate()
            process.wait(40)
