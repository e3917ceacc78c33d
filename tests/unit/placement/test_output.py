"""What an engine writes is bounded in memory and on disk."""

from __future__ import annotations

from pathlib import Path

from ringfence.placement.output import Output


def test_the_last_lines_are_kept(tmp_path: Path) -> None:
    output = Output(None, kept_lines=3)
    for number in range(5):
        output.add(f"line {number}\n")
    assert output.lines == ("line 2", "line 3", "line 4")


def test_the_files_are_two_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "engine.log"
    output = Output(path, file_bytes=1000)
    for number in range(500):
        output.add(f"line {number}")
    output.close()
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["engine.log", "engine.log.1"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert path.read_text().endswith("line 499\n")
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    for text in ("one", "two"):
        output = Output(path)
        output.add(text)
        output.close()
    assert path.read_text() == "one\ntwo\n"


def test_a_line_is_cut() -> None:
    output = Output(None)
    output.add("x" * 10_000)
    assert len(output.lines[0]) == 500


def test_a_disk_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = Output(tmp_path / "file" / "engine.log")
    output.add("still here")
    assert output.lines == ("still here",)
