"""Seeds with real processes: `ringfence up` in a network namespace, the drawn house around it, a sink for all that
leaves. A program that runs in that namespace; one line of JSON in, one for each seed out, up to the first that leaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import oracle
from asks import Ask, draw_ask, key_of
from house import FOUND_PORTS, PORTS, PROFILES, RENTED, House, draw_house
from stage import ELSEWHERE, Stage, engine_rows
from wires import shown

from ringfence.prove.network import ENTER_SINK, RESOLVER, lay_cable, use_own_resolver
from ringfence.store import keys
from ringfence.store.db import Database
from ringfence.store.private_file import make_private_folder
from ringfence.tether import die_with_parent

ASKS = 8
CLOUD_PORT = 443
START_S, ANSWER_S, QUIET_S = 20.0, 30.0, 0.02
FIRST: dict[str, Any] = {
    "discovery": {"adopt": False},
    "models": {"far": {"provider": "rented", "price": {"input": 3, "output": 15}}},
}


@dataclass
class Seen:
    """Since it was looked last: connections with packets, and what was asked on them. The number of an ask goes with
    where it came, and whether the engine there sends its text on."""

    flows: list[tuple[str, str, int, int, str]] = field(default_factory=list[tuple[str, str, int, int, str]])
    looks: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    told: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    """Connections on which a text came."""
    asks: list[tuple[int, str, bool]] = field(default_factory=list[tuple[int, str, bool]])
    packets: int = 0

    def heard(self, rows: list[Any]) -> None:
        for address, source, port, looks, asks in rows:
            if looks:
                self.looks.add((address, source, port))
            if asks:
                self.told.add((address, source, port))
            self.asks += [(number, address, is_away) for number, is_away in asks]


class Street:
    """The namespace: its players, its sink, its gateway."""

    def __init__(self, folder: Path, certificate: Path, key: Path) -> None:
        self._folder, self._certificate, self._key = folder, certificate, key
        self._state = folder / "state"
        self._config = folder / "ringfence.yaml"
        self._hosts = folder / "hosts"
        self._stage = Stage(has_way_out=True)
        self._secrets: dict[str, str] = {}
        self._far: asyncio.subprocess.Process
        self._up: asyncio.subprocess.Process
        self._port = 0
        self._admin = ""

    # -- its life -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Sink, cable and gateway. What the sink cannot see would prove nothing, so that is tried first."""
        self._far = await asyncio.create_subprocess_exec(
            *ENTER_SINK, sys.executable, str(Path(__file__).with_name("far.py")),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=16 * 1024 * 1024,
        )  # fmt: skip
        lay_cable(json.loads(await self._far.stdout.readline())["pid"])  # type: ignore[union-attr]
        ports = sorted({port + n * 20 for port in PORTS.values() for n in range(4)} | {*FOUND_PORTS, 80})
        await self._order({"certificate": str(self._certificate), "key": str(self._key), "names": RENTED,
                           "ports": ports})  # fmt: skip
        await self._can_see()
        make_private_folder(self._state)
        self._secrets = _make_keys(self._state)
        self._config.write_text(json.dumps(FIRST | {"providers": _providers()}))
        self._up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ringfence", "up", "--json", "--port", "0", "--config", str(self._config),
            env=os.environ | {"RINGFENCE_STATE_DIR": str(self._state), "SSL_CERT_FILE": str(self._certificate),
                              "RENTED_KEY": "sk-made-up", "HOME": str(self._folder)},
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self._folder,
        )  # fmt: skip
        ready = json.loads(await asyncio.wait_for(self._up.stdout.readline(), START_S))  # type: ignore[union-attr]
        self._port = int(ready["base_url"].rsplit(":", 1)[1].split("/")[0])
        self._admin = (self._state / "admin.token").read_text().strip()

    async def close(self) -> None:
        if hasattr(self, "_up"):
            with contextlib.suppress(ProcessLookupError):
                self._up.send_signal(signal.SIGINT)
            await self._up.wait()
        await self._stage.close()
        if hasattr(self, "_far") and self._far.stdin is not None:
            self._far.stdin.close()
            await self._far.wait()

    async def _can_see(self) -> None:
        _, writer = await asyncio.wait_for(asyncio.open_connection(ELSEWHERE, 80), 5)
        writer.close()
        seen = await self.seen()
        assert [flow for flow in seen.flows if flow[0] == ELSEWHERE], "the sink is blind"

    # -- what is done ---------------------------------------------------------------------------------------------

    async def move_in(self, house: House) -> bool:
        """Have the gateway read this house; then names lead elsewhere. False when it refuses to."""
        self._lead(house.answers)
        near = [place for place in house.engines if oracle.lies(place[0], []) == oracle.HOST]
        rows = engine_rows(house.engines)
        await self._stage.listen(near)
        self._stage.told({"engines": rows, "troubles": []})
        await self._order({"engines": rows, "troubles": [], "names": house.clouds})
        self._config.write_text(json.dumps(house.written))
        status, body = await self._ask("POST", "/control/v1/config/reload", self._admin, {}, b"{}")
        told = json.loads(body)
        assert status == 200, told
        self._lead(house.later)
        return bool(told["ok"])

    def _lead(self, answers: dict[str, tuple[str, ...]]) -> None:
        """Where names lead from now on. The file is written in place: it is mounted."""
        lines = [f"{address} {name}" for name, addresses in answers.items() for address in addresses]
        self._hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    async def ask(self, ask: Ask) -> int:
        """One request; the status of its answer, 0 where it did not wait for one."""
        order = {"troubles": list(ask.troubles)}
        self._stage.told(order)
        await self._order(order)
        headers = {name: value for name, value in ask.headers().items() if name != "authorization"}
        asking = self._ask("POST", ask.path, self._secrets[ask.key], headers, json.dumps(ask.body).encode())
        with contextlib.suppress(TimeoutError):
            return (await asyncio.wait_for(asking, ask.leaves_after_s or ANSWER_S))[0]
        assert ask.leaves_after_s is not None, "an answer never came"
        return 0

    async def seen(self) -> Seen:
        """Everything since it was looked last, once nothing more comes."""
        seen = Seen()
        while True:
            row = await self._order({})
            assert not row["missed"], "packets came too fast to be looked at"
            seen.flows += [tuple(flow) for flow in row["flows"]]
            seen.packets += row["packets"]
            seen.heard(row["heard"])
            seen.heard(self._stage.reports())
            if not row["packets"]:
                return seen
            await asyncio.sleep(QUIET_S)

    async def _ask(self, method: str, path: str, key: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = {"host": "localhost", "authorization": f"Bearer {key}", "connection": "close",
                 "content-type": "application/json", "content-length": str(len(body))} | headers  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            data = await reader.read()
        finally:
            writer.close()
        start, _, said = data.partition(b"\r\n\r\n")
        return int(start[9:12] or b"0"), said

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._far.stdin is not None and self._far.stdout is not None
        self._far.stdin.write(json.dumps(order).encode() + b"\n")
        return json.loads(await self._far.stdout.readline())


def _providers() -> dict[str, Any]:
    return draw_house(Random(0)).written["providers"]


def _make_keys(state: Path) -> dict[str, str]:
    """A key for each profile that may come, as `ringfence keys create` would make it."""
    db = Database(state / "ringfence.db")
    db.migrate()
    names = (*PROFILES, "gone")
    made = db.call(lambda c: [keys.create(c, keys.find_pepper(c, state), name=name, profile=name, created_s=1)
                              for name in names])  # fmt: skip
    db.close()
    return {key_of(name): secret for name, (_, secret) in zip(names, made, strict=True)}


class Trial:
    """Seeds, one after another, against one gateway."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._numbers = count(1)
        self._asked: dict[int, tuple[Ask, House]] = {}
        self._looked_at: list[str] = []
        """The networks of the house in force: its engines are looked at until the moment that another is. And those of
        houses that were tried since, and did not come up."""
        self.count: Counter[str] = Counter()
        self.leaks: list[str] = []

    async def seed(self, seed: int) -> None:
        """Houses are drawn until one comes up; then requests to it."""
        rng = Random(seed)
        while True:
            house = draw_house(rng)
            must_not = [*oracle.faults(house)] or [*oracle.strays(house, is_first=True)]
            if await self._street.move_in(house):
                break
            self.count["houses refused" if must_not else "houses not served"] += 1
            self._looked_at = [*self._looked_at, *house.written["mesh"]]  # before it was found not to do
        self.count["houses up"] += 1
        if must_not:
            self.leaks.append(f"came up although {must_not[0]}")
        await self._judge(await self._street.seen(), None, house)
        self._looked_at = house.written["mesh"]
        for _ in range(ASKS):
            ask = draw_ask(rng, house, next(self._numbers))
            self._asked[ask.number] = (ask, house)
            status = await self._street.ask(ask)
            self.count["asks"] += 1
            self.count[f"status {status}"] += 1
            await self._judge(await self._street.seen(), ask, house)
        self.leaks[:] = [leak if leak.startswith("seed") else f"seed {seed}: {leak}" for leak in self.leaks]

    async def _judge(self, seen: Seen, ask: Ask | None, house: House) -> None:
        """Each connection by where its packets went; each text by where it came. A look that ends as it begins, as its
        house is given up, leaves a connection on which nothing was said."""
        mesh, may = house.written["mesh"], oracle.widest(house, ask) if ask is not None else oracle.NOWHERE
        looked_at = mesh if ask is not None else [*mesh, *self._looked_at]
        self.count["packets"] += seen.packets
        went = oracle.NOWHERE
        for address, protocol, source, port, name in seen.flows:
            lies = oracle.lies(address, mesh) if address else oracle.CLOUD
            at = address, source, port
            is_look = at in seen.looks or (ask is None and at not in seen.told)
            if is_look and oracle.lies(address, looked_at) < oracle.CLOUD:
                continue
            if address == RESOLVER and name not in RENTED:
                self.leaks.append(f"asked for the name {name}")
            went = max(went, lies)
            is_nobodys = lies == oracle.CLOUD and address not in (RESOLVER, *RENTED.values())
            if is_nobodys or (port == CLOUD_PORT and address not in RENTED.values()):
                self.leaks.append(f"packets to {address}:{port}, with {self._shown(ask, house, may)}")
            elif lies > may:
                self.leaks.append(
                    f"packets to {address}:{port} ({protocol} {name}) with {self._shown(ask, house, may)}"
                )
        for number, address, is_away in seen.asks:
            of, its = self._asked[number]
            lies = oracle.CLOUD if is_away else oracle.lies(address, its.written["mesh"])
            went = max(went, lies)
            if lies > oracle.widest(its, of):
                self.leaks.append(f"a text came to {address}: {self._shown(of, its, oracle.widest(its, of))}")
        if ask is not None:
            self.count[f"went to {oracle.WORDS[went]}"] += 1
            self.count[f"might reach {oracle.WORDS[may]}"] += 1

    @staticmethod
    def _shown(ask: Ask | None, house: House, may: int) -> str:
        return f"a call that may reach {oracle.WORDS[may]}: {shown(ask, house)}" if ask is not None else "no call"


async def _run(spec: dict[str, Any]) -> None:
    street = Street(Path(spec["folder"]), Path(spec["certificate"]), Path(spec["key"]))
    trial = Trial(street)
    try:
        await street.open()
        for seed in spec["seeds"]:
            await trial.seed(seed)
            print(json.dumps({"count": trial.count, "leaks": trial.leaks}), flush=True)
            if trial.leaks:
                break
            trial.count.clear()
            trial.leaks.clear()
    finally:
        await street.close()


def main() -> None:
    die_with_parent(os.getppid())
    spec = json.loads(sys.stdin.readline())
    folder = Path(spec["folder"])
    use_own_resolver(folder)
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    subprocess.run(["mount", "--bind", str(folder / "hosts"), "/etc/hosts"], check=True)
    asyncio.run(_run(spec))


if __name__ == "__main__":
    main()
