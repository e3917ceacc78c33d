"""Pages for people: nothing of an id is cut, neither in a pipe nor on a narrow screen; nothing is said twice."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from ringfence.cli.show import isolation_page, keys_page, models_page, profiles_page, put

KEY: dict[str, Any] = {
    "id": "key_0123456789ab", "name": "the-laptop-in-the-cellar-with-a-long-name", "hint": "abcd",
    "profile": "personal",
    "agent": "coder-of-the-night", "requests_per_minute": 60_000, "tokens_per_minute": 100_000_000, "revoked_s": None,
    "expires_s": 1_800_000_000, "created_s": 1_790_000_000, "prompt_tokens": 10**9, "completion_tokens": 10**9,
    "requests": 10**7, "cost_usd_micros": 10**9, "spent": {"day": 0, "week": 0, "month": 10**6},
    "budget": {"day": None, "week": None, "month": 10**9, "call": 10**5, "soft_percent": 80},
}  # fmt: skip


def on_screen(page: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(page, crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 60])
def test_no_id_is_cut_on_a_narrow_screen(width: int) -> None:
    text = on_screen(keys_page([KEY]), width)
    assert KEY["id"] in text
    assert "…" not in text.replace("…abcd", "").replace("…", "", 1)


def test_nothing_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    put(keys_page([KEY]))
    [row] = [line for line in capsys.readouterr().out.splitlines() if KEY["id"] in line]
    for part in (KEY["name"], KEY["agent"], "60,000 requests, 100,000,000 tokens", "2,000,000,000"):
        assert part in row


def test_where_a_target_lies_is_said_once_and_keys_are_counted() -> None:
    far = {"model": "smart", "target": "gpt/large", "boundary": "CLOUD", "reason": "lies at CLOUD, beyond HOST"}
    near = {"model": "fast", "target": "llamacpp/fast", "boundary": "HOST", "reason": "", "may": True}
    profile = {
        "name": "private", "tier": "T1 sovereign", "boundary": "HOST", "exact": None, "chain": [], "ending": "error",
        "delegates": [], "agents": [], "tools": [], "idle": [], "keys": ["a", "b", "c", "d"],
        "targets": [far | {"may": False}, near],
    }  # fmt: skip
    lead = profile | {"name": "lead", "delegates": ["private"], "targets": [], "keys": []}
    text = on_screen(profiles_page({"profiles": [profile, lead]}), 100)
    assert text.count("at CLOUD") == 1
    assert "fast on llamacpp/fast at HOST" in text
    assert "keys      4: a, b, c, and 1 more" in text
    assert "calls as  private (HOST)" in text


MEND = "Set isolation.probe to the address of something that must not be reached."
KEEP_IN = "`ringfence service install --engine UNIT` keeps its unit in."


def process(name: str, wall: str, reason: str, mend: str = "", reach: str = "this machine") -> dict[str, Any]:
    return {"process": name, "may_reach": reach, "wall": wall, "reason": reason, "mend": mend}


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_wall_of_each_process_has_one_line_and_its_mend_is_told_once(width: int) -> None:
    rows = [
        process("gateway", "unchecked", "nothing is configured to try it with", MEND, "this machine, 192.168.10.0/24"),
        process("qwen3-8b", "unchecked", "it runs within the gateway's wall", MEND),
        process("egress", "way out", "it has its own", reach="1 provider"),
        *(process(name, "unknown", "it is [not] ours", KEEP_IN, "unknown") for name in ("vllm-8000", "ollama-11434")),
    ]
    lines = [line.rstrip() for line in on_screen(isolation_page(rows), width).splitlines()]
    for row in rows:
        [line] = [line for line in lines if line.split()[:1] == [row["process"]] and line.endswith(row["wall"])]
        assert row["may_reach"] in line
        assert len([line for line in lines if line.split()[:1] == [row["process"]]]) == 2  # and its reason below
    text = " ".join(" ".join(lines).split())
    assert "nothing is configured to try it with" in text and "[not] ours" in text
    assert text.count("Set isolation.probe") == text.count("service install --engine") == 1


@pytest.mark.parametrize("wall", ["open", "unclaimed", "unchecked", "checking", "unknown"])
def test_whatever_is_not_held_shows_how_it_is_mended(wall: str) -> None:
    assert "Mend it so." in on_screen(isolation_page([process("gateway", wall, "because", "Mend it so.")]), 60)


def test_through_a_pipe_no_line_is_filled_up_to_an_edge_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    put(isolation_page([process("gateway", "unclaimed", "nothing says so", MEND)]))
    assert max(map(len, capsys.readouterr().out.splitlines())) < 200


def test_names_beside_the_models_are_told() -> None:
    assert "also: auto, local/long" in on_screen(
        models_page({"models": [], "offered": ["auto", "local/long"], "left_out": []}), 80
    )
