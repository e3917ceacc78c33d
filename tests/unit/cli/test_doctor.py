"""What `ringfence doctor` says of a gateway that does not run, and of engines that are away."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import doctor

AWAY = {"name": "far", "state": "failed", "kind": "adopted", "reason": "nothing answers"}
DEAD = {"name": "near", "state": "failed", "kind": "supervised", "reason": "no such file"}


def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> dict[str, Any]:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "lab.yaml"
    file.write_text(f"server: {server}\n")
    [found] = [one for one in doctor.examine(file) if one["what"].startswith("No gateway runs")]
    return found


def test_the_port_of_the_configuration_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = said(tmp_path, monkeypatch, f"{{port: {port}}}")
        assert found["state"] == "missing" and f"127.0.0.1 port {port}" in found["what"]
    found = said(tmp_path, monkeypatch, f"{{port: {port}}}")
    assert found["state"] == "ok" and f"port {port} is free" in found["what"]


def test_a_free_port_is_always_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, monkeypatch, "{port: 0}")["state"] == "ok"


@pytest.mark.parametrize(
    ("failed", "mend"),
    [([AWAY], "Start far, or mend its url."), ([DEAD, AWAY], "See the logs in /s/logs. Start far, or mend its url.")],
)
def test_an_engine_that_is_not_ours_is_started_and_has_no_log_here(failed: list[dict[str, Any]], mend: str) -> None:
    found = doctor._instances({"instances": failed}, Path("/s"))  # pyright: ignore[reportPrivateUsage]
    assert (found["state"], found["mend"]) == ("wrong", mend)
