"""[pure] What a packet was and where it would have gone; and how far that lies. None of it asks the product."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

ETHERNET_BYTES = 14
IPV4, IPV6 = 0x0800, 0x86DD
UDP, TCP, ICMPV6 = 17, 6, 58
NAMES_PORT = 53
LINK_MULTICAST = ip_network("ff02::/16")


class Reach(IntEnum):
    """How far a packet would have got. The proof's own measure: it must not fall for a mistake of the product's."""

    HOST = 0
    MESH = 1
    CLOUD = 2
    ELSEWHERE = 3
    """Neither listed nor rented: no profile lets anything go there."""


class Packet(NamedTuple):
    """One that left, from port `source`; `name` is what was asked for, where it is a question for a name."""

    address: str
    protocol: str
    source: int
    port: int
    name: str
    size_bytes: int


Flow = tuple[str, int, int]
"""Address, source port and port of a connection."""


def read_packet(frame: bytes) -> Packet | None:
    """None for what the system says on its own to whoever is on the cable: neighbour discovery and its like."""
    kind = int.from_bytes(frame[12:14], "big")
    data = frame[ETHERNET_BYTES:]
    if kind == IPV4 and len(data) >= 20:
        address: IPv4Address | IPv6Address = IPv4Address(data[16:20])
        protocol, rest = data[9], data[(data[0] & 15) * 4 :]
    elif kind == IPV6 and len(data) >= 40:
        address = IPv6Address(data[24:40])
        protocol, rest = data[6], data[40:]
        if address in LINK_MULTICAST and protocol in (ICMPV6, 0):  # 0: with the hop-by-hop options of MLD
            return None
    else:
        return Packet("", f"ethernet {kind:#06x}", 0, 0, "", len(frame))
    has_ports = protocol in (UDP, TCP)
    source, port = (int.from_bytes(rest[at : at + 2], "big") if has_ports else 0 for at in (0, 2))
    name = question(rest[8:]) if protocol == UDP and port == NAMES_PORT else ""
    words = {UDP: "udp", TCP: "tcp"}.get(protocol, str(protocol))
    return Packet(str(address), words, source, port, name, len(frame))


def question(message: bytes) -> str:
    """The name that a DNS message asks for, in lower case; empty when it cannot be read (RFC 1035, 4.1)."""
    labels: list[str] = []
    at = 12
    while at < len(message) and 0 < (size := message[at]) < 64:
        labels.append(message[at + 1 : at + 1 + size].decode("ascii", "replace").lower())
        at += 1 + size
    return ".".join(labels)


def answer(message: bytes, address: str | None) -> bytes:
    """The answer to a DNS question: this address for one second, or that there is no such record."""
    at = 12
    while at < len(message) and message[at]:
        at += 1 + message[at]
    asked, kind = message[12 : at + 5], int.from_bytes(message[at + 1 : at + 3], "big")
    packed = ip_address(address).packed if address is not None else b""
    fits = {4: 1, 16: 28}.get(len(packed)) == kind
    head = message[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if fits else b"\x00\x00") + b"\x00\x00\x00\x00"
    if not fits:
        return head + asked
    return head + asked + b"\xc0\x0c" + message[at + 1 : at + 5] + (1).to_bytes(4, "big") + _sized(packed)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


class Measure:
    """How far packets go, by the networks that are listed and the addresses that are rented."""

    def __init__(
        self, mesh: Collection[str], rented: Mapping[str, str], own_names: Collection[str], resolver: str
    ) -> None:
        """`rented`: host name -> address of each provider. `own_names`: hosts of the configuration's own engines."""
        self._mesh = [ip_network(text) for text in mesh]
        self._rented = dict(rented)
        self._own_names = frozenset(own_names)
        self._resolver = resolver

    def reach(self, packet: Packet, looks: Collection[Flow] = ()) -> Reach:
        """`looks`: connections on which the house did nothing but look whether its own engine is there."""
        if (packet.address, packet.source, packet.port) in looks:
            return Reach.HOST
        if packet.address == self._resolver and packet.protocol == "udp" and packet.port == NAMES_PORT:
            if packet.name in self._own_names:
                return Reach.HOST  # the name of one's own engine, out of the configuration
            return Reach.CLOUD if packet.name in self._rented else Reach.ELSEWHERE
        if not packet.address:
            return Reach.ELSEWHERE
        address = ip_address(packet.address)
        if any(address in network for network in self._mesh if network.version == address.version):
            return Reach.MESH
        return Reach.CLOUD if packet.address in self._rented.values() else Reach.ELSEWHERE
