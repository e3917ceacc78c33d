"""For every address: only what the kernel keeps here is HOST, no listing makes anything nearer than MESH, and no
disguise makes an address nearer than it is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringfence.core.boundary import PRIVATE, Boundary, Network, boundary_of, is_public

V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)
# Chance alone finds no loopback and hardly a disguise.
NEAR_V4 = st.sampled_from(["127.0.0.0/8", *(str(network) for network in PRIVATE if network.version == 4)]).flatmap(
    lambda text: st.ip_addresses(network=text)
)
ODD_V6 = st.sampled_from(
    ["::/64", "::ffff:0:0/96", "::ffff:0:0:0/96", "2001::/32", "2002::/16", "64:ff9b::/32", "fc00::/7", "fe80::/10"]
).flatmap(lambda text: st.ip_addresses(network=text))
ADDRESSES = st.one_of(V4, V6, NEAR_V4, ODD_V6)


def network_around(address: IPv4Address | IPv6Address, length: int) -> Network:
    return ip_network(f"{address}/{length % (address.max_prefixlen + 1)}", strict=False)


NETWORKS = st.builds(network_around, ADDRESSES, st.integers(0, 128))
MESHES = st.lists(NETWORKS, max_size=4).map(tuple)

WRAPPINGS: dict[str, Callable[[IPv4Address], str]] = {
    "mapped": lambda inner: f"::ffff:{inner}",
    "compatible": lambda inner: f"::{inner}",
    "translated": lambda inner: f"::ffff:0:{inner}",
    "nat64": lambda inner: f"64:ff9b::{inner}",
    "local nat64, last": lambda inner: f"64:ff9b:1::{inner}",
    "local nat64, /48": lambda inner: str(IPv6Address((0x64FF9B0001 << 80) | (int(inner) >> 16 << 64) | 1)),
    "6to4": lambda inner: str(IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1)),
    "teredo server": lambda inner: str(IPv6Address((0x20010000 << 96) | (int(inner) << 64) | 0xFFFFFFFF ^ 0x7F000001)),
    "teredo client": lambda inner: str(IPv6Address((0x20010000 << 96) | (0x7F000001 << 64) | 0xFFFFFFFF ^ int(inner))),
    "isatap, private": lambda inner: f"fd00::5efe:{inner}",
    "isatap, global": lambda inner: f"2a00::200:5efe:{inner}",
}


def stays_here(address: str) -> bool:
    """What the kernel says. Connecting a datagram socket sends nothing; the route shows in the address it picks."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)  # for 127.255.255.255
        probe.connect((address, 9))
        own = ip_address(probe.getsockname()[0])
    return own.is_loopback or (
        isinstance(own, IPv6Address) and own.ipv4_mapped is not None and own.ipv4_mapped.is_loopback
    )


@given(address=ADDRESSES, mesh=MESHES)
def test_only_what_the_kernel_keeps_here_is_host(address: IPv4Address | IPv6Address, mesh: tuple[Network, ...]) -> None:
    if boundary_of(str(address), mesh) is Boundary.HOST:
        assert stays_here(str(address))


@given(address=st.ip_addresses(network="127.0.0.0/8"))
def test_all_of_loopback_is_host(address: IPv4Address) -> None:
    assert boundary_of(str(address)) is Boundary.HOST
    assert stays_here(f"::ffff:{address}")
    assert boundary_of(f"::ffff:{address}") is Boundary.HOST


@given(address=ADDRESSES, mesh=MESHES, added=NETWORKS)
def test_listing_a_network_changes_cloud_to_mesh_at_most(
    address: IPv4Address | IPv6Address, mesh: tuple[Network, ...], added: Network
) -> None:
    before, after = boundary_of(str(address), mesh), boundary_of(str(address), (*mesh, added))
    assert after is before or (before, after) == (Boundary.CLOUD, Boundary.MESH)


@given(address=ADDRESSES, mesh=MESHES)
def test_mesh_is_private_and_listed(address: IPv4Address | IPv6Address, mesh: tuple[Network, ...]) -> None:
    if boundary_of(str(address), mesh) is Boundary.MESH:
        plain = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
        assert any(plain in network for network in PRIVATE if network.version == plain.version)
        assert any(plain in network for network in mesh if network.version == plain.version)
        assert not is_public(str(address))


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(inner=st.one_of(V4, NEAR_V4), mesh=MESHES)
def test_a_disguise_makes_nothing_nearer(wrapping: str, inner: IPv4Address, mesh: tuple[Network, ...]) -> None:
    wide = (*mesh, IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
    wrapped = WRAPPINGS[wrapping](inner)
    assume((wrapping, int(inner)) != ("compatible", 1))  # ::0.0.0.1 is ::1, this machine, and wraps nothing
    for listed in (mesh, wide):
        assert boundary_of(wrapped, listed) >= boundary_of(str(inner), listed)
        assert wrapping == "mapped" or boundary_of(wrapped, listed) is not Boundary.HOST
    assert is_public(str(inner)) or not is_public(wrapped)


@given(address=V6, zone=st.text("abcdefgh0123456789.", min_size=1), mesh=MESHES)
def test_a_zone_makes_nothing_nearer(address: IPv6Address, zone: str, mesh: tuple[Network, ...]) -> None:
    assert boundary_of(f"{address}%{zone}", mesh) is Boundary.CLOUD
    assert not is_public(f"{address}%{zone}")


@given(text=st.text(max_size=20))
def test_whatever_is_not_an_address_is_refused(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        with pytest.raises(ValueError, match="address"):
            boundary_of(text)
        with pytest.raises(ValueError, match="address"):
            is_public(text)
