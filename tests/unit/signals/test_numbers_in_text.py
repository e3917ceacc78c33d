"""Cards, accounts, personal numbers, telephones: found in any surroundings, and not with a wrong digit.

The numbers are made by arithmetic of their own, the other way round than the code under test.
"""

from __future__ import annotations

import random
import string
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.signals import checksums
from ringfence.signals.checksums import CARD_PREFIXES, FISCAL_EVEN, FISCAL_MONTHS, FISCAL_ODD, IBAN_LENGTHS
from ringfence.signals.sensitivity import Sensitivity

DIGITS = st.sampled_from("0123456789")


def digits(size: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=size, max_size=size)


@st.composite
def cards(draw: st.DrawFn, size: int | None = None) -> str:
    low, high, lengths = draw(st.sampled_from([row for row in CARD_PREFIXES if size is None or size in row[2]]))
    head = str(draw(st.integers(low, high)))
    length = size or draw(st.sampled_from(sorted(lengths)))
    body = head + draw(digits(length - 5))
    total = sum(int(d) if i % 2 else (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(d)] for i, d in enumerate(reversed(body)))
    return body + str(-total % 10)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(IBAN_LENGTHS)))
    marks = st.text(st.sampled_from(string.digits + string.ascii_uppercase), min_size=IBAN_LENGTHS[country] - 4)
    account = draw(marks)[: IBAN_LENGTHS[country] - 4]
    value = 0
    for mark in account + country + "00":
        number = ord(mark) - (48 if mark.isdigit() else 55)
        value = (value * (10 if number < 10 else 100) + number) % 97
    return f"{country}{98 - value:02d}{account}"


@st.composite
def german_tax_ids(draw: st.DrawFn) -> str:
    used = draw(st.permutations("0123456789"))
    first = draw(st.permutations([*used[:9], used[0]]).filter(lambda row: row[0] != "0"))
    product_ = 10
    for digit in first:
        total = (int(digit) + product_) % 10
        product_ = (total if total else 10) * 2 % 11
    check = 11 - product_
    return "".join(first) + str(0 if check == 10 else check)


@st.composite
def dnis(draw: st.DrawFn) -> str:
    number = draw(digits(8))
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


@st.composite
def nies(draw: st.DrawFn) -> str:
    opening, number = draw(st.integers(0, 2)), draw(digits(7))
    return "XYZ"[opening] + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{opening}{number}") % 23]


@st.composite
def codici(draw: st.DrawFn) -> str:
    letters = st.sampled_from(string.ascii_uppercase)
    name = "".join(draw(st.lists(letters, min_size=6, max_size=6)))
    day = draw(st.integers(1, 31)) + draw(st.sampled_from((0, 40)))
    birth = draw(digits(2)) + draw(st.sampled_from(FISCAL_MONTHS)) + f"{day:02d}"
    body = name + birth + draw(letters) + draw(digits(3))
    total = sum((FISCAL_EVEN if index % 2 else FISCAL_ODD)[mark] for index, mark in enumerate(body))
    return body + string.ascii_uppercase[total % 26]


@st.composite
def nirs(draw: st.DrawFn) -> str:
    month, place = draw(st.integers(1, 12)), draw(st.sampled_from(("01", "33", "75", "95", "2A", "2B")))
    body = draw(st.sampled_from("12")) + draw(digits(2)) + f"{month:02d}{place}" + draw(digits(6))
    number = body[:5] + {"2A": "19", "2B": "18"}.get(place, place) + body[7:]
    key = 97 - int(number) % 97
    return f"{body}{key:02d}"


@st.composite
def bsns(draw: st.DrawFn) -> str:
    body = draw(digits(8).filter(lambda d: sum(w * int(x) for w, x in zip(range(9, 1, -1), d, strict=True)) % 11 < 10))
    found = body + str(sum(w * int(x) for w, x in zip(range(9, 1, -1), body, strict=True)) % 11)
    return found if len(set(found)) > 1 else "111222333"


@st.composite
def pesels(draw: st.DrawFn) -> str:
    century, month, day = draw(st.sampled_from((0, 20, 40, 60, 80))), draw(st.integers(1, 12)), draw(st.integers(1, 28))
    body = draw(digits(2)) + f"{century + month:02d}{day:02d}" + draw(digits(4))
    total = sum(weight * int(digit) for weight, digit in zip((1, 3, 7, 9) * 3, body, strict=False))
    return body + str(-total % 10)


@st.composite
def ssns(draw: st.DrawFn) -> str:
    area = draw(st.integers(1, 899).filter(lambda number: number != 666))
    return f"{area:03d}-{draw(st.integers(1, 99)):02d}-{draw(st.integers(1, 9999)):04d}"


NINO_HEADS = [a + b for a, b in product("ABCEGHJKLMNOPRSTWXYZ", "ABCEGHJKLMNPRSTWXYZ")]
NINO_HEADS = [head for head in NINO_HEADS if head not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")]


@st.composite
def ninos(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(NINO_HEADS)) + draw(digits(6)) + draw(st.sampled_from("ABCD"))


SURROUNDINGS = st.text(st.sampled_from(string.ascii_letters + " ,;:!?\n\t\"'<>{}äß漢№"), max_size=60)
"""Anything without digits, and without what would glue to a number; a space stands between."""


def other_digit(draw: st.DrawFn, number: str) -> str:
    """`number` with one digit replaced by another."""
    places = [index for index, mark in enumerate(number) if mark.isdigit()]
    at = draw(st.sampled_from(places))
    return number[:at] + draw(DIGITS.filter(lambda digit: digit != number[at])) + number[at + 1 :]


READER = Sensitivity()
CHECKED = {
    "card": (cards(), checksums.is_card),
    "iban": (ibans(), checksums.is_iban),
    "german": (german_tax_ids(), checksums.is_german_tax_id),
    "dni": (dnis(), checksums.is_spanish_dni),
    "nie": (nies(), checksums.is_spanish_dni),
    "codice": (codici(), checksums.is_codice_fiscale),
    "nir": (nirs(), checksums.is_french_nir),
    "bsn": (bsns(), checksums.is_dutch_bsn),
    "pesel": (pesels(), checksums.is_pesel),
}
FOUND = {
    "card": (cards(), "card"),
    "iban": (ibans(), "iban"),
    "german": (german_tax_ids(), "id_number"),
    "dni": (dnis(), "id_number"),
    "nie": (nies(), "id_number"),
    "codice": (codici(), "id_number"),
    "nir": (nirs(), "id_number"),
    "bsn": (bsns().map(lambda number: f"BSN: {number}"), "id_number"),
    "pesel": (pesels(), "id_number"),
    "ssn": (ssns(), "id_number"),
    "nino": (ninos(), "id_number"),
}


def kinds(text: str) -> frozenset[str]:
    found = READER.read({"messages": [{"role": "user", "content": text}]}).kinds
    assert "unreadable" not in found
    return found


@pytest.mark.parametrize("name", CHECKED)
@given(data=st.data())
def test_a_valid_number_passes_and_one_wrong_digit_is_noticed(name: str, data: st.DataObject) -> None:
    strategy, holds = CHECKED[name]
    number = data.draw(strategy)
    assert holds(number)
    wrong = other_digit(data.draw, number)
    if name in ("card", "dni", "nie", "german", "pesel", "iban"):
        assert not holds(wrong)


@pytest.mark.parametrize("name", FOUND)
@given(data=st.data(), before=SURROUNDINGS, after=SURROUNDINGS)
def test_a_valid_number_is_found_in_any_surroundings(name: str, data: st.DataObject, before: str, after: str) -> None:
    strategy, kind = FOUND[name]
    number = data.draw(strategy)
    assert kind in kinds(f"{before} {number} {after}")


@given(data=st.data(), before=SURROUNDINGS, after=SURROUNDINGS)
def test_a_card_or_account_with_a_wrong_digit_is_not_found(data: st.DataObject, before: str, after: str) -> None:
    card, iban = other_digit(data.draw, data.draw(cards())), other_digit(data.draw, data.draw(ibans()))
    assert "card" not in kinds(f"{before} {card} {after}")
    assert "iban" not in kinds(f"{before} {iban} {after}")


@given(number=dnis(), data=st.data())
def test_a_dni_with_a_wrong_digit_is_not_found(number: str, data: st.DataObject) -> None:
    assert "id_number" not in kinds(f"su dni {other_digit(data.draw, number)} gracias")


@given(card=cards(16), iban=ibans(), glue=st.sampled_from((" ", "-", "\u00a0", "\u2011", "\u200b", ".")))
def test_the_usual_grouping_is_found(card: str, iban: str, glue: str) -> None:
    assert "card" in kinds(glue.join(card[i : i + 4] for i in range(0, 16, 4)))
    if glue in (" ", "\u00a0", "\u200b"):
        assert "iban" in kinds(glue.join(iban[i : i + 4] for i in range(0, len(iban), 4)))
        assert "iban" in kinds(iban.lower())


@given(card=cards(16), data=st.data())
def test_other_spellings_of_digits_are_found(card: str, data: st.DataObject) -> None:
    def spelled(digit: str) -> str:
        zero = data.draw(st.sampled_from((0x30, 0xFF10, 0x660, 0x1D7CE)))
        return data.draw(st.sampled_from((chr(zero + int(digit)), f"\\u003{digit}", f"\u200d{digit}")))

    assert "card" in kinds("".join(map(spelled, card)))


FOUND_ONES = {
    "+49 30 901820": "phone",
    "+1 (415) 555-2671": "phone",
    "(415) 555-2671": "phone",
    "415-555-2671": "phone",
    "415.555.2671": "phone",
    "06 12 34 56 78": "phone",
    "06.12.34.56.78": "phone",
    "0171/1234567": "phone",
    "030 1234567": "phone",
    "(030) 1234567": "phone",
    "020 7946 0958": "phone",
    "Tel.: 5551234567": "phone",
    "0049 30 1234567": "phone",
    "call me on 612 345 678": "phone",
    "7 +4930901820, 12": "phone",
    "12.345.678-Z": "id_number",
    "X-1234567-L": "id_number",
    "AB 12 34 56 C": "id_number",
    "1112.22.333": "id_number",
    "2 55 08 14 168 025 38": "id_number",
    "SSN 123456789": "id_number",
    "calle 5 12345678Z": "id_number",
    "GB82 WEST 1234 5698 7654 32": "iban",
    "IBAN:DE89370400440532013000": "iban",
    "DE89-3704-0044-0532-0130-00": "iban",
    "DE89.3704/0044 0532 0130 00": "iban",
    "NO9386011117947": "iban",
    "4111 1111 1111 1111 12/27 123": "card",
    "3782-822463-10005": "card",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1": "card",
    "max@example.com": "email",
    "<Max.Muster+x@mail.müller.de>": "email",
    "mailto:a_b@x.co.uk.": "email",
}
CLEAN = (
    "0.4111111111111111",
    "0x4111111111111111",
    "4111111111111112",
    "2024-01-15 10:00:00",
    "01-02-2024 10:00",
    "1700000000000",
    "192.168.100.200",
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "1,234,567,890",
    "123456789",
    "12345678",
    "000-12-3456",
    "666-12-3456",
    "900-12-3456",
    "123-00-4567",
    "123-45-0000",
    "12345678A",
    "DE88370400440532013000",
    "DE893704004405320130001",
    "git@github.com:ringfence/ringfence.git",
    "getty@tty1.service",
    "logo@2x.png",
    "@property\ndef x(): ...",
    "Boston, MA 02110-1301 USA",
    "x = a+12345678",
    "1.2.3-4.5.6",
    "BG123456A",
    "3.14159265358979",
    "1e10",
    "version 10.15.7",
    "range(10000000, 20000000)",
    "2019 2020 2021 2022 2023",
    "port 8080",
)


@pytest.mark.parametrize(("text", "kind"), FOUND_ONES.items())
def test_found(text: str, kind: str) -> None:
    assert kind in kinds(f"see {text} there")
    assert kind in kinds(text)


@pytest.mark.parametrize("text", CLEAN)
def test_not_found(text: str) -> None:
    assert kinds(f"see {text} there") == frozenset()


def test_numbers_of_programs_are_seldom_taken_for_personal_ones() -> None:
    chance = random.Random(5)
    floats = [", ".join(str(chance.random()) for _ in range(20)) for _ in range(200)]
    stamps = [f"{chance.randint(1_500_000_000_000, 1_900_000_000_000)} ms" for _ in range(2000)]
    sixteen = [str(chance.randint(10**15, 10**16 - 1)) for _ in range(2000)]
    eleven = [str(chance.randint(10**10, 10**11 - 1)) for _ in range(2000)]
    assert sum(bool(kinds(text)) for text in floats) == 0
    assert sum(bool(kinds(text)) for text in stamps) == 0
    assert sum(bool(kinds(text)) for text in sixteen) < 0.04 * 2000
    assert sum(bool(kinds(text)) for text in eleven) < 0.04 * 2000


def test_several_kinds_in_one_text_are_all_found() -> None:
    from_all = "4111 1111 1111 1111, DE89370400440532013000, 123-45-6789, max@example.com, +49 30 901820"
    assert kinds(from_all) == {"card", "iban", "id_number", "email", "phone"}
