"""What is written out, and what systemd says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from ringfence.fence.units import (
    EGRESS,
    ENGINE,
    GATEWAY,
    PRIVATE,
    House,
    firewall,
    installed,
    is_network,
    nameservers,
    unit,
)

HOUSE = House(
    "/usr/bin/env ringfence", "/etc/ringfence/ringfence.yaml", mesh=("10.1.0.0/16", "fd12::/16"),
    callers=("192.168.7.0/24",), here=("127.0.0.1", "127.0.0.9"), resolvers=("127.0.0.53", "9.9.9.9"),
    inside_credentials=("vllm",), outside_credentials=("groq",),
)  # fmt: skip
MOST_EXPOSED = 25
"""Tenths: what `systemd-analyze security` may say of a unit at most."""
OLLAMA = "[Unit]\nDescription=Ollama\n[Service]\nExecStart=/bin/true\nUser=ollama\nGroup=ollama\n"


def values(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.M)


def test_the_gateway_reaches_loopback_the_mesh_and_its_callers_alone() -> None:
    text = unit(GATEWAY, HOUSE)
    assert values(text, "IPAddressDeny") == ["any"]
    assert values(text, "IPAddressAllow") == [
        "127.0.0.1", "::1", "127.0.0.9", "10.1.0.0/16", "fd12::/16", "192.168.7.0/24",
    ]  # fmt: skip
    assert "RINGFENCE_ISOLATED=1" in values(text, "Environment")
    assert values(text, "ExecStart") == ["/usr/bin/env ringfence serve --config /etc/ringfence/ringfence.yaml"]


def test_the_keys_of_providers_are_egress_alone() -> None:
    assert values(unit(GATEWAY, HOUSE), "LoadCredential") == ["vllm:/etc/ringfence/credentials/vllm"]
    assert values(unit(EGRESS, HOUSE), "LoadCredential") == ["groq:/etc/ringfence/credentials/groq"]


def test_egress_reaches_no_private_network_but_a_resolver() -> None:
    text = unit(EGRESS, HOUSE)
    assert values(text, "IPAddressDeny") == list(PRIVATE)
    assert values(text, "IPAddressAllow") == ["127.0.0.53"]  # the other one is not kept out


def test_without_providers_there_is_no_way_out() -> None:
    units = PurePosixPath("/etc/systemd/system")
    assert units / EGRESS in installed(HOUSE)
    assert units / EGRESS not in installed(House("/bin/true", has_providers=False))


def test_an_engine_keeps_its_devices_and_gets_the_fence() -> None:
    text = installed(HOUSE, ["ollama"])[PurePosixPath("/etc/systemd/system/ollama.service.d/10-ringfence.conf")]
    assert text == unit(ENGINE, HOUSE)
    assert values(text, "IPAddressDeny") == ["any"]
    assert not values(text, "PrivateDevices")


def test_nameservers_are_read() -> None:
    text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver\nnameserver nonsense\n"
    assert nameservers(text) == ("127.0.0.53", "fe80::1")
    assert is_network("10.0.0.0/8") and not is_network("10.0.0.1/8") and not is_network("lab")


def test_names_are_quoted_and_numbers_are_not() -> None:
    assert 'meta skuid "ringfence" goto ours' in firewall(HOUSE)
    assert "meta skuid 4711 goto ours" in firewall(HOUSE, "4711", "4712")


# -- as systemd sees them ---------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Written below a folder, with an engine's own unit beside them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for place, text in installed(HOUSE, ["ollama"]).items():
        path = tmp_path / str(place).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder = tmp_path / "etc" / "systemd" / "system"
    (folder / "ollama.service").write_text(OLLAMA)
    return folder


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0", "COLUMNS": "300"}
    return subprocess.run(["systemd-analyze", *words], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [GATEWAY, EGRESS, "ollama.service"])
def test_systemd_understands_them(units: Path, name: str) -> None:
    done = analyze(units, "verify", str(units / name))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_tells_what_it_does_not_understand(units: Path) -> None:
    path = units / GATEWAY
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    assert "ProtectHomes" in analyze(units, "verify", str(path)).stderr


@pytest.mark.parametrize("name", [GATEWAY, EGRESS, "ollama.service"])
def test_they_are_hardly_exposed(units: Path, name: str) -> None:
    words = ("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", name)
    done = analyze(units, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (units / name, units / f"{name}.d" / "10-ringfence.conf"):
        if path.exists():
            path.write_text(
                re.sub(r"^(Protect|Restrict|Capability|SystemCall|Private).*\n", "", path.read_text(), flags=re.M)
            )
    assert analyze(units, *words).returncode != 0
