"""Cards, accounts, personal numbers and telephone numbers in text.

The text is bytes, one per character. Digits are looked for in its *shape*, a translation in which every digit is '0',
every letter 'A' and every separator a space: a search for one literal byte costs next to nothing where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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
DIGITS = b"0123456789"
FORM = bytes(
    0x30 if mark in DIGITS else 0x41 if mark in LETTERS else mark if mark in SEPARATORS or mark == 0x5F else 0x2C
    for mark in range(256)
)
STARTS = (*((b"%c0" % mark, b"%c1" % mark) for mark in SEPARATORS + b","), (b"A0", b"A2"), (b"_0", b"_2"))
OPEN_START = re.compile(rb"0(?<![0-2A_]0)")
GLUED_START = re.compile(rb"0(?<=[A_]0)")
FEW = 16
CHAIN = re.compile(rb"[12][0-2 .\-/()]{5,}")
IBAN = re.compile(rb"2(?<=AA2)(?<![0-2A_]AA2)0(?=[ .\-/()]?[A0-2]{4})")
IBAN_FORMS = {size: re.compile(rb"(?:[ .\-/()]*+[A0-2]){%d}(?![A0-2])" % size) for size in {*IBAN_LENGTHS.values()}}
"""By how many letters and digits an account has."""
GROUPS = re.compile(r"[0-9]+")
BYTE_GROUPS = re.compile(rb"[0-9]+")
GLUE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
CONTEXT_CHARS = 48

BSN_WORDS = ("bsn", "burgerservice", "sofinummer", "sofi-nummer")
SSN_WORDS = ("ssn", "social security", "social-security")
PHONE_WORD = re.compile(
    r"\b(?:tel|tél|phone|telephone|telefon|telefono|teléfono|téléphone|handy|mobile?|móvil|movil|cell|cellulare|portable|fax|"
    r"whatsapp|gsm|rufnummer|call (?:me|us|him|her|them)(?: on| at)?)\b[^0-9a-z]{0,6}"
    r"(?:(?:number|nummer|no|nr|is|ist)[.: ]{1,3})?$"
)

SPOKEN = {
    "tel", "tél", "phone", "telefon", "telefono", "teléfono", "téléphone", "handy", "mobil", "mobile", "móvil", "movil",
    "cell", "cellulare", "portable", "fax", "whatsapp", "gsm", "rufnummer",
}  # fmt: skip
PHONE_WORDS = tuple(word.encode("latin-1") for word in sorted(SPOKEN | {"call"}))
"""Without any of them PHONE_WORD cannot be found."""
PHONE_ENDS = tuple(
    word.encode("latin-1")
    for word in sorted(
        SPOKEN | {"me", "us", "him", "her", "them", "on", "at", "number", "nummer", "no", "nr", "is", "ist"}
    )
)
"""With what PHONE_WORD can end."""
ID_WORDS = tuple(word.replace("-", " ").encode() for word in BSN_WORDS + SSN_WORDS)
LOWERED = bytes(
    ord(mark.lower()) if mark.isalnum() and (mark.isascii() or mark >= "\xc0") else 0x20
    for mark in map(chr, range(256))
)
"""Small letters and digits, and a space for everything else."""

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
LONGER = ((4, 4, 4, 4, 3), (13, 2))
"""Those that begin as another does."""
SERIES = ((1,) * 15, (1,) * 16, (2,) * 8)
"""Looked for at the beginning of a row of numbers only."""


FRACTIONS = (b"0.", b"1.", b"2.")
AROUND = 64
"""How far around a number it is looked for a decimal point, in characters."""


def form_of(sizes: tuple[int, ...], glue: str) -> str:
    return glue.join("1" + "0" * (size - 1) for size in sizes)


def tree(words: list[str]) -> str:
    """A pattern for any of `words`, in which what they have in common is written once."""
    heads = dict.fromkeys(word[0] for word in words if word)
    branches = [re.escape(head) + tree([word[1:] for word in words if word[:1] == head]) for head in heads]
    if "" in words:
        branches.append("(?![0-2A_])")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def first_of_row(size: int) -> str:
    """Not behind another group of this size, which one or two separators part from it."""
    group, between = "1" + "0" * (size - 1), r"[ .\-/()]"
    return f"(?<!{group}{between}1)(?<!{group}{between}{between}1)"


def starts(sizes: Iterable[tuple[int, ...]], where: str = "") -> re.Pattern[bytes]:
    """Finds every place at which a number in groups of these sizes begins. It may overlap with the next."""
    words = sorted({form_of(each, glue)[1:] for each in sizes for glue in " -./"})
    return re.compile(f"1{where}(?=({tree(words)}))".encode())


WINDOWS = (
    starts(sizes for sizes in CHECKS if sizes not in LONGER and sizes not in SERIES),
    starts(LONGER),
    *(starts((sizes,), first_of_row(sizes[0])) for sizes in SERIES),
)
CHECKS_BY_FORM = {form_of(sizes, glue)[1:].encode(): checks for sizes, checks in CHECKS.items() for glue in " -./"}
NEAR_LETTER = rb"(?:(?<=A[12])|(?<=A[ \-][12])|(?<=A[ \-][ \-][12])|(?<=A[ \-][ \-][ \-][12]))"
SEVEN_OR_SIX = rb"(?:0{5,6}|[ .\-/()]+100[ .\-/()]+100|0[ .\-/()]+10[ .\-/()]+10)"
LETTERED = tuple(
    re.compile(rb"%b(?:%b)(?=(?![0])[ \-]{0,2}A)" % (start, body))
    for start, body in (
        (b"1", rb"0{7}|0[ .\-/()]++100[ .\-/()]++100"),
        (b"1", NEAR_LETTER + SEVEN_OR_SIX),
        (b"2", NEAR_LETTER + SEVEN_OR_SIX),
    )
)
"""Groups of digits beside which letters stand."""
E164 = re.compile(
    rb"\+(?<![0-9A-Za-z_]\+)(?=(?:[ .\-/()]{0,3}[0-9]){8})(?:\(0\))?[1-9][0-9]*+(?:[ .\-/()]{1,3}[0-9]++){0,8}+"
)
NORTH_AMERICAN = re.compile(
    r"(?<![0-9])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([\-.]))[2-9][0-9]{2}(?(1)\1|[ .\-])[0-9]{4}(?![0-9])"
)
NATIONAL = re.compile(
    r"\(?0[1-9][0-9]{0,4}\)?"
    r"(?:(?: ?/ ?| - ?|-| )[0-9]{3,9}(?:[ \-][0-9]{2,5}){0,3}|(?:([ .\-])[0-9]{2})(?:\1[0-9]{2}){3})"
)
NATIONAL_BYTES = re.compile(rb"(?=(?:[^0-9]*+[0-9]){9})" + NATIONAL.pattern.encode() + rb"[ .\-/(]*")
ABROAD = re.compile(rb"(?=(?:[^0-9]*+[0-9]){10})00(?:[1-9][0-9]{0,3})?[ \-/()]+[0-9][0-9 \-/()]*+[ .\-/(]*+")
NANP_FORM = re.compile(rb"1(?=00(?:([\-.])100\1|\) ?100[ .\-])1000(?!0))")
DATE = re.compile(r"0?[0-9]{1,2}[.\-/ ]0?[0-9]{1,2}[.\-/ ](?:19|20)[0-9]{2}")


def form(data: bytes) -> bytes:
    """`data` with every digit as '0', the first of each group as '1', or as '2' where it is glued to a letter; letters
    as 'A', separators as they are, and ',' for the rest."""
    shape = data.translate(FORM)
    if shape[:1] == b"0":
        shape = b"1" + shape[1:]
    if shape.count(b"0") * FEW < len(shape):
        return GLUED_START.sub(b"2", OPEN_START.sub(b"1", shape))
    for plain, marked in STARTS:  # the same, where digits are many
        shape = shape.replace(plain, marked)
    return shape


def numbers_in(data: bytes, wanted: frozenset[str]) -> set[str]:
    """The kinds of numbers found in `data`, of those wanted."""
    found: set[str] = set()
    if not data.translate(FORM).count(b"0"):
        return found
    shape = form(data)
    if "iban" in wanted and has_iban(data, shape):
        found.add("iban")
    if "phone" in wanted and b"+" in data and any(map(is_international, E164.finditer(data))):
        found.add("phone")
    if CHAIN.search(shape) is None:
        return found
    found |= grouped_kinds(data, shape, wanted)
    if "id_number" in wanted - found and has_lettered_id(data, shape):
        found.add("id_number")
    if (wanted - found) & {"phone", "id_number"}:
        found |= chain_kinds(data, shape, wanted - found)
    return found


def has_iban(data: bytes, shape: bytes) -> bool:
    """As many letters and digits as an account of this country has, and nothing more glued to them."""
    for opening in IBAN.finditer(shape):
        start = opening.start() - 2
        whole = IBAN_FORMS.get(IBAN_LENGTHS.get(data[start : start + 2].decode().upper(), 0))
        account = whole.match(shape, start) if whole is not None else None
        if account is not None and is_iban(data[start : account.end()].translate(None, SEPARATORS).decode().upper()):
            return True
    return False


def grouped_kinds(data: bytes, shape: bytes, wanted: frozenset[str]) -> set[str]:
    """Checks every window of whole groups whose sizes are those of something."""
    found: set[str] = set()
    for windows in WINDOWS:
        for window in windows.finditer(shape):
            start, end = window.start(), window.end(1)
            for kind, holds in CHECKS_BY_FORM[window[1]]:
                if kind in found or kind not in wanted:
                    continue
                text = data[start:end]
                digits = text if text.isdigit() else text.translate(None, SEPARATORS)
                if holds(digits.decode()) and is_alone(shape, start, end):
                    found.add(kind)
    return found


def is_alone(shape: bytes, start: int, end: int) -> bool:
    """Not a decimal number, nor a part of one."""
    width = end - start
    if b"." in shape[start - 1 : start] + shape[start : end + 1]:
        if width < 20 and not shape[start + 1 : end].strip(b"0") and shape[max(0, start - 2) : start] in FRACTIONS:
            return False
        return not is_in_decimal(shape, start, end)
    return True


def is_in_decimal(shape: bytes, start: int, end: int) -> bool:
    around = shape[max(0, start - AROUND) : end + AROUND]
    reached = min(start, AROUND) + end - start
    return is_decimal(next((chain[0] for chain in CHAIN.finditer(around) if chain.end() >= reached), b""))


def is_decimal(chain: bytes) -> bool:
    chain = chain.strip(SEPARATORS)
    return chain.count(b".") == 1 and chain.replace(b".", b"").isdigit()


def has_lettered_id(data: bytes, shape: bytes) -> bool:
    for pattern in LETTERED:
        for found in pattern.finditer(shape):
            start, end = found.span()
            if lettered_id(data, start, end) and not is_in_decimal(shape, start, end):
                return True
    return False


def is_international(number: re.Match[bytes]) -> bool:
    """E.164: '+', a country and 8 to 15 digits in all, in whole groups; what stands behind may be something else."""
    after = number.string[number.end() : number.end() + 1].decode("latin-1")
    sizes = [len(group) for group in BYTE_GROUPS.findall(number[0])]
    if after in GLUE:
        sizes.pop()
    return any(8 <= total <= 15 for total in accumulate(sizes))


def chain_kinds(data: bytes, shape: bytes, wanted: frozenset[str]) -> set[str]:
    """What depends on all groups that stand together: telephones, and numbers of which a word says what they are."""
    found: set[str] = set()
    lowered = data.translate(LOWERED)
    chains = [chain.span() for chain in CHAIN.finditer(shape)]
    is_long = len(chains) > FEW  # then one look at all of it is cheaper than one before each
    has_phone_words = not is_long or any(word in lowered for word in PHONE_WORDS)
    has_id_words = "id_number" in wanted and (not is_long or any(word in lowered for word in ID_WORDS))
    american = {match.start() for match in NANP_FORM.finditer(shape)} if "phone" in wanted else set[int]()
    first_american = min(american, default=len(data))
    for start, end in chains:
        if shape[start] == 0x32 or (shape[end - 1] in b"012" and shape[end : end + 1] in (b"A", b"_")):
            continue  # glued to letters
        is_open = "phone" in wanted and "phone" not in found
        if has_id_words and "id_number" not in found and len(shape[start:end].translate(None, SEPARATORS)) == 9:
            number = data[start:end]
            if not is_decimal(number) and named_id(data, start, number.decode()):
                found.add("id_number")
        if not is_open:
            continue
        is_american = first_american < end and not american.isdisjoint(range(start, end))
        is_national = data[start] == 0x30 and may_be_national(data, start, end)
        if is_american or is_national or (has_phone_words and has_phone_word(lowered, start)):
            text = data[start:end].decode()
            if not is_decimal(data[start:end]) and is_phone(
                data, start, text.rstrip(" .-/("), tuple(map(len, GROUPS.findall(text)))
            ):
                found.add("phone")
    return found


def may_be_national(data: bytes, start: int, end: int) -> bool:
    opening = start - 1 if data[start - 1 : start] == b"(" and start else start
    if NATIONAL_BYTES.fullmatch(data, opening, end) is not None:
        return end - start != 10 or data[start + 5] != 0x2D  # a postal code of the United States
    return ABROAD.fullmatch(data, start, end) is not None


def has_phone_word(lowered: bytes, start: int) -> bool:
    """A look at what stands right before, ahead of the closer one."""
    return lowered[max(0, start - 20) : start].rstrip(b" ").endswith(PHONE_ENDS)


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
    tail = data[end : end + 3].lstrip(b" -").upper()
    last = tail[:1]
    if not last.isalpha() or is_glue(tail[1:2]):
        return False
    digits = data[start:end].translate(None, SEPARATORS)
    head = data[max(0, start - 4) : start].upper()
    if len(digits) == 8:
        return not is_glue(head[-1:]) and is_spanish_dni((digits + last).decode())
    opening = head.rstrip(b" -")
    if len(digits) == 7:
        is_opened = opening[-1:] in (b"X", b"Y", b"Z") and not is_glue(opening[-2:-1])
        return is_opened and is_spanish_dni((opening[-1:] + digits + last).decode())
    return (
        len(opening) >= 2
        and not is_glue(opening[-3:-2])
        and is_uk_nino((opening[-2:] + digits + last).decode("latin-1"))
    )


def is_glue(mark: bytes) -> bool:
    return mark.isalnum() or mark == b"_"


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
