"""Typer makes the command that is asked for and no other: making all of them takes longer than many run."""

from __future__ import annotations

import typer
from typer.main import get_command, get_group

from ringfence.cli.main import app, reduced

ALL = sorted(get_group(app).commands)


def made(words: list[str]) -> list[str]:
    return sorted(get_group(reduced(words)).commands)


def test_every_command_is_found_by_its_name_and_is_as_it_was() -> None:
    assert {"up", "serve", "keys", "lease", "mode"} <= set(ALL)
    for name in ALL:
        assert made([name, "--help"]) == [name]
        assert made(["--version", name]) == [name]
        alone, among_all = get_group(reduced([name])).commands[name], get_group(app).commands[name]
        with_all = typer.Context(get_command(app))
        assert alone.get_usage(with_all) == among_all.get_usage(with_all)


def test_all_are_there_where_none_is_named() -> None:
    for words in ([], ["--help"], ["no-such-command"], ["serv"]):
        assert made(words) == ALL
