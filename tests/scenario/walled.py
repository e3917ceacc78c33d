"""A program in a network namespace of its own that does with the shipped units what systemd would: the gateway in a
namespace without any route, egress in one that leads to the sink, and nothing between them but the socket.

Reads {config, folder, certificate, key, private, personal} from standard input, and writes what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ringfence.prove.house import SinkProcess
from ringfence.prove.network import ENTER_SINK, use_own_resolver
from ringfence.tether import die_with_parent

CLOUD, PROBED = "11.4.4.4", "11.5.5.5"
NAMES = {"api.rented.example": CLOUD}
RINGFENCE = (sys.executable, "-P", "-m", "ringfence")
UP = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh")
# What a unit's NoNewPrivileges= and MemoryDenyWriteExecute= ask of the kernel: prctl(2), and UMask=.
CONFINE = (
    "import ctypes, os, sys; c = ctypes.CDLL(None); c.prctl(38, 1, 0, 0, 0); c.prctl(65, 1, 0, 0, 0);"
    "os.umask(0o077); os.execvp(sys.argv[1], sys.argv[1:])"
)
ASK = """
import http.client, json, sys
asked = json.load(sys.stdin)
line = http.client.HTTPConnection("127.0.0.1", 7464, timeout=30)
line.request("POST", "/v1/chat/completions", json.dumps(asked["body"]), {"authorization": "Bearer " + asked["key"]})
answer = line.getresponse()
print(json.dumps([answer.status, answer.getheader("x-ringfence-target"), json.loads(answer.read())]))
"""


class Unit:
    """One shipped unit: what of it this program carries out."""

    def __init__(self, text: str, root: Path) -> None:
        lines = [line.partition("=")[::2] for line in text.splitlines() if "=" in line and not line.startswith("#")]
        self.settings: dict[str, list[str]] = {}
        for name, value in lines:
            self.settings.setdefault(name, []).append(value)
        self.command = shlex.split(self.settings["ExecStart"][-1])
        self.environment = dict(pair.split("=", 1) for pair in self.settings.get("Environment", []))
        self._root = root

    async def start(self, *around: str, **more: str) -> asyncio.subprocess.Process:
        """The process once it is ready."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        environment = kept | {"HOME": "/nonexistent"} | self.environment | self._credentials() | more
        process = await asyncio.create_subprocess_exec(
            *around, sys.executable, "-c", CONFINE, *self.command, env=environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, limit=2**20,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while "ready" not in (row := json.loads(await process.stdout.readline() or b'{"ended": true}')):
                assert not row.keys() & {"failed", "ended"}, row
        return process

    def _credentials(self) -> dict[str, str]:
        """As LoadCredential= has them: copies in a folder of the unit's own."""
        pairs = [line.split(":", 1) for line in self.settings.get("LoadCredential", [])]
        if not pairs:
            return {}
        folder = self._root / "credentials"
        folder.mkdir(exist_ok=True)
        for name, path in pairs:
            (folder / name).write_text((self._root / path.lstrip("/")).read_text())
        return {"CREDENTIALS_DIRECTORY": str(folder)}


class Gateway:
    """The running gateway, asked from within its own namespace."""

    def __init__(self, process: asyncio.subprocess.Process, unit: Unit, config: str) -> None:
        self.process, self._unit, self._config = process, unit, config

    async def within(self, *words: str, text: str = "") -> str:
        inner = await asyncio.create_subprocess_exec(
            "nsenter", f"--net=/proc/{self.process.pid}/ns/net", *words, env=os.environ | self._unit.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
        )  # fmt: skip
        return (await inner.communicate(text.encode()))[0].decode()

    async def ringfence(self, *words: str) -> Any:
        return json.loads(await self.within(*RINGFENCE, *words, "--json", "--config", self._config))

    async def ask(self, key: str, text: str) -> Any:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
        told = await self.within(sys.executable, "-I", "-c", ASK, text=json.dumps({"key": key, "body": body}))
        return json.loads(told)

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        await self.process.wait()


def printed(which: str, config: str, root: Path) -> Unit:
    words = [*RINGFENCE, "service", "print", which, "--config", config]
    return Unit(subprocess.run(words, capture_output=True, text=True, check=True).stdout, root)


async def look(gateway: Gateway, keys: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    private, personal, routes, routes6, to_probe, status, doctor = await asyncio.gather(
        gateway.ask(keys["private"], spec["private"]), gateway.ask(keys["personal"], spec["personal"]),
        gateway.within("ip", "route", "show"), gateway.within("ip", "-6", "route", "show"),
        gateway.within("ip", "route", "get", PROBED), gateway.ringfence("status"), gateway.ringfence("doctor"),
    )  # fmt: skip
    return {
        "private": private,
        "personal": personal,
        "routes": routes + routes6,
        "to_probe": to_probe,
        "isolation": status["isolation"],
        "doctor": [row for row in doctor if "solat" in row["what"] or "T1" in row["what"]],
    }


async def drive(spec: dict[str, Any]) -> dict[str, Any]:
    root = Path(spec["folder"])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
    Path("/var/lib/ringfence").mkdir(mode=0o700)  # as the tmpfiles do
    sink = await SinkProcess.start({
        "certificate": spec["certificate"], "key": spec["key"], "names": NAMES, "tls_ports": [443], "plain_ports": [80],
        "engine_ports": [],
    })  # fmt: skip
    use_own_resolver(root)
    await sink.seen(texts=[spec["private"], spec["personal"]])
    inside, outside = printed("gateway", spec["config"], root), printed("egress", spec["config"], root)
    egress = await outside.start(SSL_CERT_FILE=spec["certificate"])
    rows: dict[str, Any] = {"claims": inside.environment.get("RINGFENCE_ISOLATED")}
    gateway = Gateway(await inside.start(*ENTER_SINK, *UP), inside, spec["config"])
    keys = {name: (await gateway.ringfence("keys", "create", name, "--profile", name))["secret"]
            for name in ("private", "personal")}  # fmt: skip
    rows["walled"] = await look(gateway, keys, spec)
    rows["arrived"] = sorted((await sink.settled()).arrived)
    rows["probed"] = len([packet for packet in (await sink.settled()).packets if packet.address == PROBED])
    await gateway.stop()

    gateway = Gateway(await inside.start(), inside, spec["config"])  # the same unit, and nothing that keeps it in
    rows["open"] = await look(gateway, keys, spec)
    packets = (await sink.settled()).packets
    rows["probe_bytes"] = max(packet.size_bytes for packet in packets if packet.address == PROBED)
    subprocess.run(["ip", "route", "add", "blackhole", f"{PROBED}/32"], check=True)
    rows["reloaded"] = await gateway.ringfence("config", "reload")
    rows["mended"] = await look(gateway, keys, spec)
    subprocess.run(["ip", "route", "del", "blackhole", f"{PROBED}/32"], check=True)
    await gateway.ringfence("config", "reload")
    rows["opened"] = await gateway.ask(keys["private"], spec["private"])
    await gateway.stop()
    egress.send_signal(signal.SIGTERM)
    await egress.wait()
    rows["arrived_after"] = sorted((await sink.settled()).arrived)
    await sink.stop()
    return rows


if __name__ == "__main__":
    die_with_parent(os.getppid())
    sys.stdout.write(json.dumps(asyncio.run(drive(json.loads(sys.stdin.readline())))) + "\n")
