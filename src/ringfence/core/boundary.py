"""How far text may travel: HOST < MESH < CLOUD, decided by the address that is dialled, never by a name."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Boundary(IntEnum):
    """Ordered: a call allowed to reach MESH may also stay on HOST."""

    HOST = 0
    MESH = 1
    CLOUD = 2

    def permits(self, reached: Boundary) -> bool:
        """True when text bounded by `self` may go to a place that lies at `reached`."""
        return reached <= self

    @classmethod
    def parse(cls, text: str) -> Boundary:
        """'host', 'mesh' or 'cloud' in any case; ValueError for anything else."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise ValueError(f"'{text}' is not a boundary; use host, mesh or cloud") from None


def boundary_of(address: str, mesh: tuple[Network, ...] = ()) -> Boundary:
    """The boundary of a literal IP address. Loopback is HOST, a listed mesh network is MESH, all else is CLOUD.

    An IPv4 address wrapped in IPv6 (::ffff:a.b.c.d) is judged as what it wraps. Raises ValueError for anything
    that is not a literal address: names must be resolved, and the result pinned, before they are judged.
    """
    parsed: Address = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return Boundary.HOST
    if any(parsed in network for network in mesh if network.version == parsed.version):
        return Boundary.MESH
    return Boundary.CLOUD
