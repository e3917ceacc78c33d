"""The same houses, requests and failures with real processes: what left is what the sink counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inside import Tally

from ringfence.prove.network import ENTER, NoNamespace, check_tools
from ringfence.testing.fake_cloud import Certificate, make_certificate
from share import share_of

FIRST = int(os.environ.get("RINGFENCE_SEED", "0"))
MANY = share_of(300)
"""Seeds."""
AT_ONCE = 2
A_GATEWAY = min(50, MANY // AT_ONCE)
"""Seeds for one gateway; after them, a fresh one."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    try:
        check_tools()
    except NoNamespace as error:
        pytest.skip(str(error))
    return make_certificate(tmp_path_factory.mktemp("cloud"), ("api.rented.example", "api.other.example"))


def live(seeds: range, folder: Path, certificate: Certificate, env: Mapping[str, str] = os.environ) -> Tally:
    """These seeds in a network of their own, up to the first that leaks."""
    folder.mkdir(parents=True)
    told = {"seeds": list(seeds), "folder": str(folder), "certificate": str(certificate.cert_path),
            "key": str(certificate.key_path)}  # fmt: skip
    done = subprocess.run(
        [*ENTER, sys.executable, str(Path(__file__).with_name("outside.py"))], input=json.dumps(told) + "\n",
        capture_output=True, text=True, timeout=400, check=False, env=env,
    )  # fmt: skip
    tally = Tally()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        tally.add(Tally(row["leaks"], Counter(row["count"])))
    assert done.returncode == 0 and (tally.leaks or len(rows) == len(seeds)), done.stderr[-4000:]
    return tally


def planted(name: str, folder: Path) -> dict[str, str]:
    """The environment of processes in which this one of `plants.py` has been planted before they begin."""
    folder.mkdir()
    lines = [
        "import sys",
        f"sys.path.append({str(Path(__file__).parent)!r})",
        "import plants",
        "from pytest import MonkeyPatch",
        f"plants.{name}(MonkeyPatch())",
    ]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}


def judge(tally: Tally) -> None:
    assert tally.leaks == [], f"{len(tally.leaks)} leaks, the first: {tally.leaks[0]}"
    count = tally.count
    assert count["houses up"] > count["houses refused"] + count["houses not served"], count
    for way in ("host", "mesh", "cloud"):
        assert count[f"went to {way}"] >= count["asks"] / 50, count
    assert not count["status 500"], count


def test_a_few_seeds(tmp_path: Path, certificate: Certificate) -> None:
    judge(live(range(FIRST, FIRST + 8), tmp_path / "few", certificate))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_seeds(tmp_path: Path, certificate: Certificate) -> None:
    first, end = FIRST + 1000, FIRST + 1000 + MANY
    batches = [range(at, min(at + A_GATEWAY, end)) for at in range(first, end, A_GATEWAY)]
    tally = Tally()
    with ThreadPoolExecutor(AT_ONCE) as several:
        for one in several.map(lambda seeds: live(seeds, tmp_path / f"{seeds.start}", certificate), batches):
            tally.add(one)
    judge(tally)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all_three", "wide_agents", "followed_redirects"])
def test_a_leak_is_counted(name: str, tmp_path: Path, certificate: Certificate) -> None:
    seeds = range(FIRST + 1000, FIRST + 1000 + A_GATEWAY)
    assert live(seeds, tmp_path / "street", certificate, planted(name, tmp_path / "plant")).leaks
