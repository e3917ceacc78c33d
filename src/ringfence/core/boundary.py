"""How far text may travel: HOST < MESH < CLOUD, decided by the address that is dialled, never by a name.

Only what is certain is near. HOST is loopback and nothing else: of every other address it depends on routes and
interfaces, which change, whether the kernel keeps it here. MESH is private address space that is listed. The rest is
CLOUD: public, link-local, multicast, broadcast, documentation and benchmark ranges, carrier-grade NAT that is not
listed (Tailscale's range too), and whatever tunnels or translates.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""Address space that the internet does not route: RFC 1918, carrier-grade NAT (RFC 6598), unique local IPv6 (RFC 4193).

A mesh lies in it: a listed network that is wider, or public, makes no address outside of it MESH.
"""

NOT_PUBLIC: tuple[Network, ...] = PRIVATE + tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 itself reaches this host on Linux
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host below a virtual machine of Azure, in public space
        "169.254.0.0/16",  # link-local, where most clouds keep a machine's credentials
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation, as are 198.51.100.0/24 and 203.0.113.0/24
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation, as is 3fff::/20
        "2002::/16",  # 6to4, deprecated
        "3fff::/20",
    )
)
"""From the special-purpose registries of IANA (RFC 6890). Of IPv6 only 2000::/3 is public at all."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = frozenset((0x00005EFE, 0x02005EFE))
"""The upper half of an interface identifier whose lower half is an IPv4 address (RFC 5214)."""


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
    """The boundary of a literal IP address: loopback is HOST, private and in a listed network is MESH, else CLOUD.

    An address that wraps another is judged as the wider of what it is and what it wraps, so 2002:7f00:1:: is no
    loopback. One that the kernel itself takes for the IPv4 address in it (::ffff:a.b.c.d) is that address. With a
    zone (fe80::1%eth0) it is CLOUD: it means another machine on each link. So are 0.0.0.0 and ::, though dialling
    them stays here on Linux: it is an accident of the kernel, and no engine is configured so on purpose.
    Raises ValueError for anything that is not a literal address: names must be resolved, and the result pinned,
    before they are judged.
    """
    return _judged(address, mesh)


def is_public(address: str) -> bool:
    """True for a literal address that can be a cloud: routed on the internet, both it and what it wraps.

    This is not `boundary_of(...) is CLOUD`, which says how far text may end up; it is for what must not turn out to
    be this machine, its network, or the credentials service of the cloud it runs in. Raises ValueError likewise.
    """
    parsed = _unmapped(ip_address(address))
    if isinstance(parsed, IPv4Address):
        return _is_routed(parsed)
    if parsed.scope_id is not None:
        return False
    inner = wrapped_in(parsed)
    if parsed in NAT64:  # what a network without IPv4 answers for every name that has only IPv4
        return all(_is_routed(one) for one in inner)
    return parsed in GLOBAL_UNICAST and _is_routed(parsed) and all(_is_routed(one) for one in inner)


def wrapped_in(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses where a tunnel or a translator may take packets for this IPv6 address.

    Mapped, compatible (::/96) and translated (::ffff:0:0:0/96) addresses, NAT64 (RFC 6052), 6to4, ISATAP, and server
    and client of Teredo. Where 64:ff9b:1::/48 (RFC 8215) has it is up to who runs the translator: not told here, and
    never near nor public.
    """
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    is_embedded = number >> 32 in (0, 0xFFFF, 0xFFFF0000) or address in NAT64
    return (low,) if is_embedded or (number >> 32) & 0xFFFFFFFF in ISATAP else ()


@lru_cache(maxsize=1024)
def _judged(address: str, mesh: tuple[Network, ...]) -> Boundary:
    """Kept, as it is asked for at every dial."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return Boundary.CLOUD
    parsed = _unmapped(parsed)
    if parsed.is_loopback:
        return Boundary.HOST
    return max([_own(parsed, mesh), *(_own(inner, mesh) for inner in wrapped_in(parsed))])


def _own(address: Address, mesh: tuple[Network, ...]) -> Boundary:
    """Of this address as such, whatever it wraps."""
    if address.is_loopback:
        return Boundary.HOST
    return Boundary.MESH if _in_any(address, PRIVATE) and _in_any(address, mesh) else Boundary.CLOUD


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None and address.scope_id is None:
        return address.ipv4_mapped
    return address


def _is_routed(address: Address) -> bool:
    return not _in_any(address, NOT_PUBLIC)


def _in_any(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
