"""A name is looked up once, all its answers are judged, and only what was judged can be dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary, boundary_of, is_public
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.pool import Pool
from ringfence.egress.resolve import MAX_ANSWERS, NameNotResolved, Pinned, resolve, resolve_cloud, system_look_up

MESH = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/64"))
METADATA = "169.254.169.254"


class Resolver:
    """Gives each look-up the next of its answers, and the last one from then on."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_name_is_pinned_with_the_widest_boundary_of_its_addresses() -> None:
    look_up = Resolver(["10.1.2.3", "127.0.0.1", "fd00:1::5", "10.1.2.3"])
    pinned = await resolve("engine.home", 8000, Boundary.MESH, MESH, look_up=look_up)
    assert pinned == Pinned("engine.home", 8000, "10.1.2.3", Boundary.MESH, ("127.0.0.1", "fd00:1::5"))
    assert look_up.asked == [("engine.home", 8000)]


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (["10.1.2.3"], Boundary.HOST),
        (["8.8.8.8"], Boundary.MESH),
        (["127.0.0.1", "8.8.8.8"], Boundary.MESH),
        (["127.0.0.1", *["127.0.0.2"] * 50, "10.1.2.3"], Boundary.HOST),
        (["::1", "::ffff:8.8.8.8"], Boundary.HOST),
        (["::1", "fe80::1%eth0"], Boundary.MESH),
        (["127.0.0.1", "0.0.0.0"], Boundary.MESH),
        (["127.0.0.1", "2002:7f00:1::"], Boundary.HOST),
    ],
)
async def test_one_address_too_far_refuses_the_name(answer: list[str], allowed: Boundary) -> None:
    with pytest.raises(BoundaryRefused, match=r"'engine\.home' resolves to .* beyond") as refused:
        await resolve("engine.home", 8000, allowed, MESH, look_up=Resolver(answer))
    assert (refused.value.status, refused.value.code) == (403, "boundary_refused")


@pytest.mark.parametrize(
    "inside",
    [
        *(METADATA, "127.0.0.1", "::1", "0.0.0.0", "::", "10.1.2.3", "192.168.1.1", "100.100.100.200", "fd00:ec2::254"),
        *("fe80::1%eth0", f"::ffff:{METADATA}", f"64:ff9b::{METADATA}", "2002:a9fe:a9fe::", "224.0.0.1", "2001:db8::1"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 100])
async def test_a_cloud_that_resolves_to_the_inside_is_refused(inside: str, place: int) -> None:
    answer = [f"8.8.{number}.8" for number in range(100)]
    answer.insert(place, inside)
    with pytest.raises(BoundaryRefused, match="not a public address"):
        await resolve_cloud("api.example.com", 443, look_up=Resolver(answer))


async def test_a_cloud_is_pinned_in_the_order_of_the_resolver() -> None:
    pinned = await resolve_cloud("api.example.com", 443, look_up=Resolver(["2606:4700::1111", "1.1.1.1"]))
    assert pinned == Pinned("api.example.com", 443, "2606:4700::1111", Boundary.CLOUD, ("1.1.1.1",))


async def test_a_literal_is_judged_without_a_look_up() -> None:
    look_up = Resolver(["8.8.8.8"])
    assert (await resolve("127.0.0.1", 1, Boundary.HOST, look_up=look_up)).boundary is Boundary.HOST
    assert (await resolve_cloud("8.8.4.4", 443, look_up=look_up)).address == "8.8.4.4"
    with pytest.raises(BoundaryRefused, match=f"{METADATA} is not"):
        await resolve_cloud(METADATA, 443, look_up=look_up)
    with pytest.raises(BoundaryRefused, match=r"8\.8\.8\.8 lies at CLOUD, beyond HOST"):
        await resolve("8.8.8.8", 443, Boundary.HOST, look_up=look_up)
    assert look_up.asked == []


async def test_a_name_that_changes_is_dialled_where_it_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rebinding attack: near while judged, elsewhere when dialled."""
    judged, other = asyncio.Event(), asyncio.Event()
    near = await asyncio.start_server(lambda *_: judged.set(), "127.0.0.1", 0)
    port = near.sockets[0].getsockname()[1]
    far = await asyncio.start_server(lambda *_: other.set(), "127.0.0.2", port)
    look_up = Resolver(["127.0.0.1"], ["127.0.0.2"])
    pinned = await resolve("rebind.example", port, Boundary.HOST, look_up=look_up)

    def rebound(*_: Any, **__: Any) -> Any:
        raise AssertionError("a second look-up")

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
    line = await Pool().dial(Endpoint(pinned.address, pinned.port, pinned.boundary))
    await asyncio.wait_for(judged.wait(), 25)
    line.cancel()
    assert (len(look_up.asked), other.is_set()) == (1, False)
    for server in (near, far):
        server.close()


async def test_each_look_up_is_judged_anew() -> None:
    look_up = Resolver(["8.8.8.8"], [METADATA], ["8.8.8.8"])
    assert (await resolve_cloud("api.example.com", 443, look_up=look_up)).address == "8.8.8.8"
    with pytest.raises(BoundaryRefused):
        await resolve_cloud("api.example.com", 443, look_up=look_up)
    assert (await resolve_cloud("api.example.com", 443, look_up=look_up)).address == "8.8.8.8"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([], "it has no address"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("the resolver broke"), "the resolver broke"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (TimeoutError(), "no answer within"),
        ([f"8.8.{number // 256}.{number % 256}" for number in range(MAX_ANSWERS + 1)], "it has 257 addresses"),
        (["8.8.8.8", "elsewhere.example"], "not an address"),
        (["127.0.0.1", ""], "not an address"),
    ],
)
async def test_a_name_that_leads_nowhere(answer: Any, reason: str) -> None:
    for asked in (
        resolve("a.example", 1, Boundary.CLOUD, look_up=Resolver(answer)),
        resolve_cloud("a.example", 1, look_up=Resolver(answer)),
    ):
        with pytest.raises(NameNotResolved, match=rf"'a\.example' cannot be resolved: .*{reason}"):
            await asked


async def test_a_resolver_that_hangs_is_left() -> None:
    left: list[bool] = []

    async def hang(host: str, port: int) -> Sequence[str]:
        try:
            await asyncio.sleep(60)
        finally:
            left.append(True)
        return ["8.8.8.8"]

    with pytest.raises(NameNotResolved, match=r"no answer within 0\.05 s"):
        await asyncio.wait_for(resolve_cloud("slow.example", 443, look_up=hang, timeout_s=0.05), 25)
    assert left == [True]


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"])
async def test_no_spelling_of_loopback_is_a_cloud(host: str) -> None:
    """By the system's own resolver, which reads numbers without asking anyone."""
    with pytest.raises(BoundaryRefused, match="not a public address"):
        await resolve_cloud(host, 443)
    assert {boundary_of(address) for address in await system_look_up(host, 443)} == {Boundary.HOST}
    assert (await resolve(host, 443, Boundary.HOST)).boundary is Boundary.HOST


async def test_a_name_that_cannot_be() -> None:
    for host in ("a" * 64 + ".example", "a\0b", ""):
        with pytest.raises((NameNotResolved, BoundaryRefused)):
            await resolve_cloud(host, 443)


@given(
    answer=st.lists(
        st.ip_addresses().map(str) | st.sampled_from(["127.0.0.1", "10.1.2.3", "::1", "8.8.8.8"]), max_size=6
    ),
    allowed=st.sampled_from(Boundary),
)
async def test_nothing_comes_out_that_was_not_judged(answer: list[str], allowed: Boundary) -> None:
    try:
        pinned = await resolve("any.example", 1, allowed, MESH, look_up=Resolver(answer))
    except (BoundaryRefused, NameNotResolved):
        assert not answer or any(boundary_of(address, MESH) > allowed for address in answer)
    else:
        assert (pinned.address, *pinned.others) == tuple(dict.fromkeys(answer))
        assert all(boundary_of(address, MESH) <= pinned.boundary <= allowed for address in answer)
    try:
        cloud = await resolve_cloud("any.example", 1, look_up=Resolver(answer))
    except (BoundaryRefused, NameNotResolved):
        assert not answer or not all(map(is_public, answer))
    else:
        assert all(map(is_public, (cloud.address, *cloud.others)))
