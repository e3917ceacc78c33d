"""The rules for nftables, loaded beside those that Docker writes: what must not leave dies, and leaves without them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from firewalled import BRIDGE, EGRESS, INSIDE

from ringfence.fence.units import House, firewall
from ringfence.testing.fake_cloud import make_certificate

HOUSE = House("/usr/bin/ringfence", mesh=("10.1.0.0/16",), resolvers=("10.5.5.5",))
DIES = {
    "gateway": "198.51.100.11", "gateway, udp": "198.51.100.12", "gateway, IPv6": "2001:db8:9::13",
    "gateway, led away by DNAT": "198.51.100.21", "gateway, a resolver of this machine": "",
    "egress, private": "10.9.9.15", "egress, mesh": "10.1.0.6", "egress, loopback": "", "egress, udp": "198.51.100.16",
    "container": "198.51.100.18", "container, this machine": "", "outside, a published port": "",
}  # fmt: skip
"""And where the packet would have come to, seen from the sink."""
PASSES = (
    "gateway, mesh", "gateway, loopback", "gateway, its engine in a container", "egress", "egress, resolver",
    "somebody else", "another container", "outside, the gateway",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of every case, with our table and without."""
    for program in ("nft", "setpriv", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if os.geteuid() != 0:
        pytest.skip("needs root, to be other users in a namespace of its own")
    certificate = make_certificate(tmp_path_factory.mktemp("tls"))
    spec = {"certificate": str(certificate.cert_path), "key": str(certificate.key_path),
            "rules": firewall(HOUSE, INSIDE[0], EGRESS[1], [BRIDGE])}  # fmt: skip
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--", sys.executable, str(Path(__file__).with_name("firewalled.py"))],
        input=json.dumps(spec) + "\n", capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", DIES)
def test_it_dies_and_passes_when_the_table_is_gone(rows: dict[str, Any], case: str) -> None:
    address = DIES[case]
    if "udp" not in case:  # a datagram is gone once it is sent: only the sink knows
        assert rows["with"][case] is False
        assert rows["without"][case] is True
    if address:
        assert address not in rows["came with"]
        assert address in rows["came without"]


@pytest.mark.parametrize("case", PASSES)
def test_what_may_be_reached_is(rows: dict[str, Any], case: str) -> None:
    assert rows["with"][case] is True
    assert rows["without"][case] is True


def test_every_case_is_looked_at(rows: dict[str, Any]) -> None:
    assert set(rows["with"]) == {*DIES, *PASSES}
    assert "10.5.5.5" in rows["came with"]  # the question for a name
