"""Modes on the real thing: one exclusive use of a device after the other, switched as a whole or not at all."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from moving import DEVICE, Site, alike
from whole import LONG_TOKENS, Stream, control, gateway_pid, is_alive, kill, made_key, until

from ringfence.testing.llama_program import llama_server_program

pytestmark = pytest.mark.slow

SWITCH_S = 60.0
PROGRAM = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def site_of(start_up: Any, tmp_path: Path) -> Any:
    """Makes sites; each is stopped at the end of its test."""
    made: list[Site] = []

    def make(models: dict[str, Any], **more: Any) -> Site:
        made.append(Site(start_up, tmp_path, models, **more))
        return made[-1]

    yield make
    for site in made:
        site.up.stop()


def switched(site: Site, name: str | None) -> dict[str, Any]:
    """What came of a switch, when it is over."""
    control(site.up, "/mode", "POST", {"mode": name})
    return until(lambda: ended(site), SWITCH_S, f"the end of the switch to {name}")


def ended(site: Site) -> dict[str, Any] | None:
    told = control(site.up, "/modes")
    return told if told["switch"]["outcome"] is not None else None


def written(file: Path) -> int:
    """The process that wrote its number there."""
    return until(lambda: int(file.read_text() or 0), 25, f"a number in {file.name}")


def usual(folder: Path) -> dict[str, Any]:
    """Two that are always there, side by side."""
    return alike(folder, "big", residency="always", memory="3GiB", window=1024) | alike(
        folder, "other", residency="always", memory="3GiB"
    )


@pytest.mark.timed
def test_a_mode_has_the_device_for_itself_with_its_model_set_up_otherwise(site_of: Any, tmp_path: Path) -> None:
    script, wrote = tmp_path / "belongs.py", tmp_path / "wrote"
    script.write_text(PROGRAM)
    forensic = {
        "devices": [DEVICE], "models": ["big"], "ready_s": 40,
        "settings": {"big": {"window": 2048, "kv_type": "q8_0", "memory": "7GiB", "parallel": 1}},
        "run": [[sys.executable, str(script), str(wrote)]],
    }  # fmt: skip
    chains = {"broad": {"boundary": "host", "chain": ["other", "big"]}}
    models = usual(tmp_path)
    models["big"]["command"] = [str(llama_server_program(tmp_path))]
    site = site_of(models, modes={"forensic": forensic}, profiles=chains)
    broad = made_key(site.up, "broad", profile="broad")
    for name in ("big", "other"):
        site.until_ready(name)
    before = site.pid("big")
    assert site.window("big") == 1024
    assert "--cache-type-k" not in site.command_line("big")

    with Stream(site.up, model="other", timeout_s=60, max_tokens=LONG_TOKENS) as stream:
        stream.until_text()
        told = switched(site, "forensic")
        assert stream.rest()[1] == []
        assert stream.saw_done, "it was drained, and not cut"
    assert (told["now"], told["switch"]["outcome"]) == ("forensic", "done"), told
    program = written(wrote)
    assert is_alive(program)
    assert site.phases() == {"big": "ready", "other": "absent"}
    assert site.pid("big") != before
    assert site.window("big") == 2048
    words = site.command_line("big")
    assert words[words.index("--cache-type-k") + 1] == "q8_0"

    began = time.monotonic()
    refused = site.chat("other")
    assert time.monotonic() - began < 3
    assert (refused.status, refused.code) == (503, "target_unavailable")
    assert "forensic" in refused.json["error"]["message"]
    assert site.chat("auto", key=broad).headers["x-ringfence-target"] == "llamacpp/big"

    told = switched(site, None)
    assert (told["now"], told["switch"]["outcome"]) == (None, "done")
    until(lambda: not is_alive(program), 25, "the end of what belonged to the mode")
    until(lambda: site.window("big") == 1024, SWITCH_S, "the model as it is usually")
    for name in ("big", "other"):
        site.until_ready(name)
    assert site.chat("other").status == 200


def test_a_switch_that_fails_is_taken_back(site_of: Any, tmp_path: Path) -> None:
    script, wrote = tmp_path / "belongs.py", tmp_path / "wrote"
    script.write_text(PROGRAM)
    modes = {
        "usual": {"devices": [DEVICE], "models": ["other"], "run": [[sys.executable, str(script), str(wrote)]]},
        "broken": {"devices": [DEVICE], "models": ["big"], "run": [["/bin/sh", "-c", "exit 7"]]},
        "large": {
            "devices": [DEVICE], "models": ["big"], "ready_s": 2, "settings": {"big": {"memory": "12GiB"}},
        },
    }  # fmt: skip
    site = site_of(usual(tmp_path), modes=modes)
    for name in ("big", "other"):
        site.until_ready(name)

    told = switched(site, "broken")
    assert told["now"] is None
    assert told["switch"]["outcome"].startswith("rolled back: ")
    assert "exit status 7" in told["switch"]["outcome"]
    for name in ("big", "other"):
        site.until_ready(name)
    assert [site.chat(name).status for name in ("big", "other")] == [200, 200]

    assert switched(site, "usual")["switch"]["outcome"] == "done"
    first = written(wrote)
    wrote.unlink()
    told = switched(site, "large")
    assert told["now"] == "usual"
    assert "big" in told["switch"]["outcome"]
    assert told["switch"]["outcome"].startswith("rolled back: ")
    site.until_ready("other")
    assert site.phases() == {"big": "absent", "other": "ready"}
    assert site.chat("other").status == 200
    second = written(wrote)
    assert (is_alive(first), is_alive(second)) == (False, True)
    site.up.stop()
    until(lambda: not is_alive(second), 25, "the end of what belonged to the mode")


def test_a_mode_outlives_a_restart(site_of: Any, tmp_path: Path) -> None:
    script, wrote = tmp_path / "belongs.py", tmp_path / "wrote"
    script.write_text(PROGRAM)
    modes = {"alone": {"devices": [DEVICE], "models": ["big"], "run": [[sys.executable, str(script), str(wrote)]]}}
    site = site_of(usual(tmp_path), modes=modes)
    assert switched(site, "alone")["switch"]["outcome"] == "done"
    first = written(wrote)
    wrote.unlink()
    site.start_again()
    until(lambda: control(site.up, "/modes")["now"] == "alone", 20, "the mode")
    second = written(wrote)
    assert (is_alive(first), is_alive(second)) == (False, True)
    site.until_ready("big")
    assert site.phases()["other"] == "absent"
    assert "alone" in site.chat("other").json["error"]["message"]
    wrote.unlink()
    kill(gateway_pid(site.up))
    third = written(wrote)
    until(lambda: not is_alive(second), 25, "the end of what belonged to the gateway that is gone")
    assert is_alive(third)
    assert until(lambda: ended(site), 20, "the end of the switch")["now"] == "alone"
    del site.said["modes"]
    assert site.reload()["ok"]
    until(lambda: not is_alive(third), 15, "the end of what belonged to the mode")
    site.until_ready("other")
