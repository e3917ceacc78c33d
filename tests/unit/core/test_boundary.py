"""How far an address lies: only what is certain is near."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import PRIVATE, Boundary, boundary_of, is_public

# With what nobody may list but a mistake might: it makes nothing near that is not.
MISTAKES = tuple(ip_network(text) for text in ("0.0.0.0/0", "::/0", "169.254.0.0/16", "fe80::/10", "2002::/16"))
MESH = (ip_network("10.1.0.0/16"), ip_network("100.64.0.0/10"), ip_network("fd00:1::/64"))

CASES = {
    "127.0.0.1": Boundary.HOST,
    "127.255.255.254": Boundary.HOST,
    "::1": Boundary.HOST,
    "::ffff:127.0.0.1": Boundary.HOST,
    "10.1.2.3": Boundary.MESH,
    "::ffff:10.1.2.3": Boundary.MESH,
    "100.64.0.1": Boundary.MESH,
    "fd00:1::5": Boundary.MESH,
    "10.2.0.1": Boundary.CLOUD,
    "::ffff:10.2.0.1": Boundary.CLOUD,
    "192.168.1.1": Boundary.CLOUD,
    "169.254.169.254": Boundary.CLOUD,
    "0.0.0.0": Boundary.CLOUD,
    "::": Boundary.CLOUD,
    "::ffff:0.0.0.0": Boundary.CLOUD,
    "::127.0.0.1": Boundary.CLOUD,
    "2002:7f00:1::": Boundary.CLOUD,
    "2002:0a01:0203::": Boundary.CLOUD,
    "64:ff9b::127.0.0.1": Boundary.CLOUD,
    "64:ff9b::10.1.2.3": Boundary.CLOUD,
    "fd00:2::5": Boundary.CLOUD,
    "64:ff9b:1::127.0.0.1": Boundary.CLOUD,
    "64:ff9b:1:7f00:0:100::": Boundary.CLOUD,
    "::ffff:0:127.0.0.1": Boundary.CLOUD,
    "2001:0:7f00:1::80ff:fffe": Boundary.CLOUD,
    "2001:0:808:808::f5fe:fdfc": Boundary.CLOUD,
    "fe80::5efe:127.0.0.1": Boundary.CLOUD,
    "fd00:1::5efe:10.1.2.3": Boundary.MESH,
    "fd00:1::5efe:127.0.0.1": Boundary.MESH,
    "fd00:1::5efe:8.8.8.8": Boundary.CLOUD,
    "fd00:1::200:5efe:8.8.8.8": Boundary.CLOUD,
    "fe80::1": Boundary.CLOUD,
    "fe80::1%eth0": Boundary.CLOUD,
    "::1%eth0": Boundary.CLOUD,
    "::ffff:127.0.0.1%lo": Boundary.CLOUD,
    "fd00:1::5%eth0": Boundary.CLOUD,
    "::2": Boundary.CLOUD,
    "::ffff:127.0.0.0": Boundary.HOST,
    "126.255.255.255": Boundary.CLOUD,
    "128.0.0.0": Boundary.CLOUD,
    "0.0.0.1": Boundary.CLOUD,
    "100.63.255.255": Boundary.CLOUD,
    "100.127.255.255": Boundary.MESH,
    "100.128.0.0": Boundary.CLOUD,
    "169.254.1.1": Boundary.CLOUD,
    "168.63.129.16": Boundary.CLOUD,
    "192.0.2.1": Boundary.CLOUD,
    "198.51.100.1": Boundary.CLOUD,
    "224.0.0.1": Boundary.CLOUD,
    "255.255.255.255": Boundary.CLOUD,
    "ff02::1": Boundary.CLOUD,
    "2001:db8::1": Boundary.CLOUD,
    "8.8.8.8": Boundary.CLOUD,
}


@pytest.mark.parametrize(("address", "boundary"), CASES.items(), ids=list(CASES))
def test_an_address(address: str, boundary: Boundary) -> None:
    assert boundary_of(address, MESH) is boundary


@pytest.mark.parametrize("address", CASES)
def test_a_mesh_that_is_too_wide_adds_private_addresses_only(address: str) -> None:
    judged = boundary_of(address, MISTAKES)
    assert judged is not Boundary.HOST or CASES[address] is Boundary.HOST
    if judged is Boundary.MESH:
        unwrapped = ip_address(address.replace("::ffff:", "") if address.startswith("::ffff:") else address)
        assert any(unwrapped in network for network in PRIVATE)


def test_the_range_of_tailscale_is_far_unless_listed() -> None:
    assert boundary_of("100.100.100.100") is Boundary.CLOUD
    assert boundary_of("100.100.100.100", MESH) is Boundary.MESH


def test_without_a_mesh_only_loopback_is_near() -> None:
    near = {address for address in CASES if boundary_of(address) is not Boundary.CLOUD}
    assert near == {address for address, boundary in CASES.items() if boundary is Boundary.HOST}


@pytest.mark.parametrize(
    "name", ["", "localhost", "127.1", "0177.0.0.1", "2130706433", "127.0.0.1:80", "[::1]", " 127.0.0.1", "a.b"]
)
def test_what_is_not_a_literal_address_is_not_judged(name: str) -> None:
    with pytest.raises(ValueError, match="address"):
        boundary_of(name)


@given(number=st.integers(0, 2**32 - 1))
def test_a_wrapped_address_lies_where_it_lies_unwrapped(number: int) -> None:
    plain = str(IPv4Address(number))
    assert boundary_of(f"::ffff:{plain}", MESH) is boundary_of(plain, MESH)
    assert (boundary_of(plain) is Boundary.HOST) == plain.startswith("127.")


@given(number=st.integers(2, 2**128 - 1).filter(lambda number: number >> 32 != 0xFFFF))
def test_no_other_ipv6_address_is_this_host(number: int) -> None:
    assert boundary_of(str(IPv6Address(number))) is Boundary.CLOUD


BESIDE = ("126.255.255.255", "128.0.0.0", "100.63.255.255", "100.128.0.0")
"""Just outside of a range that is not public."""
PUBLIC = (*BESIDE, "8.8.8.8", "::ffff:1.1.1.1", "2606:4700::1111", "2a00::1", "64:ff9b::8.8.8.8", "172.32.0.1")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address(address: str) -> None:
    assert is_public(address)
    assert boundary_of(address, (*MESH, *MISTAKES)) is Boundary.CLOUD


@pytest.mark.parametrize(
    "address",
    [
        *(address for address in CASES if address not in PUBLIC),
        *("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"),
        *("64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "::8.8.8.8"),
        *("2a00::5efe:127.0.0.1", "2a00::200:5efe:192.168.1.1", "2a00::1%eth0", "fec0::1", "4000::1", "3fff::1"),
    ],
)
def test_what_cannot_be_a_cloud_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_permits_is_an_order() -> None:
    assert [[a.permits(b) for b in Boundary] for a in Boundary] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_parsing() -> None:
    assert [Boundary.parse(text) for text in ("host", "Mesh", "CLOUD")] == list(Boundary)
    with pytest.raises(ValueError, match="use host, mesh or cloud"):
        Boundary.parse("moon")
