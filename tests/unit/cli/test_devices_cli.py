"""The map of devices, and the command that asks for it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringfence.cli import client, show_devices
from ringfence.cli.main import app
from ringfence.cli.show_devices import BAR_CHARS, FREE, KEPT, LEASED, OTHERS, OURS, devices_page
from ringfence.testing.fake_placement import RESERVED
from ringfence.testing.fake_status import sample_holders, sample_status

GIB = 1024**3


def found() -> dict[str, Any]:
    holders = sample_holders()
    devices = [
        device
        | {"expected_free_bytes": device["free_bytes"], "holders": holders[device["id"]]}
        | RESERVED[device["id"]]
        for device in sample_status(0.0)["devices"]
    ]
    return {"devices": devices, "unread": []}


def on_screen(page: dict[str, Any], width: int = 100, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(devices_page(page), crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


def device(**changes: Any) -> dict[str, Any]:
    known = {
        "id": "gpu", "name": "GPU", "kind": "gpu", "total_bytes": 40 * GIB, "free_bytes": 40 * GIB, "others_bytes": 0,
        "load_percent": None, "temperature_c": None, "out_of_service": "", "holders": [],
        "headroom_bytes": 0, "threshold_bytes": 0, "leased_bytes": 0,
    }  # fmt: skip
    known |= changes
    return {"expected_free_bytes": known["free_bytes"]} | known


def holder(held: int, kind: str = "instance", name: str = "a") -> dict[str, Any]:
    return {"kind": kind, "name": name, "pid": 7, "held_bytes": held, "footprint": None}


def bar(one: dict[str, Any]) -> str:
    return on_screen({"devices": [one], "unread": []}).splitlines()[1]


def test_who_holds_what_is_told_with_what_was_predicted() -> None:
    text = on_screen(found())
    assert "NVIDIA GeForce RTX 4090  24.0 GiB GPU memory, 71 °C, 88 % busy" in text
    for parts in (
        ("qwen3-8b", "18.1 GiB", "predicted 17.0 GiB, at most 18.1 GiB in 3 loads"), ("ComfyUI (pid 812)", "600 MiB"),
        ("Xorg (pid 99)", "-"), ("others", "300 MiB"), (f"{FREE} free", "5.0 GiB"),
    ):  # fmt: skip
        assert any(all(part in line for part in parts) for line in text.splitlines()), parts


def test_the_map_is_drawn_to_scale() -> None:
    holders = [holder(10 * GIB), holder(20 * GIB, "program", "b")]
    assert bar(device(free_bytes=10 * GIB, holders=holders)) == OURS * 10 + OTHERS * 20 + FREE * 10
    assert bar(device(free_bytes=0, holders=[holder(40 * GIB)])) == OURS * BAR_CHARS


def test_whoever_holds_anything_is_seen_and_so_is_what_is_free() -> None:
    few = [holder(1, name="a"), holder(1, "program", "b"), holder(0, "program", "c")]
    assert bar(device(free_bytes=40 * GIB - 2, holders=few)) == OURS + OTHERS + FREE * (BAR_CHARS - 2)
    assert bar(device(free_bytes=1, holders=[holder(40 * GIB - 1)])) == OURS * (BAR_CHARS - 1) + FREE
    many = [holder(GIB, name=str(number)) for number in range(100)]
    assert bar(device(free_bytes=0, holders=many)) == OURS * BAR_CHARS


def test_one_that_is_out_of_service_says_why_and_has_nothing_free() -> None:
    text = on_screen({"devices": [device(out_of_service="it is lost", free_bytes=0)], "unread": []})
    assert "out of service: it is lost" in text
    assert "free" not in text


def test_what_is_leased_and_what_stays_free_are_parts_of_what_is_free() -> None:
    one = device(free_bytes=20 * GIB, leased_bytes=4 * GIB, headroom_bytes=5 * GIB, holders=[holder(20 * GIB)])
    assert bar(one) == OURS * 20 + LEASED * 4 + FREE * 11 + KEPT * 5
    lines = on_screen({"devices": [one], "unread": []}).splitlines()
    assert any(line.startswith(f"{LEASED} leased") and "4.0 GiB" in line for line in lines)
    assert any(line.startswith(f"{FREE} free") and "16.0 GiB" in line and "5.0 GiB stay free" in line for line in lines)
    more = device(free_bytes=2 * GIB, leased_bytes=4 * GIB, headroom_bytes=5 * GIB, holders=[holder(38 * GIB)])
    assert bar(more) == OURS * 38 + LEASED * 2
    lines = on_screen({"devices": [more], "unread": []}).splitlines()
    assert any(line.startswith(f"{LEASED} leased") and "2.0 GiB" in line for line in lines)
    assert any(line.startswith(f"{FREE} free") and " 0 MiB " in line for line in lines)


def test_what_is_left_later_is_told_where_it_is_less_than_what_is_free() -> None:
    for left, told in ((10 * GIB, False), (7 * GIB, True)):
        text = on_screen({"devices": [device(free_bytes=10 * GIB, expected_free_bytes=left)], "unread": []})
        assert ("7.0 GiB once each model holds what it took before" in text) is told


def test_what_cannot_be_read_is_told() -> None:
    text = on_screen({"devices": [], "unread": [{"title": "NVIDIA", "reason": "the driver is not loaded"}]})
    assert "No device could be read" in text
    assert "NVIDIA cannot be read: the driver is not loaded" in text


def test_a_prediction_that_was_never_tried_has_bars() -> None:
    one = holder(GIB) | {
        "footprint": {
            "predicted_bytes": 2 * GIB, "observed_bytes": None, "loads": 0, "bytes": 2 * GIB, "low_bytes": GIB,
            "high_bytes": 3 * GIB, "basis": "predicted",
        }
    }  # fmt: skip
    text = on_screen({"devices": [device(holders=[one])], "unread": []})
    assert "predicted 2.0 GiB, between 1.0 GiB and 3.0 GiB" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_screen_and_nothing_is_cut(width: int) -> None:
    text = on_screen(found(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[36m" in on_screen(found(), force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in on_screen(found(), force_terminal=True, color_system="standard")


class Gateway:
    def ask(self, method: str, path: str, body: Any = None) -> Any:
        assert (method, path, body) == ("GET", "/devices", None)
        return found()


def test_the_command_prints_the_map_or_what_the_gateway_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "connect", lambda _config: Gateway())
    shown = CliRunner().invoke(app, ["devices"])
    assert shown.exit_code == 0, shown.output
    assert "NVIDIA GeForce RTX 4090" in shown.output and OURS in shown.output
    told = CliRunner().invoke(app, ["devices", "--json"])
    assert json.loads(told.output) == found()


def test_watching_draws_anew_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Growing(Gateway):
        def ask(self, method: str, path: str, body: Any = None) -> Any:
            asked.append(1)
            if len(asked) > 3:
                raise KeyboardInterrupt
            page = super().ask(method, path, body)
            page["devices"][0]["free_bytes"] = len(asked) * GIB
            return page

    monkeypatch.setattr(client, "connect", lambda _config: Growing())
    monkeypatch.setattr(show_devices, "WATCH_EVERY_S", 0.01)
    shown = CliRunner().invoke(app, ["devices", "--watch", "--json"])
    assert shown.exit_code == 0, shown.output
    frees = [json.loads(line)["devices"][0]["free_bytes"] for line in shown.output.splitlines()]
    assert frees == [GIB, 2 * GIB, 3 * GIB]
    asked.clear()
    drawn = CliRunner().invoke(app, ["devices", "-w"])
    assert drawn.exit_code == 0 and len(asked) == 4
    assert "NVIDIA GeForce RTX 4090" in drawn.output
