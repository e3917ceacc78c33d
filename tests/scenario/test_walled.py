"""From the shipped units to an answer, in namespaces: T1 behind a wall that holds, and behind one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from walled import PROBED

from ringfence.prove.network import ENTER, NoNamespace, check_tools
from ringfence.testing.fake_cloud import make_certificate

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
PRIVATE, PERSONAL = "canary-of-the-private-profile", "canary-of-the-personal-profile"
CONFIG: dict[str, Any] = {
    "discovery": {"adopt": False},
    "isolation": {"probe": f"{PROBED}:443"},
    "profiles": {
        "private": {"tier": "T1", "boundary": "host", "chain": ["demo"]},
        "personal": {"tier": "T3", "boundary": "cloud", "chain": ["large"]},
    },
    "providers": {
        "rented": {
            "url": "https://api.rented.example/v1", "api_key": "credential:rented", "calls_per_day": 10,
            "max_tokens": 100,
        }
    },
    "models": {
        "demo": {"source": "demo"},
        "large": {"provider": "rented", "price": {"input": 3, "output": 15}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    try:
        check_tools()
    except NoNamespace as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("walled")
    certificate = make_certificate(folder, ("api.rented.example",))
    config = folder / "ringfence.yaml"
    config.write_text(json.dumps(CONFIG))
    credentials = folder / "etc" / "ringfence" / "credentials"
    credentials.mkdir(parents=True)
    (credentials / "rented").write_text("sk-made-up")
    spec = {"config": str(config), "folder": str(folder), "certificate": str(certificate.cert_path),
            "key": str(certificate.key_path), "private": PRIVATE, "personal": PERSONAL}  # fmt: skip
    done = subprocess.run(
        [*ENTER, sys.executable, str(Path(__file__).with_name("walled.py"))],
        input=json.dumps(spec) + "\n", capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_gateway_without_a_route_serves_t1_and_the_rest_through_egress(rows: dict[str, Any]) -> None:
    walled = rows["walled"]
    assert rows["claims"] == "1"
    assert "default" not in walled["routes"] and "dev away" not in walled["routes"]
    assert "unreachable" in walled["to_probe"]
    status, target, body = walled["private"]
    assert (status, target) == (200, "llamacpp/demo")
    assert body["choices"][0]["message"]["content"]
    status, target, _ = walled["personal"]
    assert (status, target) == (200, "rented/large")
    assert rows["arrived"] == rows["arrived_after"] == [PERSONAL]
    assert rows["probed"] == 0


def test_its_isolation_is_told(rows: dict[str, Any]) -> None:
    told = {row["process"]: row["wall"] for row in rows["walled"]["isolation"]}
    assert told == {"gateway": "held", "demo": "held", "egress": "way out"}
    assert [row["state"] for row in rows["walled"]["doctor"]] == ["ok"]


def test_where_the_wall_is_claimed_and_not_there_t1_is_refused(rows: dict[str, Any]) -> None:
    status, target, body = rows["open"]["private"]
    assert (status, target, body["error"]["code"]) == (403, None, "not_isolated")
    assert PRIVATE not in json.dumps(body)
    assert rows["open"]["personal"][0] == 200
    assert rows["open"]["isolation"][0]["wall"] == "open"
    [finding] = rows["open"]["doctor"]
    assert finding["state"] == "wrong"
    assert "config reload" in finding["mend"]


def test_the_attempt_sends_no_data(rows: dict[str, Any]) -> None:
    assert rows["probe_bytes"] <= 74  # Ethernet, IPv4 and TCP with its options: a SYN and nothing after it


def test_once_mended_it_is_served_again(rows: dict[str, Any]) -> None:
    assert rows["reloaded"]["ok"] is True
    assert rows["mended"]["private"][0] == 200
    assert rows["mended"]["isolation"][0]["wall"] == "held"


def test_once_it_opens_again_t1_is_refused_again(rows: dict[str, Any]) -> None:
    status, _, body = rows["opened"]
    assert (status, body["error"]["code"]) == (403, "not_isolated")
