"""Cards, accounts, personal numbers and telephone numbers in text.

The text is bytes, one per character. Digits are looked for in its *shape*, a translation in which every digit is '0',
every letter 'A' and every separator a space: a search for one literal byte costs next to nothing where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate

from ringfence.signals.checksums import (
    IBAN_LENGTHS,
    is_card,
    is_dutch_bsn,
    is_french_nir,
    is_german_tax_id,
    is_iban,
    is_pesel,
    is_spanish_dni,
    is_uk_nino,
    is_us_ssn,
)

SEPARATORS = b" .-/()"
LETTERS = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
SHAPE = bytes(
    0x30 if mark in b"0123456789" else 0x41 if mark in LETTERS else 0x20 if mark in SEPARATORS else 0x2E
    for mark in range(256)
)
CHAIN = re.compile(rb"0[0 ]{5,}")
IBAN = re.compile(rb"0(?<=AA0)0(?= ?[A0]{4})")
IBAN_RUN = re.compile(rb"[A0 ]{15,60}")
GROUPS = re.compile(r"[0-9]+")
BYTE_GROUPS = re.compile(rb"[0-9]+")
LETTERED = frozenset(((8,), (2, 3, 3), (7,), (1, 3, 3), (6,), (2, 2, 2)))
"""Groups of digits beside which letters may stand."""
GLUE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
CONTEXT_CHARS = 48
CHAIN_KINDS = frozenset(("card", "id_number", "phone"))

BSN_WORDS = ("bsn", "burgerservice", "sofinummer", "sofi-nummer")
SSN_WORDS = ("ssn", "social security", "social-security")
PHONE_WORD = re.compile(
    r"\b(?:tel|tél|phone|telephone|telefon|telefono|teléfono|téléphone|handy|mobile?|móvil|cell|cellulare|portable|fax|"
    r"whatsapp|gsm|rufnummer|call (?:me|us|him|her|them)(?: on| at)?)\b[^0-9a-z]{0,6}"
    r"(?:(?:number|nummer|no|nr|is|ist)[.: ]{1,3})?$"
)

CARD_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 5, 6), (4, 3, 3, 3), (4, 4, 4, 4, 3), (6, 13), (8, 8)} | {
    (size,) * (16 // size) for size in (1, 2)
}
CHECKS: dict[tuple[int, ...], tuple[tuple[str, Callable[[str], bool]], ...]] = {
    **dict.fromkeys(CARD_SHAPES, (("card", is_card),)),
    **{(size,): (("card", is_card),) for size in (13, 14, 16, 17, 18, 19)},
    (15,): (("card", is_card), ("id_number", is_french_nir)),
    (1,) * 15: (("card", is_card),),
    (1, 2, 2, 2, 3, 3, 2): (("id_number", is_french_nir),),
    (13, 2): (("id_number", is_french_nir),),
    (3, 2, 4): (("id_number", is_us_ssn),),
    (11,): (("id_number", is_german_tax_id), ("id_number", is_pesel)),
    (2, 3, 3, 3): (("id_number", is_german_tax_id),),
    (4, 2, 3): (("id_number", is_dutch_bsn),),
}
"""What a number in groups of these sizes is checked for."""
SERIES = frozenset(((1,) * 16, (1,) * 15, (2,) * 8))
SHAPES_BY_FIRST: dict[int, tuple[tuple[int, ...], ...]] = {
    first: tuple(sorted((shape for shape in CHECKS if shape[0] == first), key=len))
    for first in {shape[0] for shape in CHECKS}
}
E164 = re.compile(rb"\+(?<![0-9A-Za-z_]\+)(?:\(0\))?[1-9][0-9]*+(?:[ .\-/()]{1,3}[0-9]++){0,8}+")
NORTH_AMERICAN = re.compile(
    r"(?<![0-9])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([\-.]))[2-9][0-9]{2}(?(1)\1|[ .\-])[0-9]{4}(?![0-9])"
)
NATIONAL = re.compile(
    r"\(?0[1-9][0-9]{0,4}\)?"
    r"(?:(?: ?/ ?| - ?|-| )[0-9]{3,9}(?:[ \-][0-9]{2,5}){0,3}|(?:([ .\-])[0-9]{2})(?:\1[0-9]{2}){3})"
)
DATE = re.compile(r"0?[0-9]{1,2}[.\-/ ]0?[0-9]{1,2}[.\-/ ](?:19|20)[0-9]{2}")


def numbers_in(data: bytes, wanted: frozenset[str]) -> set[str]:
    """The kinds of numbers found in `data`, of those wanted."""
    shape = data.translate(SHAPE)
    found: set[str] = set()
    missing = wanted & CHAIN_KINDS
    for chain in CHAIN.finditer(shape):
        start, end = chain.span()
        text = data[start:end].strip(b" .-/()")
        if text.count(b".") == 1 and text.replace(b".", b"").isdigit():
            continue  # a decimal number
        for kind in chain_kinds(data, start, end, missing):
            found.add(kind)
            missing -= {kind}
        if not missing:
            break
    if "iban" in wanted and has_iban(data, shape):
        found.add("iban")
    if "phone" in missing and any(map(is_international, E164.finditer(data))):
        found.add("phone")
    return found


def has_iban(data: bytes, shape: bytes) -> bool:
    for opening in IBAN.finditer(shape):
        start = opening.start() - 2
        run = IBAN_RUN.match(shape, start)
        if run is not None and iban_at(data, start, run.end()):
            return True
    return False


def is_international(number: re.Match[bytes]) -> bool:
    """E.164: '+', a country and 8 to 15 digits in all, in whole groups; what stands behind may be something else."""
    after = number.string[number.end() : number.end() + 1].decode("latin-1")
    sizes = [len(group) for group in BYTE_GROUPS.findall(number[0])]
    if after in GLUE:
        sizes.pop()
    return any(8 <= total <= 15 for total in accumulate(sizes))


def chain_kinds(data: bytes, start: int, end: int, wanted: frozenset[str]) -> Iterator[str]:
    text = data[start:end].decode("latin-1")
    before = data[start - 1 : start].decode("latin-1") if start else ""
    after = data[end : end + 1].decode("latin-1")
    groups = [found.span() for found in GROUPS.finditer(text)]
    sizes = tuple(stop - begin for begin, stop in groups)
    total = sum(sizes)
    if total < 6 or not wanted:
        return
    if "id_number" in wanted:
        for count in (1, 3):
            if (
                count <= len(sizes)
                and sizes[-count:] in LETTERED
                and lettered_id(data, start + groups[-count][0], start + groups[-1][1])
            ):
                yield "id_number"
    if total < 7:
        return
    first = 1 if before in GLUE else 0
    last = len(groups) - 1 if after in GLUE and groups[-1][1] == len(text) else len(groups)
    if first >= last:
        return
    yield from grouped_kinds(text, groups, sizes, first, last, wanted)
    if first or last < len(groups):
        return
    if "phone" in wanted and is_phone(data, start, text.rstrip(" .-/("), sizes):
        yield "phone"
    if total == 9 and "id_number" in wanted and named_id(data, start, text):
        yield "id_number"


def grouped_kinds(
    text: str, groups: list[tuple[int, int]], sizes: tuple[int, ...], first: int, last: int, wanted: frozenset[str]
) -> Iterator[str]:
    """Checks every window of whole groups whose sizes are those of something."""
    for at in range(first, last):
        for shape in SHAPES_BY_FIRST.get(sizes[at], ()):
            stop = at + len(shape)
            if stop > last or sizes[at:stop] != shape:
                continue
            if shape in SERIES and at > first and sizes[at - 1] == sizes[at]:
                continue  # in the midst of a row of numbers
            checks = [check for check in CHECKS[shape] if check[0] in wanted]
            if not checks:
                continue
            glue = {text[groups[i][1] : groups[i + 1][0]] for i in range(at, stop - 1)}
            if len(glue) > 1 or not glue <= {" ", "-", ".", "/"}:
                continue
            if len(shape) == 1 and at and text[groups[at][0] - 1] == ".":
                continue  # what follows a decimal point
            digits = "".join(text[begin:end] for begin, end in groups[at:stop])
            yield from (kind for kind, holds in checks if holds(digits))


def context(data: bytes, start: int) -> str:
    return data[max(0, start - CONTEXT_CHARS) : start].decode("latin-1").lower()


def named_id(data: bytes, start: int, text: str) -> bool:
    """Nine digits are somebody's number too easily: without the printed form a word before them must say so."""
    digits = "".join(GROUPS.findall(text))
    said = context(data, start)
    if any(word in said for word in BSN_WORDS) and is_dutch_bsn(digits):
        return True
    return any(word in said for word in SSN_WORDS) and is_us_ssn(digits)


def lettered_id(data: bytes, start: int, end: int) -> bool:
    """DNI, NIE and National Insurance number: digits with letters before or behind."""
    tail = data[end : end + 3].decode("latin-1").lstrip(" -").upper()
    head = data[max(0, start - 4) : start].decode("latin-1").upper()
    last = tail[:1]
    if not last.isalpha() or tail[1:2] in GLUE or not last.isascii():
        return False
    digits = "".join(GROUPS.findall(data[start:end].decode("latin-1")))
    if len(digits) == 8:
        return head[-1:] not in GLUE and is_spanish_dni(digits + last)
    if len(digits) == 7:
        opening = head.rstrip(" -")
        return (
            opening[-1:] in ("X", "Y", "Z")
            and opening[-2:-1] not in GLUE
            and is_spanish_dni(opening[-1:] + digits + last)
        )
    opening = head.rstrip(" -")
    return len(opening) >= 2 and opening[-3:-2] not in GLUE and is_uk_nino(opening[-2:] + digits + last)


def iban_at(data: bytes, start: int, run_end: int) -> bool:
    """As many letters and digits as an account of this country has, and nothing more glued to them."""
    if start and chr(data[start - 1]) in GLUE:
        return False
    size = IBAN_LENGTHS.get(data[start : start + 2].decode("latin-1").upper(), 0)
    marks = ""
    for at in range(start, run_end):
        mark = chr(data[at])
        if mark in GLUE:
            if len(marks) == size:
                return chr(data[at - 1]) not in GLUE and is_iban(marks)
            marks += mark.upper()
    return is_iban(marks)


def is_phone(data: bytes, start: int, text: str, sizes: tuple[int, ...]) -> bool:
    """National forms. Plain digits count only behind a word such as "tel"."""
    opening = "(" if start and data[start - 1 : start] == b"(" else ""
    if NORTH_AMERICAN.search(opening + text):
        return True
    total = sum(sizes)
    if not 7 <= total <= 15 or DATE.match(text):
        return False
    is_zip = sizes == (5, 4) and text[5] == "-"  # of the United States
    if 9 <= total <= 13 and not is_zip and NATIONAL.fullmatch(opening + text):
        return True
    if text.startswith("00") and sizes[0] <= 6 and len(sizes) > 1 and total >= 10 and text[2] != "0":
        return "." not in text
    return PHONE_WORD.search(context(data, start)) is not None
