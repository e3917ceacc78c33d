"""The proof from outside: a scene is made of the configuration, and each profile is proven in a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from ringfence import __version__
from ringfence.config.schema import Config
from ringfence.prove.network import ENTER, NoNamespace, check_tools
from ringfence.prove.temptations import CLOUD_HOST, Scene, system_look_up, tempt
from ringfence.prove.verdict import PROVES, Verdict
from ringfence.testing.fake_cloud import make_certificate

CLOUD_KEY = "prove-made-up-key"
MOST_SECONDS = 600
END_S = 5.0
DELEGATES, THE_END = "delegates", "the-end"
AT_ONCE = 3
"""Profiles proven at a time; most of it is waiting."""


@dataclass(slots=True)
class ProfileProof:
    """One profile: its rows in the order in which they were tried. `failed` says why it could not be tried."""

    profile: str
    boundary: str
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failed: str = ""
    clouds: list[str] = field(default_factory=list[str])
    """Hosts of the owner's rented clouds that it may reach."""
    delegates: dict[str, str] = field(default_factory=dict[str, str])
    """Profiles that its keys may call as, and how far each reaches."""

    @property
    def is_proven(self) -> bool:
        return not self.failed and bool(self.rows) and all(row["verdict"] in PROVES for row in self.rows)

    @property
    def open_ways(self) -> list[dict[str, Any]]:
        """Rows that prove nothing, or worse."""
        return [row for row in self.rows if row["verdict"] not in PROVES]

    @property
    def has_leak(self) -> bool:
        return any(row["verdict"] == Verdict.LEAK for row in self.rows)

    @property
    def went(self) -> list[dict[str, Any]]:
        """Rows of which packets left."""
        return [row for row in self.rows if row["packets"]]

    @property
    def in_words(self) -> str:
        """The verdict on the profile, as one sentence."""
        if self.failed:
            return f"{self.profile} could not be tried: {self.failed}"
        if leaks := [row["way"] for row in self.rows if row["verdict"] == Verdict.LEAK]:
            return f"{self.profile} leaks by: {', '.join(leaks)}"
        if self.open_ways:
            return f"{self.profile} is not proven: {', '.join(row['way'] for row in self.open_ways)}"
        own = [row for row in self.rows if row["way"] not in (DELEGATES, *(self.delegates and (THE_END,)))]
        if any(row["packets"] for row in own):
            where = f"{self.boundary}: {', '.join(self.clouds)}" if self.clouds else self.boundary
            return (
                f"For {self.profile}, packets went where its configuration lets them ({where}) and nowhere else: "
                f"{len(self.rows)} ways were tried.{self._for_delegates}"
            )
        nothing = f"Nothing left for {self.profile}: {len(self.rows)} ways were tried, and not one packet got out"
        return f"{nothing} in its own name.{self._for_delegates}" if self._for_delegates else f"{nothing}."

    @property
    def _for_delegates(self) -> str:
        """What its keys may do as others, where those reach beyond this machine."""
        wider = [f"{name} ({reach})" for name, reach in self.delegates.items() if reach != "host"]
        if not wider:
            return ""
        row = next((row for row in self.rows if row["way"] == DELEGATES), None)
        done = "that was not tried" if row is None else "and did" if row["packets"] else "and nothing left"
        return f" But its keys may call as {', '.join(wider)}, {done}."


@dataclass(slots=True)
class Proof:
    """All of it, as it is printed, exported and shown."""

    at: str
    version: str
    config: str
    digest: str
    """SHA-256 of the configuration's file; empty without one."""
    profiles: list[ProfileProof]
    notes: list[str]

    @property
    def is_proven(self) -> bool:
        return bool(self.profiles) and all(one.is_proven for one in self.profiles)

    @property
    def matrix(self) -> list[tuple[str, str, list[dict[str, Any] | None]]]:
        """Way, what it is, and its row under each profile; None where a profile has no such way."""
        texts = {row["way"]: row["text"] for one in self.profiles for row in one.rows}
        by_profile = [{row["way"]: row for row in one.rows} for one in self.profiles]
        return [(way, text, [rows.get(way) for rows in by_profile]) for way, text in texts.items()]

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "proven": self.is_proven, "at": self.at, "version": self.version, "config": self.config,
            "digest": self.digest, "notes": self.notes,
            "profiles": [
                {
                    "profile": one.profile, "boundary": one.boundary, "clouds": one.clouds,
                    "delegates": one.delegates, "proven": one.is_proven, "failed": one.failed,
                    "in_words": one.in_words, "ways": one.rows,
                }
                for one in self.profiles
            ],
        }  # fmt: skip


Watch = Callable[[str, str], None]
"""Told, from several threads, of each way that was tried: the profile, and the way."""


def prove(
    config: Config, named: str, content: bytes = b"", profiles: Sequence[str] = (), ways: Sequence[str] = (),
    watch: Watch = lambda _profile, _way: None,
) -> Proof:  # fmt: skip
    """Prove these profiles, or all, in these ways, or all. `named` is what the configuration is called in the report,
    `content` its file.

    Raises NoNamespace when this machine has no room for it.
    """
    check_tools()
    with tempfile.TemporaryDirectory(prefix="ringfence-prove-") as made:
        folder = Path(made)
        key_file = folder / "cloud-key"
        key_file.write_text(CLOUD_KEY, encoding="ascii")
        key_file.chmod(0o600)
        scene = tempt(config, str(key_file), system_look_up)
        try:
            certificate = make_certificate(folder, tuple(dict.fromkeys((CLOUD_HOST, *scene.rented))))
        except FileNotFoundError:
            raise NoNamespace("'openssl' is missing; on Debian: apt-get install openssl") from None
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        digest = sha256(content).hexdigest() if content else ""
        proof = Proof(at, __version__, named, digest, [], scene.notes)
        specs = [
            {
                "profile": profile, "ways": list(ways), "scene": scene.as_row(), "folder": str(folder / f"house-{at}"),
                "certificate": str(certificate.cert_path), "certificate_key": str(certificate.key_path),
            }
            for at, profile in enumerate(profiles or scene.profiles)
        ]  # fmt: skip
        running = _Running()
        with ThreadPoolExecutor(AT_ONCE) as several:
            try:
                proof.profiles += several.map(lambda spec: _prove_one(scene, spec, watch, running), specs)
            except BaseException:  # asked to end, most often
                several.shutdown(wait=False, cancel_futures=True)
                running.end()
                raise
    return proof


class _Running:
    """The processes in which profiles are proven now."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._has_ended = False

    def start(self) -> subprocess.Popen[str]:
        """In a session of its own, so that Ctrl-C reaches us alone. Raises CancelledError after the end."""
        with self._lock:
            if self._has_ended:
                raise CancelledError
            process = subprocess.Popen(
                [*ENTER, sys.executable, "-P", "-m", "ringfence.prove.inside"], text=True, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            self._processes.add(process)
            return process

    def stop(self, process: subprocess.Popen[str]) -> None:
        """Returns when nothing of it is left: the end of its input ends all of it, and it is waited for."""
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        """All that run now, and none from now on."""
        with self._lock:
            self._has_ended = True
            processes = list(self._processes)
        for process in processes:
            self.stop(process)


def _prove_one(scene: Scene, spec: dict[str, Any], watch: Watch, running: _Running) -> ProfileProof:
    profile = spec["profile"]
    delegates = {name: scene.profiles[name] for name in scene.config["profiles"][profile].get("delegates", ())}
    clouds = scene.clouds if scene.profiles[profile] == "cloud" else []
    proof = ProfileProof(profile, scene.profiles[profile], clouds=clouds, delegates=delegates)
    Path(spec["folder"]).mkdir(mode=0o700)
    for row in _told(spec, running):
        if "failed" in row:
            proof.failed = row["failed"]
        elif "row" in row:
            proof.rows.append(row["row"])
            watch(profile, row["row"]["way"])
    if not proof.rows and not proof.failed:
        proof.failed = "the proof ended without a word; what went wrong stands above"
    return proof


def _told(spec: dict[str, Any], running: _Running) -> Iterator[dict[str, Any]]:
    """What the process in the namespace says, line by line; it is ended with us, and after a bounded time."""
    process = running.start()
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(spec) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            yield json.loads(line)
        process.wait(MOST_SECONDS)
    finally:
        running.stop(process)
