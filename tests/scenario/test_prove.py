"""`ringfence prove` on real processes in real network namespaces: it holds, and it finds every leak that is planted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any

import pytest
from leaks import LEAKS, Leak, plant
from whole import children

from ringfence.prove.network import NoNamespace, check_tools
from ringfence.prove.way import all_ways
from share import some_of

pytestmark = pytest.mark.slow
HELD = {"verdict": "held", "packets": 0}
NOTHING: Mapping[str, str] = MappingProxyType({})
CONFIG = Path(__file__).with_name("prove.yaml")
EXAMPLE = Path(__file__).parents[2] / "examples" / "profiles.yaml"


def prove(
    *words: str, source: Path | None = None, config: Path = CONFIG, env: Mapping[str, str] = NOTHING
) -> subprocess.CompletedProcess[str]:
    """`ringfence prove WORDS`, of this program or of the copy of it in `source`."""
    env = os.environ | env | ({"PYTHONPATH": str(source)} if source is not None else {})
    return subprocess.run(
        [sys.executable, "-m", "ringfence", "prove", *words, "--config", str(config)],
        env=env, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """By profile and then by way."""
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert not [one["failed"] for one in told["profiles"] if one["failed"]], told["profiles"]
    return {one["profile"]: {row["way"]: row for row in one["ways"]} for one in told["profiles"]}


def test_this_machine_has_room_for_it() -> None:
    try:
        check_tools()
    except NoNamespace as missing:
        pytest.fail(str(missing))


def test_every_profile_holds_and_the_sink_sees_what_may_leave(tmp_path: Path) -> None:
    report = tmp_path / "proof.html"
    done = prove("--json", "--html", str(report))
    by_profile = rows(done)
    assert done.returncode == 0, done.stdout
    assert set(by_profile) == {"default", "personal", "private", "office", "client", "conductor"}
    delegates = by_profile["conductor"].pop("delegates")
    assert delegates["verdict"] == "allowed" and delegates["answer"].startswith("personal: 200 ")
    assert delegates["text_arrived"] and "private: 403" in delegates["answer"]
    for profile in ("personal", "office", "conductor"):  # connections are closed
        assert by_profile[profile].pop("the-end")["verdict"] == "allowed"
    for tried in by_profile.values():
        tried.setdefault("the-end", HELD)
        assert set(tried) | {"delegates"} == {way.name for way in all_ways()} | {"served", "afterwards", "the-end"}
    for profile in ("default", "private", "client", "conductor"):
        assert sum(row["packets"] for row in by_profile[profile].values()) == 0, profile
    personal, office = by_profile["personal"], by_profile["office"]
    assert all(personal[way]["text_arrived"] for way in ("cloud-model", "cloud-stream", "every-model", "mesh-model"))
    assert {"api.gpt.example", "api.claude.example"} <= {
        place.split("asking for ")[1].split(" ")[0] for place in personal["every-model"]["to"] if "asking" in place
    }
    assert office["mesh-model"]["text_arrived"] and not office["cloud-model"]["packets"]
    assert all(not personal[way]["packets"] for way in ("label", "secret", "unlisted-tool", "redirect", "as-proxy"))
    page = report.read_text(encoding="utf-8")
    assert "The data fence held" in page and "<script" not in page and "Nothing left for private" in page


def test_the_owners_own_state_is_left_alone(tmp_path: Path) -> None:
    """Whatever names a configuration or a folder in the environment is not the house's."""
    theirs = tmp_path / "theirs"
    other = tmp_path / "other.yaml"
    other.write_text(f"state_dir: {theirs}\nmodels: {{own: {{source: demo}}}}\n", encoding="utf-8")
    env = {
        "RINGFENCE_CONFIG": str(other), "RINGFENCE_STATE_DIR": str(theirs), "XDG_STATE_HOME": str(theirs),
        "XDG_CONFIG_HOME": str(theirs),
    }  # fmt: skip
    done = prove("private", "--way", "auto", "--way", "explain", "--json", env=env)
    found = rows(done)["private"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["auto"]["answer"].startswith("200 ") and found["served"]["verdict"] == "held"
    assert not theirs.exists()


def test_the_shipped_profiles_are_proven_in_a_table() -> None:
    done = prove("private", "personal", config=EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing left for private: " in done.stdout and "Proven. " in done.stdout
    assert "roving-engine" in done.stdout and "held 0" in done.stdout


def test_every_way_has_a_leak_that_it_must_find() -> None:
    assert {leak.way for leak in LEAKS} == {way.name for way in all_ways()} | {"afterwards", "the-end"}


@pytest.fixture(scope="module")
def proofs(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[Leak, Future[subprocess.CompletedProcess[str]]]]:
    """The proof of each way with its leak planted; several at a time, as most of it is waiting."""
    wanted = {item.callspec.params.get("leak") for item in request.session.items if hasattr(item, "callspec")}

    def one(leak: Leak) -> subprocess.CompletedProcess[str]:
        source = plant(leak, tmp_path_factory.mktemp(leak.way))
        way = "auto" if leak.way in ("afterwards", "the-end") else leak.way
        return prove(leak.profile, "--way", way, "--json", source=source)

    with ThreadPoolExecutor(3) as several:
        yield {leak: several.submit(one, leak) for leak in LEAKS if leak in wanted}


@pytest.mark.parametrize("leak", some_of(LEAKS), ids=lambda leak: leak.way)
def test_a_planted_leak_is_found(leak: Leak, proofs: dict[Leak, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = proofs[leak].result()
    found = rows(done)[leak.profile][leak.way]
    assert found["verdict"] == "LEAK", done.stdout + done.stderr
    assert found["beyond_packets"] > 0
    assert done.returncode == 1


def test_a_sink_that_is_blind_proves_nothing(tmp_path: Path) -> None:
    """What may leave must be seen to leave: a house whose clouds cannot be reached at all is no proof."""
    source = plant(Leak("", "", ()), tmp_path)
    egress = source / "ringfence" / "egress" / "calls.py"
    text = egress.read_text(encoding="utf-8")
    said = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [said]}
    claim = "        claim = read_permit(asked.permit)\n"
    assert text.count(claim) == 1
    egress.write_text(text.replace(claim, f"        return asked.answer(200, {answer})\n{claim}"), encoding="utf-8")
    done = prove("personal", "--way", "cloud-model", "--json", source=source)
    assert rows(done)["personal"]["cloud-model"]["verdict"] == "blind"
    assert done.returncode == 1


def test_where_nobody_is_served_nothing_is_proven(tmp_path: Path) -> None:
    """A gateway that turns every key away holds everything back, and proves nothing."""
    source = plant(Leak("", "", ()), tmp_path)
    site = source / "ringfence" / "gateway" / "site.py"
    text = site.read_text(encoding="utf-8")
    site.write_text(text.replace("        if key is None:\n", "        if key is not None:\n"), encoding="utf-8")
    done = prove("private", "--way", "cloud-model", "--json", source=source)
    found = rows(done)["private"]
    assert found["served"]["verdict"] == "blind" and found["served"]["answer"].startswith("401")
    assert found["cloud-model"]["verdict"] == "not tried"
    assert done.returncode == 1


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a socket is 107 bytes long at most."""
    with tempfile.TemporaryDirectory(prefix="rf-") as made:
        yield Path(made)


@pytest.mark.parametrize(("asked", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_whoever_is_ended_leaves_nothing_behind(short_folder: Path, asked: str, status: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfence", "prove", "private", "personal", "--json", "--config", CONFIG],
        env=os.environ | {"TMPDIR": str(short_folder)}, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until = monotonic() + 30
        while not list(short_folder.glob("*/house-*/state/egress/*.sock")) and monotonic() < until:
            sleep(0.05)
        below = children(process.pid)
        assert len(below) > 6
        process.send_signal(getattr(signal, asked))
        _, said = process.communicate(timeout=15)
        assert process.returncode == status and "Traceback" not in said
        until = monotonic() + 5
        while (alive := [pid for pid in below if Path(f"/proc/{pid}/exe").exists()]) and monotonic() < until:
            sleep(0.05)
        assert not alive
        assert asked == "SIGKILL" or not list(short_folder.glob("ringfence-prove-*"))
    finally:
        process.kill()


def test_no_rights_are_needed(tmp_path: Path) -> None:
    """As the user 'nobody', where the tests run as root; with an interpreter that anybody may start."""
    system = Path("/usr/bin/python3")
    if os.geteuid() != 0:
        assert prove("private", "--way", "cloud-model").returncode == 0
        return
    tmp_path.chmod(0o777)
    for folder in takewhile(lambda one: one != Path(gettempdir()), tmp_path.parents):
        folder.chmod(0o755)
    config = tmp_path / "ringfence.yaml"
    config.write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    copied = plant(Leak("", "", ()), tmp_path / "source")
    packages = tmp_path / "packages"
    found = next(Path(folder) for folder in sys.path if folder.endswith("site-packages"))
    packages.symlink_to(found)
    same = subprocess.run([system, "-V"], capture_output=True, text=True, check=False).stdout.split(".")[:2]
    assert same == f"Python {sys.version_info.major}.{sys.version_info.minor}".split("."), (
        "no Python for everybody here"
    )
    done = subprocess.run(
        [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", system, "-m", "ringfence", "prove",
            "private", "--way", "cloud-model", "--way", "retry", "--config", config,
        ],
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{copied}:{packages}", "TMPDIR": "/tmp",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing left for private: 5 ways" in done.stdout


def test_a_name_that_is_not_there_is_told() -> None:
    for words in (("nobody",), ("--way", "teleport")):
        done = prove(*words)
        assert done.returncode == 2
        assert words[-1] in done.stderr and "There are: " in done.stderr
