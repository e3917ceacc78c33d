"""`ringfence compress`: what it shows, and what it says of what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ringfence.cli import compress as command
from ringfence.cli.main import app
from ringfence.gateway.compress import compress

TEXT = "".join(f"row {at} of a table\n" for at in range(100)) + "harbour lease: 4117\n"


def run(*arguments: str, stdin: bytes | None = None) -> Any:
    return CliRunner().invoke(app, ["compress", *arguments], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def test_what_is_kept_goes_to_standard_output_and_the_counts_beside_it(file: str) -> None:
    done = run(file, "--tokens", "40", "--query", "the harbour lease")
    assert done.exit_code == 0
    assert "harbour lease: 4117" in done.stdout and len(done.stdout.encode()) <= 4 * 40 + 1
    assert "of 453 tokens" in done.stderr and "of 101 lines" in done.stderr


def test_a_line_of_which_several_pieces_are_kept_counts_once() -> None:
    rows = "".join(f'{{"at": {at}, "event": "login", "user": "u{at % 9}"}}\n' for at in range(400))
    done = run("-", "-n", "60", "-q", "user 222", stdin=rows.encode())
    told = int(done.stderr.partition("tokens, ")[2].split()[0])
    assert told == sum(line.startswith("{") for line in done.stdout.splitlines())


@given(st.text("ab\n"), st.lists(st.integers(0, 30), max_size=8, unique=True))
def test_lines_are_counted_as_if_one_by_one(text: str, ends: list[int]) -> None:
    ends = sorted(end for end in ends if end <= len(text))
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    lines = {text.count("\n", 0, at) for start, end in spans for at in range(start, end)}
    assert command.lines_with(text, spans) == len(lines)


def test_from_standard_input_as_json() -> None:
    done = json.loads(run("-", "-n", "40", "-q", "lease", "--json", stdin=TEXT.encode()).stdout)
    assert done["after"] <= done["budget"] == 40 and done["kind"] == "prose" and not done["before_is_estimate"]
    assert "".join(TEXT[start:end] for start, end in done["spans"]).endswith("harbour lease: 4117\n")


def test_every_byte_as_a_token(file: str) -> None:
    assert len(run(file, "-n", "60", "--bytes").stdout.encode()) <= 61


def test_what_fits_is_said_to(file: str) -> None:
    done = run(file, "-n", "9999")
    assert done.stdout == TEXT and "All of it fits" in done.stderr


def shown(capsys: pytest.CaptureFixture[str], text: str, budget: int = 160) -> str:
    """As in a terminal, without its colours."""
    command._show(text, compress(text, budget, lambda part: len(part.encode()), "lease"))
    return capsys.readouterr().out.replace("\x1b[2m", "").replace("\x1b[0m", "")


def test_in_a_terminal_short_gaps_are_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(f"row {at} of a table\n" for at in range(8)) + "harbour lease: 4117\n"
    assert shown(capsys, text, 60) == text


def test_in_a_terminal_of_long_gaps_both_ends_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, TEXT)
    assert "more lines left out" in said and "harbour lease: 4117" in said
    lines = said.splitlines()
    assert len(lines) < 40
    hidden = sum(int(line.split()[1]) for line in lines if "more lines left out" in line)
    assert len(lines) + hidden - said.count("more lines left out") == len(TEXT.splitlines())
    assert [line for line in lines if "left out" not in line] == [line for line in TEXT.splitlines() if line in lines]


def test_in_a_terminal_of_very_long_lines_both_ends_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, json.dumps([{"row": at, "note": "nothing"} for at in range(5000)]))
    assert "more characters left out" in said and len(said) < 3000


def test_a_terminal_is_not_steered_by_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, f"\x1b]0;title\x07\n{TEXT}\x9b2J\n")
    assert "title" in said and not {"\x1b", "\x07", "\x9b"} & set(said)


def test_an_empty_text_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    done = run(str(tmp_path / "empty"), "-n", "9")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "The text is empty.\n")


def test_one_line_is_not_counted_in_lines() -> None:
    done = run("-", "-n", "9", stdin=b'{"a": [' + b"1, " * 99 + b"1]}")
    assert "lines" not in done.stderr and "read as json" in done.stderr


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    binary, latin = tmp_path / "a.bin", tmp_path / "latin.txt"
    binary.write_bytes(b"\x7fELF\0\0\0")
    latin.write_bytes("naïve".encode("latin1"))
    for name, words in (
        (str(tmp_path / "none"), "There is no file"), (str(tmp_path), "is a folder"), (str(binary), "is no text"),
        (str(latin), "is not UTF-8"),
    ):  # fmt: skip
        done = run(name, "-n", "9")
        assert done.exit_code == 2 and words in done.stderr and "Traceback" not in done.stderr
    monkeypatch.setattr(command, "MOST_BYTES", 1 << 10)
    assert "is longer than" in run(file, "-n", "9").stderr
    assert run(file, "-n", "0").exit_code == 2
