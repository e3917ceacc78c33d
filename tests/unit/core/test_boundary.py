"""How far an address lies: only what is certain is near."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary, boundary_of

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
    "fe80::1%eth0": Boundary.CLOUD,
    "8.8.8.8": Boundary.CLOUD,
}


@pytest.mark.parametrize(("address", "boundary"), CASES.items(), ids=list(CASES))
def test_an_address(address: str, boundary: Boundary) -> None:
    assert boundary_of(address, MESH) is boundary


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
