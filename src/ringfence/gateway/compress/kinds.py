"""What a text is: told from a few dozen of its lines."""

from __future__ import annotations

import re

from ringfence.gateway.compress.kept import Kind, Span

SAMPLED = 40
"""Lines that are looked at: at the beginning, in the middle and at the end."""

MOST_READ, SHOWN = 1 << 20, 1 << 16

STAMP = re.compile(
    r"""\s*(?:\W{0,2}\d{4}[-/.]\d\d[-/.]\d\d[T ,_]|\W{0,2}\d\d:\d\d:\d\d|[A-Z][a-z]{2}\s+\d{1,2}\s\d\d:\d\d
    |\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\b|\[\s*\d+\.\d{3,}\]|\d{10,13}[ .\t]|<\d{1,3}>
    |(?:\d{1,3}\.){3}\d{1,3}\s\S+\s\S+\s\[)""",
    re.X,
)
CODE = re.compile(
    r"""\s*(?:(?:export|public|private|protected|static|async|pub)\s|(?:def|class|fn|func|function|struct|enum|impl|trait
    |interface|import|from|return|if|elif|else|for|while|try|except|catch|switch|case|const|let|var|package|use|SELECT
    |CREATE|INSERT)\b.*[({:;=]|(?:from\s\S+\s)?import\s[\w.]|(?:return|raise|yield|with|await|assert)\s.*[\w)\]}"':]$
    |[}\])]+[;,]?\s*$|//|/\*|\#include|@\w+|\w[\w.\[\]]*\s*(?:[-+*/|:]?=|\+=)\s*\S|.*[;{]\s*$)""",
    re.X,
)

NO_JSON = ('"""', "{%", "{{", "{#")
"""Docstrings and templates, which begin as JSON does."""
OF_CODE = 0.33
"""Of the lines: comments and docstrings stand between them."""


def kind_of(text: str, part: Span | None = None) -> Kind:
    """The kind of a text, or of a part of it. A guess about the form alone: a wrong one costs quality, never
    correctness."""
    start, end = part or (0, len(text))
    if end - start > MOST_READ:  # three stretches tell as much
        middle = (start + end) // 2
        text = text[start : start + SHOWN] + text[middle : middle + SHOWN] + text[end - SHOWN : end]
    elif part:
        text = text[start:end]
    begins = text[:256].lstrip()[:3]
    first = begins[:1]
    if first and first in '{["' and not begins.startswith(NO_JSON):
        end = text[-256:].rstrip()[-1:]
        if first != '"' and _are_values(text[:SHOWN].split("\n", 3)):
            return Kind.JSON_LINES
        if end == {"{": "}", "[": "]", '"': '"'}[first]:
            return Kind.JSON
    lines = _sample(text)
    if not lines:
        return Kind.PROSE
    half = max(1, len(lines) / 2)
    if sum(1 for line in lines if STAMP.match(line)) >= half:
        return Kind.LOG
    if _is_table(lines):
        return Kind.TABLE
    return Kind.CODE if sum(1 for line in lines if CODE.match(line)) >= max(1, len(lines) * OF_CODE) else Kind.PROSE


def _are_values(lines: list[str]) -> bool:
    """Whether the first two of several lines look like an object or a list each."""
    ends = [line.strip()[:1] + line.strip()[-1:] for line in lines[:2]]
    return len(lines) > 2 and all(one in ("{}", "[]") for one in ends)


def _sample(text: str) -> list[str]:
    found: list[str] = []
    for at in (0, len(text) // 2, max(0, len(text) - 4096)):
        part = text[at : at + 4096].split("\n")
        found += [line[:400] for line in part[bool(at) :] if line.strip()][: SAMPLED // 3]
    return found


def _is_table(lines: list[str]) -> bool:
    """Rows that have the same delimiter equally often, at least twice."""
    for mark in ("\t", "|", ",", ";"):
        counts = [line.count(mark) for line in lines]
        usual = max(set(counts), key=counts.count)
        if usual >= 2 and len(lines) >= 4 and counts.count(usual) >= 0.8 * len(lines):
            return True
    return False
