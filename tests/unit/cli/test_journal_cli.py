"""`ringfence journal`, on files that a real journal wrote and while nothing runs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import stat
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.core.boundary import Boundary
from ringfence.egress.journal import Journal

DIGEST = sha256(b"").hexdigest()
NOON = 1_793_534_400.0  # 2026-11-01 12:00 UTC


CONFIG = """
providers:
  other: {url: "https://a.example", api_key: "env:A", calls_per_day: 9, max_tokens: 9}
profiles:
  private: {}
  client: {}
  lead: {tier: T4, delegates: [client]}
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RINGFENCE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "ringfence.yaml").write_text(CONFIG)
    return tmp_path / "state"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["journal", *arguments])


def write(state: Path, *profiles: str, at_s: float = NOON, model: str = "large", ends: bool = True) -> None:
    async def every() -> None:
        journal = Journal.open(state / "journal", clock=lambda: at_s, most_file_bytes=1200)
        for number, profile in enumerate(profiles):
            seq = await journal.sent(
                call=f"call-{number}", key="key_1", profile=profile, provider="groq", model=model,
                allowed=Boundary.CLOUD, address="192.0.2.7:443", max_tokens=9, bytes_out=1000, sha256_out=DIGEST,
            )  # fmt: skip
            if ends:
                await journal.ended(seq, status=200, bytes_in=20, sha256_in=DIGEST, outcome="ok")
        journal.close()

    asyncio.run(every())


def change_a_line(state: Path) -> Path:
    path = sorted((state / "journal").glob("*.jsonl"))[1]
    path.write_bytes(path.read_bytes().replace(b'"personal"', b'"private"', 1))
    return path


def test_nothing_has_left(state: Path) -> None:
    unknown = run("show")
    assert (unknown.exit_code, unknown.stdout) == (1, "") and "not known what has left" in unknown.stderr
    state.mkdir()
    shown = run("show")
    assert shown.exit_code == 0 and "There is no journal in" in shown.stdout
    assert run("show", "--json").stdout == "[]\n"
    assert not any(state.iterdir()), "looking makes nothing"


@pytest.mark.parametrize(("option", "what"), [("--profile", "profile"), ("--provider", "provider")])
def test_a_name_that_is_nowhere_is_told(state: Path, option: str, what: str) -> None:
    write(state, "personal")
    shown = run("show", option, "nosuch")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert f"There is no {what} 'nosuch', neither in the configuration nor in the journal." in shown.stderr
    assert run("show", option, {"profile": "personal", "provider": "groq"}[what]).exit_code == 0


def test_a_coordinator_may_have_called_under_other_names(state: Path) -> None:
    write(state, "personal")
    assert "Keys of lead may also call as client" in run("show", "--profile", "lead").stdout


def test_nothing_has_left_for_a_profile_since_the_journal_begins(state: Path) -> None:
    write(state, "personal")
    shown = run("show", "--profile", "private")
    assert shown.stdout == (
        "Nothing has left this machine for profile private since 2026-11-01 12:00 UTC, when the journal begins.\n"
    )
    since = run("show", "--provider", "other", "--since", "2026-11-02")
    assert since.stdout == "Nothing has left this machine to other since 2026-11-02 00:00 UTC.\n"


def test_what_left_is_shown_newest_last(state: Path) -> None:
    write(state, "personal", "first")
    write(state, "second", at_s=NOON + 60, model="[red]/x", ends=False)
    shown = run("show").stdout
    assert [found.start() for found in re.finditer("personal|first|second", shown)] == sorted(
        shown.index(name) for name in ("personal", "first", "second")
    )
    assert "[red]/x" in shown
    assert "2026-11-01 12:01" in shown
    assert "no end yet" in shown
    assert "ok 200" in shown
    assert "3 calls left this machine: 3,000 bytes out, 40 bytes in." in shown
    [row] = json.loads(run("show", "--json", "--profile", "first").stdout)
    assert (row["key"], row["provider"], row["bytes_out"], row["status"], row["outcome"]) == (
        "key_1", "groq", 1000, 200, "ok",
    )  # fmt: skip
    assert json.loads(run("show", "--json", "--profile", "second").stdout)[0]["outcome"] is None


def test_a_long_table_is_cut_and_says_so(state: Path) -> None:
    write(state, *(f"p{number}" for number in range(203)), ends=False)
    shown = run("show").stdout
    assert "and 3 earlier" in shown
    assert "p2 " not in shown and "p3 " in shown and "p202" in shown
    assert len(json.loads(run("show", "--json").stdout)) == 203


@pytest.mark.parametrize(
    ("since", "count"),
    [("1h", 1), ("3d", 2), ("2026-11-01", 3), ("2026-11-01T12:00", 3), ("2026-11-01T13:30+01:00", 2), ("2w", None)],
)
def test_since(state: Path, monkeypatch: pytest.MonkeyPatch, since: str, count: int | None) -> None:
    for at_s in (NOON, NOON + 86_400, NOON + 3 * 86_400):
        write(state, "personal", at_s=at_s)
    monkeypatch.setattr(time, "time", lambda: NOON + 3 * 86_400 + 60)
    assert len(json.loads(run("show", "--json", "--since", since).stdout)) == (count or 3)


@pytest.mark.parametrize("since", ["yesterday", "24", "2026-13-01", "-1h", ""])
def test_a_since_that_is_none(state: Path, since: str) -> None:
    refused = run("show", "--since", since)
    assert refused.exit_code == 2
    assert "2026-11-01" in refused.stderr


def test_verify_a_whole_one(state: Path) -> None:
    assert run("verify").exit_code == 0
    write(state, "personal", "personal", "personal")
    told = run("verify")
    assert told.exit_code == 0
    assert "The journal is whole: 6 lines" in told.stdout
    found = json.loads(run("verify", "--json").stdout)
    assert (found["is_whole"], found["lines"], found["what"]) == (True, 6, "")


def test_verify_a_broken_one_names_the_place_and_what_to_do(state: Path) -> None:
    write(state, "personal", "personal", "personal")
    path = change_a_line(state)
    told = run("verify")
    assert told.exit_code == 1
    assert f"{path}, line 1: does not match its own hash" in told.stderr
    assert "The 2 lines before it are whole" in told.stderr
    assert "move it away" in told.stderr
    found = run("verify", "--json")
    assert found.exit_code == 1
    assert (json.loads(found.stdout)["file"], json.loads(found.stdout)["line"]) == (path.name, 1)


def test_a_broken_one_proves_nothing(state: Path) -> None:
    write(state, "personal", "personal", "personal")
    change_a_line(state)
    shown = run("show", "--profile", "client")
    assert shown.exit_code == 1
    assert "Nothing has left" not in shown.stdout
    assert "proves nothing" in shown.stdout
    assert "ringfence journal verify" in shown.stderr
    assert run("head").exit_code == 1


def test_a_noted_head(state: Path) -> None:
    write(state, "personal")
    noted = run("head").stdout.strip()
    assert json.loads(run("head", "--json").stdout)["head"] == noted
    write(state, "personal", "personal")
    assert run("verify", "--head", noted).exit_code == 0
    for path in (state / "journal").iterdir():
        path.unlink()
    write(state, "other", "other", "other")
    assert run("verify").exit_code == 0
    refused = run("verify", "--head", noted)
    assert refused.exit_code == 1
    assert "written anew" in refused.stderr
    assert run("verify", "--head", "12").exit_code == 2


def test_export_of_lines_is_the_journal_itself(state: Path) -> None:
    write(state, "personal", "personal", "personal")
    lines = b"".join(path.read_bytes() for path in sorted((state / "journal").glob("*.jsonl")))
    assert run("export", "--format", "jsonl").stdout_bytes == lines
    assert run("export", "--format", "jsonl", "copy.jsonl").exit_code == 0
    copy = state.parent / "copy.jsonl"
    assert copy.read_bytes() == lines
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    refused = run("export", "copy.jsonl")
    assert refused.exit_code == 1
    assert "not overwritten" in refused.stderr
    assert copy.read_bytes() == lines
    assert run("export", "nowhere/copy.csv").exit_code == 1
    assert run("export", "--format", "xml").exit_code == 2


def test_export_of_calls_is_a_table(state: Path) -> None:
    write(state, "personal", model="@cf/large, 'fast'")
    write(state, "personal", model='=HYPERLINK("x")', ends=False)
    first, second = csv.DictReader(io.StringIO(run("export").stdout))
    assert (first["profile"], first["bytes_out"], first["bytes_in"], first["outcome"]) == (
        "personal", "1000", "20", "ok",
    )  # fmt: skip
    assert first["model"] == "'@cf/large, 'fast'"
    assert second["model"].startswith("'=")
    assert second["ended"] == ""


def test_a_changed_file_does_not_talk_to_the_terminal(state: Path) -> None:
    write(state, "personal")
    path = next((state / "journal").glob("*.jsonl"))
    body = json.dumps({"seq": "\x1b[2J\x1b]0;owned\x07", "time": "2026-11-01T12:00:00+00:00", "prev": "0" * 64})
    digest = sha256(body.encode()).hexdigest()
    path.write_text(f'{body[:-1]},"hash":"{digest}"}}\n')
    told = run("verify")
    assert told.exit_code == 1
    assert "\x1b]0" not in told.stderr and "\x07" not in told.stderr


def test_a_folder_in_the_place_of_a_file(state: Path) -> None:
    write(state, "personal")
    (state / "journal" / "000000000003.jsonl").mkdir()
    told = run("verify")
    assert told.exit_code == 1
    assert "Traceback" not in told.output
    assert "there is a folder in the place of a file" in told.stderr
