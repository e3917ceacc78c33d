"""Frames as a cable carries them, read; and how far each would have got."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.prove.packets import Measure, Packet, Reach, answer, question, read_packet

RESOLVER = "11.99.0.53"
MEASURE = Measure(
    ["100.64.0.0/10", "fd00:7::/32"], {"api.example": "11.99.1.1", "9.9.9.9": "9.9.9.9"}, ["engine.lan"], RESOLVER
)


def frame(to: str, protocol: int, payload: bytes) -> bytes:
    address = ip_address(to)
    mac = bytes(12)
    if address.version == 4:
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, bytes(4), address.packed)
        return mac + b"\x08\x00" + head + payload
    return (
        mac
        + b"\x86\xdd"
        + struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, bytes(16), address.packed)
        + payload
    )


def asking(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    return b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00" + struct.pack("!HH", kind, 1)


def test_a_tcp_packet_is_read() -> None:
    whole = frame("11.77.0.1", socket.IPPROTO_TCP, struct.pack("!HH", 40000, 443) + bytes(16))
    assert read_packet(whole) == Packet("11.77.0.1", "tcp", 40000, 443, "", len(whole))


def test_a_tcp_packet_of_version_6_is_read() -> None:
    packet = read_packet(frame("2606:4700::1111", socket.IPPROTO_TCP, struct.pack("!HH", 40000, 443) + bytes(16)))
    assert packet is not None
    assert (packet.address, packet.protocol, packet.port) == ("2606:4700::1111", "tcp", 443)


def test_a_question_for_a_name_is_read() -> None:
    data = asking("Api.Example")
    packet = read_packet(frame(RESOLVER, socket.IPPROTO_UDP, struct.pack("!HHHH", 5000, 53, 8 + len(data), 0) + data))
    assert packet is not None and packet.name == "api.example"


@pytest.mark.parametrize("protocol", [58, 0])
def test_what_the_system_says_to_the_cable_is_no_packet(protocol: int) -> None:
    assert read_packet(frame("ff02::16", protocol, bytes(40))) is None


def test_a_frame_of_another_kind_is_counted() -> None:
    packet = read_packet(bytes(12) + b"\x08\x06" + bytes(28))  # ARP
    assert packet is not None
    assert MEASURE.reach(packet) is Reach.ELSEWHERE


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("100.64.1.2", Reach.MESH), ("fd00:7::1", Reach.MESH), ("fd00:8::1", Reach.ELSEWHERE),
        ("11.99.1.1", Reach.CLOUD), ("9.9.9.9", Reach.CLOUD), ("11.77.0.1", Reach.ELSEWHERE),
        ("192.168.1.1", Reach.ELSEWHERE), (RESOLVER, Reach.ELSEWHERE),
    ],
)  # fmt: skip
def test_how_far_an_address_lies(address: str, reach: Reach) -> None:
    assert MEASURE.reach(Packet(address, "tcp", 4000, 443, "", 60)) is reach


@pytest.mark.parametrize(
    ("name", "reach"),
    [("engine.lan", Reach.HOST), ("api.example", Reach.CLOUD), ("a.b.example", Reach.ELSEWHERE), ("", Reach.ELSEWHERE)],
)  # fmt: skip
def test_how_far_a_question_goes(name: str, reach: Reach) -> None:
    assert MEASURE.reach(Packet(RESOLVER, "udp", 4000, 53, name, 60)) is reach


def test_a_look_at_an_own_engine_is_no_text_that_leaves() -> None:
    packet = Packet("100.64.1.2", "tcp", 4000, 8000, "", 60)
    assert MEASURE.reach(packet, {("100.64.1.2", 4000, 8000)}) is Reach.HOST
    assert MEASURE.reach(packet, {("100.64.1.2", 4001, 8000)}) is Reach.MESH


@pytest.mark.parametrize(
    ("kind", "address", "counts"), [(1, "11.0.0.1", 1), (28, "11.0.0.1", 0), (28, "fd00::1", 1), (1, None, 0)]
)
def test_names_are_answered(kind: int, address: str | None, counts: int) -> None:
    asked = asking("a.b.example", kind)
    told = answer(asked, address)
    assert told[:2] == asked[:2] and told[7] == counts
    assert question(told) == "a.b.example"
    assert told.endswith(ip_address(address).packed if counts and address else asked[-4:])


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    packet = read_packet(data)
    assert packet is None or packet.size_bytes == len(data)
