"""A program in a network namespace of its own: Docker's rules, ours beside them, and who gets through with and without.

Reads {rules, certificate, key} from standard input, and writes for each case whether it got through with our table and
without, and how many packets came to the sink for it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ringfence.prove.house import SinkProcess
from ringfence.prove.network import ENTER_SINK, HOUSE_V4
from ringfence.tether import die_with_parent

INSIDE, EGRESS, NOBODY = ("4711", "4711"), ("4711", "4712"), ("4713", "4713")
BRIDGE = "br-engines"
TRY_S = 0.4
# As Docker writes them for a published port of a container: what comes for port 9000 of this machine, from outside or
# from here, goes to the container; and 8000 of this machine to a container on another host, as a routing mesh does it.
DOCKER = """
table ip nat {
  chain DOCKER {
    iifname "br-engines" counter return
    tcp dport 9000 counter dnat to 172.30.0.2:9000
    tcp dport 8000 counter dnat to 198.51.100.21:80
  }
  chain PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter jump DOCKER
  }
  chain OUTPUT {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER
  }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    oifname != "br-engines" ip saddr 172.30.0.0/24 counter masquerade
    oifname != "br-other" ip saddr 172.31.0.0/24 counter masquerade
  }
}
table ip filter {
  chain DOCKER-USER { counter return; }
  chain DOCKER { iifname != "br-engines" oifname "br-engines" ip daddr 172.30.0.2 tcp dport 9000 counter accept; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    oifname "br-engines" ct state related,established counter accept
    oifname "br-engines" counter jump DOCKER
    iifname "br-engines" oifname != "br-engines" counter accept
    oifname "br-other" ct state related,established counter accept
    iifname "br-other" oifname != "br-other" counter accept
  }
  chain OUTPUT { type filter hook output priority filter; policy accept; counter accept; }
}
"""
TRY = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
tried = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                      socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
tried.settimeout(float(sys.argv[4]))
try:
    tried.connect((address, port))
    if kind == "udp":
        tried.send(b"?")
except OSError:
    sys.exit(1)
"""
FAR = "198.51.100."
CASES: dict[str, tuple[str, tuple[str, str], str, str, int]] = {
    "gateway": ("house", INSIDE, "tcp", FAR + "11", 80),
    "gateway, udp": ("house", INSIDE, "udp", FAR + "12", 9999),
    "gateway, IPv6": ("house", INSIDE, "tcp", "2001:db8:9::13", 80),
    "gateway, led away by DNAT": ("house", INSIDE, "tcp", HOUSE_V4, 8000),
    "gateway, a resolver of this machine": ("house", INSIDE, "tcp", "127.0.0.53", 53),
    "gateway, mesh": ("house", INSIDE, "tcp", "10.1.0.5", 80),
    "gateway, loopback": ("house", INSIDE, "tcp", "127.0.0.1", 7001),
    "gateway, its engine in a container": ("house", INSIDE, "tcp", HOUSE_V4, 9000),
    "egress": ("house", EGRESS, "tcp", FAR + "14", 80),
    "egress, resolver": ("house", EGRESS, "udp", "10.5.5.5", 53),
    "egress, private": ("house", EGRESS, "tcp", "10.9.9.15", 80),
    "egress, mesh": ("house", EGRESS, "tcp", "10.1.0.6", 80),
    "egress, loopback": ("house", EGRESS, "tcp", "127.0.0.1", 7001),
    "egress, udp": ("house", EGRESS, "udp", FAR + "16", 9999),
    "somebody else": ("house", NOBODY, "tcp", FAR + "17", 80),
    "container": ("container", NOBODY, "tcp", FAR + "18", 80),
    "container, this machine": ("container", NOBODY, "tcp", "172.30.0.1", 7001),
    "another container": ("other", NOBODY, "tcp", FAR + "19", 80),
    "outside, a published port": ("sink", NOBODY, "tcp", HOUSE_V4, 9000),
    "outside, the gateway": ("sink", NOBODY, "tcp", HOUSE_V4, 7001),
}


def sh(*words: str, text: str | None = None) -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def listen(port: int, address: str = "0.0.0.0") -> socket.socket:
    listening = socket.create_server((address, port))
    listening.setblocking(False)
    return listening


async def begin_container(bridge: str, network: str) -> asyncio.subprocess.Process:
    """A namespace behind a cable named as Docker names a bridge, with something that listens in it."""
    serve = "import socket, sys; s = socket.create_server(('0.0.0.0', 9000)); print(flush=True); sys.stdin.read()"
    inside = f"read _ && ip link set lo up && ip link set eth0 up && ip addr add {network}.2/24 dev eth0 && " \
             f"ip route add default via {network}.1 && exec {sys.executable} -c \"{serve}\""  # fmt: skip
    container = await asyncio.create_subprocess_exec(
        *ENTER_SINK, "sh", "-c", f"echo && {inside}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert container.stdin is not None and container.stdout is not None
    await container.stdout.readline()
    sh("ip", "link", "add", bridge, "type", "veth", "peer", "name", "eth0", "netns", str(container.pid))
    sh("ip", "addr", "add", f"{network}.1/24", "dev", bridge)
    sh("ip", "link", "set", bridge, "up")
    container.stdin.write(b"\n")
    await container.stdout.readline()
    return container


async def got_through(where: list[str], who: tuple[str, str], kind: str, address: str, port: int) -> bool:
    tried = await asyncio.create_subprocess_exec(
        *where, "setpriv", "--reuid", who[0], "--regid", who[1], "--clear-groups", "--",
        "/usr/bin/env", "python3", "-I", "-S", "-c", TRY, kind, address, str(port), str(TRY_S),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return await tried.wait() == 0


async def tried(places: dict[str, list[str]]) -> dict[str, bool]:
    told = await asyncio.gather(
        *(got_through(places[place], who, *where) for place, who, *where in CASES.values())  # type: ignore[arg-type]
    )
    return dict(zip(CASES, told, strict=True))


async def drive(spec: dict[str, Any]) -> dict[str, Any]:
    sink = await SinkProcess.start({
        "certificate": spec["certificate"], "key": spec["key"], "names": {}, "tls_ports": [], "plain_ports": [80],
        "engine_ports": [],
    })  # fmt: skip
    held = [listen(7001), listen(53, "127.0.0.53")]
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    container, other = await begin_container(BRIDGE, "172.30.0"), await begin_container("br-other", "172.31.0")
    places = {"house": [], "container": ["nsenter", f"--net=/proc/{container.pid}/ns/net"],
              "other": ["nsenter", f"--net=/proc/{other.pid}/ns/net"],
              "sink": ["nsenter", f"--net=/proc/{sink._process.pid}/ns/net"]}  # fmt: skip
    sh("nft", "-f", "-", text=DOCKER)
    rows: dict[str, Any] = {}
    for name, change in (("with", ("-f", "-")), ("without", ("delete", "table", "inet", "ringfence"))):
        sh("nft", *change, text=spec["rules"] if name == "with" else None)
        before = await sink.settled()
        rows[name] = await tried(places)
        came = {packet.address for packet, _ in (await sink.settled()).since(before)}
        rows[f"came {name}"] = sorted(came)
    for listening in held:
        listening.close()
    for one in (container, other):
        one.terminate()
        await one.wait()
    await sink.stop()
    return rows


if __name__ == "__main__":
    import os

    die_with_parent(os.getppid())
    sys.stdout.write(json.dumps(asyncio.run(drive(json.loads(sys.stdin.readline())))) + "\n")
