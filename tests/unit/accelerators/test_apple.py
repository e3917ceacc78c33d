"""Apple's chips, by what the commands of macOS print."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from ringfence.accelerators.apple import ADAPTER, Apple, available_bytes
from ringfence.core.device import DeviceKind, NotRead, Ours

PAGE = 16384
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              262144.
Pages active:                            600000.
Pages inactive:                          131072.
Pages speculative:                        20000.
Pages throttled:                              0.
Pages wired down:                        150000.
Pages purgeable:                           1000.
"Translation faults":                 900000000.
Pages copy-on-write:                   12345678.
"""
SYSCTL = "34359738368\n10\nApple M2 Pro\n"
GIB = 1 << 30


def mac(vm_stat: str = VM_STAT, sysctl: str = SYSCTL) -> Apple:
    def run(command: Sequence[str]) -> str:
        return sysctl if command[0].endswith("sysctl") else vm_stat

    return Apple(run=run, system="darwin")


def test_a_mac_has_one_pool_for_processor_and_gpu() -> None:
    [device] = mac().read([Ours("chat", 812, 3 * GIB)])
    assert (device.id, device.kind, device.name, device.cores) == ("apple", DeviceKind.UNIFIED, "Apple M2 Pro", 10)
    assert (device.total_bytes, device.available_bytes) == (32 * GIB, 6 * GIB)
    assert device.used_by_others_bytes == (32 - 6 - 3) * GIB
    assert device.holders[0].instance == "chat"


def test_elsewhere_there_is_none_and_nothing_is_asked() -> None:
    def run(_command: Sequence[str]) -> str:
        raise AssertionError

    assert Apple(run=run, system="linux").read() == []


@pytest.mark.parametrize(
    "vm_stat", ["", VM_STAT.replace("page size of 16384 bytes", ""), VM_STAT.replace("Pages inactive", "Pages other")]
)
def test_what_is_not_understood_is_said(vm_stat: str) -> None:
    with pytest.raises(ValueError, match="something else"):
        available_bytes(vm_stat)
    with pytest.raises(NotRead, match="macOS does not tell"):
        mac(vm_stat).read()


def test_a_command_that_hangs_is_said() -> None:
    def run(command: Sequence[str]) -> str:
        raise subprocess.TimeoutExpired(list(command), 3)

    with pytest.raises(NotRead, match="TimeoutExpired"):
        Apple(run=run, system="darwin").read()


def test_the_commands_are_really_run() -> None:
    assert ADAPTER.run(("/bin/echo", "here")) == "here\n"
