"""What a line is worth by its form, before anybody asks: headings, code signatures, key-values."""

from __future__ import annotations

import re
from typing import Literal

HEADING = 5.0
SIGNATURE = 3.0
KEY_VALUE = 2.0
OVERLAP = 2.0
"""For each term of the question that a line has."""

Form = Literal["heading", "signature", "key_value", ""]

IS_HEADING = re.compile(
    r"""\s{0,3}\#{1,6}\s+\S|<h[1-6][\s>]|={2,}\s.*\s={2,}|第[\d一二三四五六七八九十百]+[章节節回部]
    |(?:(?:[A-Z]|\d+)\.)*\d+\.?\s+[A-Z][^.!?,;=]{2,60}$|[A-Z][A-Z0-9 ,/&-]{5,60}:?\s*$|\*\*[^*]{2,70}\*\*:?\s*$""",
    re.X,
)
IS_SIGNATURE = re.compile(
    r"""\s*(?:(?:export|default|public|private|protected|internal|static|async|abstract|final|override|virtual
        |inline|extern|unsafe|pub(?:\([^)]*\))?)\s+)*
    (?:(?:def|class|function|func|fn|struct|enum|interface|trait|impl|macro_rules!|module|namespace|package|typedef
        |type|object|record|protocol|sub|proc|fun|val)\s+[\w(]
    |(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?[A-Z]+\s|\#define\s
    |(?:const|let|var)\s+\w+\s*=\s*(?:async\s*)?(?:\(|function))""",
    re.X,
)
IS_C_SIGNATURE = re.compile(
    r"\s*(?:[A-Za-z_][\w:<>,*&\[\]]*\s+(?:\*?[A-Za-z_]\w*\([^;\"]*\)\s*(?:->\s*\S+\s*)?(?:\{|:\s*$|$))"
    r"|(?:[A-Za-z_][\w:<>,*&\[\]]*\s+){2,4}\*?\w+\([^;\"]*\)\s*\{)"
)
IS_KEY_VALUE = re.compile(
    r"""\s*(?:[-*+]\s+|export\s+|\|\s*)?[\"'`*]{0,2}[^\W\d][\w./ -]{0,50}+[\"'`*]{0,2}\s?
        (?:[:：=]|=>|->|(?<=-)>)\s*[^\s=:]""",
    re.X,
)
JOINT = re.compile(r"[:：=>]")
WORTH: dict[Form, float] = {"heading": HEADING, "signature": SIGNATURE, "key_value": KEY_VALUE, "": 0.0}
LONGEST = 160
"""Of a longer line only the beginning is looked at."""


def form_of(line: str) -> Form:
    """What a line looks like."""
    if len(line) > LONGEST:
        line = line[:LONGEST]
    if not line[:1].islower() and IS_HEADING.match(line):  # no heading begins with a small letter
        return "heading"
    if IS_SIGNATURE.match(line) or ("(" in line and IS_C_SIGNATURE.match(line)):
        return "signature"
    return "key_value" if JOINT.search(line) and IS_KEY_VALUE.match(line) else ""


def form_worth(line: str) -> float:
    """What the form alone is worth: +5.0, +3.0, +2.0 or nothing."""
    return WORTH[form_of(line)]
