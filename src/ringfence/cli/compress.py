"""`ringfence compress`: what would be kept of a file, by the same code that shortens what does not fit a window."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from ringfence.cli.words import plural

if TYPE_CHECKING:
    from ringfence.gateway.compress import Kept, Span

MOST_BYTES = 256 * 1024 * 1024
BYTES_A_TOKEN = 4
"""Of English text with the usual tokenizers; of most other text a token has fewer."""
GAP_CHARS = 200
GAP_LINES = 3
"""Of a longer gap so many are shown at each end."""
STEERING = {code: 0xFFFD for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\r\t"}


def tokens_of(text: str) -> int:
    """An estimate, the same for every model: four bytes a token."""
    return (len(text.encode("utf-8", "surrogatepass")) + BYTES_A_TOKEN - 1) // BYTES_A_TOKEN


def bytes_of(text: str) -> int:
    """What surely holds the tokens of any byte-level vocabulary."""
    return len(text.encode("utf-8", "surrogatepass"))


def run(file: str, tokens: int, query: str, *, exact: bool, as_json: bool) -> None:
    """Reads, compresses, and shows."""
    from ringfence.gateway.compress import compress

    text = _read(file)
    kept = compress(text, tokens, bytes_of if exact else tokens_of, query)
    if as_json:
        told = {"text": kept.text, "kind": kept.kind, "before": kept.before, "before_is_estimate": kept.is_estimate}
        told |= {"after": kept.after, "budget": tokens, "spans": kept.spans}
        typer.echo(json.dumps(told))
    elif sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        _show(text, kept)
        typer.echo(_counts(text, kept), err=True)
    else:  # for the next program: what is kept and nothing else
        typer.echo(kept.text, nl=not kept.text.endswith("\n") and kept.text != "")
        typer.echo(_counts(text, kept), err=True)


def _read(file: str) -> str:
    try:
        if file == "-":
            if sys.stdin.isatty():
                typer.echo("Reading what you type; Ctrl-D ends it.", err=True)
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            path = Path(file).expanduser()
            if path.is_dir():
                _refuse(f"{file} is a folder. Name a file, or - for standard input.")
            with path.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        _refuse(f"There is no file {file}. Name one, or - for standard input.")
    except OSError as error:
        _refuse(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.")
    if len(content) > MOST_BYTES:
        _refuse(f"{file} is longer than {MOST_BYTES >> 20} MiB. Give a part of it.")
    if b"\0" in content[:65536]:
        _refuse(f"{file} is no text: it has zero bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"{file} is not UTF-8 (byte {error.start}). Convert it first: iconv -f latin1 -t utf-8 {file}")


def _refuse(words: str) -> NoReturn:
    typer.secho(words, err=True, fg="red")
    raise typer.Exit(2)


def _show(text: str, kept: Kept) -> None:
    """What is kept as it is, what is left out dim; of a long gap, its first and last lines."""
    at = 0
    for start, end in kept.spans:
        typer.secho(_gap(text, at, start), nl=False, dim=True)
        typer.echo(_harmless(text[start:end]), nl=False)
        at = end
    typer.secho(_gap(text, at, len(text)), nl=not text.endswith("\n"), dim=True)


def _gap(text: str, start: int, end: int) -> str:
    """What is left out between two places, in a few lines."""
    head, tail = start, end
    for _ in range(GAP_LINES):
        head = text.find("\n", head, end) + 1 or end
    for _ in range(GAP_LINES + 1):
        tail = max(text.rfind("\n", start, tail), start)
    between = text.count("\n", head, tail) + 1
    if between >= 3:
        return f"{_ends(text[start:head])}      … {between:,} more lines left out …{_ends(text[tail:end])}"
    return _ends(text[start:end])


def _ends(part: str) -> str:
    """Of very long lines, their beginning and end."""
    if len(part) <= 3 * GAP_CHARS:
        return _harmless(part)
    between = len(part) - 2 * GAP_CHARS
    return f"{_harmless(part[:GAP_CHARS])} … {between:,} more characters left out … {_harmless(part[-GAP_CHARS:])}"


def _harmless(text: str) -> str:
    """Without what would steer a terminal."""
    return text.translate(STEERING)


def _counts(text: str, kept: Kept) -> str:
    if not text:
        return "The text is empty."
    lines = text.count("\n") + (not text.endswith("\n"))
    read_as = f"read as {kept.kind.replace('_', ' ')}"
    if kept.is_whole:
        return f"All of it fits: {plural(kept.before, 'token')}, {plural(lines, 'line')}, {read_as}."
    about = "about " if kept.is_estimate else ""
    of_lines = f"{lines_with(text, kept.spans):,} of {lines:,} lines, " if lines > 1 else ""
    return f"Kept {kept.after:,} of {about}{kept.before:,} tokens, {of_lines}{read_as}."


def lines_with(text: str, spans: Iterable[Span]) -> int:
    """Lines of which something is kept; of JSON, several pieces may stand in one."""
    found = at = 0
    is_new = True  # nothing of the line of `at` was counted yet
    for start, end in spans:
        is_new = is_new or "\n" in text[at:start]
        ends = text.count("\n", start, end)
        is_last_whole = text.endswith("\n", start, end)
        found += ends - is_last_whole + is_new
        is_new, at = is_last_whole, end
    return found
