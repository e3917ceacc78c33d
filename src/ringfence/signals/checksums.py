"""Check digits of cards, accounts and personal numbers. Pure arithmetic on strings of ASCII digits and capitals.

Every function takes the number without separators and returns whether it can be one. It does not know whether anybody
has it.
"""

from __future__ import annotations

CARD_PREFIXES: tuple[tuple[int, int, frozenset[int]], ...] = tuple(
    (low, high, frozenset(lengths))
    for low, high, lengths in (
        (4000, 4999, (13, 16, 19)),  # Visa
        (5100, 5599, (16,)),  # Mastercard
        (2221, 2720, (16,)),  # Mastercard, since 2017
        (3400, 3499, (15,)),  # American Express
        (3700, 3799, (15,)),
        (3000, 3059, (14, 16)),  # Diners Club
        (3095, 3095, (14, 16)),
        (3600, 3699, (14, 16)),
        (3800, 3999, (14, 16)),
        (6011, 6011, (16, 19)),  # Discover
        (6440, 6599, (16, 19)),
        (3528, 3589, (16, 19)),  # JCB
        (6200, 6299, (16, 17, 18, 19)),  # UnionPay
        (8100, 8199, (16,)),
        (5000, 5099, (13, 15, 16, 18, 19)),  # Maestro, RuPay, Elo
        (5600, 5899, (13, 15, 16, 18, 19)),  # Maestro
        (6304, 6304, (13, 15, 16, 18, 19)),
        (6759, 6763, (13, 15, 16, 18, 19)),
        (2200, 2204, (16, 19)),  # Mir
        (9792, 9792, (16,)),  # Troy
    )
)
"""First four digits, from and to, and the lengths. Source: ISO/IEC 7812-1 and the networks' published ranges."""

CARD_LENGTHS = {str(head): lengths for low, high, lengths in CARD_PREFIXES for head in range(low, high + 1)}
LUHN_VALUES = bytes(max(0, mark - 0x30) % 10 for mark in range(256))
LUHN_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[value] for value in LUHN_VALUES)

IBAN_LENGTHS: dict[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Source: the IBAN registry of ISO 13616, kept by SWIFT."""

IBAN_VALUES = {ord(mark): str(value + 10) for value, mark in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
FISCAL_MONTHS = "ABCDEHLMPRST"
FISCAL_DIGITS = str.maketrans("LMNPQRSTUV", "0123456789")
FISCAL_MARKS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FISCAL_ODD_VALUES = (
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),  # 0 to 9
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),  # A to Z
)
FISCAL_ODD = dict(zip(FISCAL_MARKS, FISCAL_ODD_VALUES, strict=True))
FISCAL_EVEN = {mark: index if index < 10 else index - 10 for index, mark in enumerate(FISCAL_ODD)}


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B. Finds every single wrong digit."""
    marks = digits.encode()
    return (sum(marks[-1::-2].translate(LUHN_VALUES)) + sum(marks[-2::-2].translate(LUHN_DOUBLED))) % 10 == 0


def is_card(digits: str) -> bool:
    """A card number: a prefix that is given out, a length that goes with it, and the check digit."""
    size = len(digits)
    return size in CARD_LENGTHS.get(digits[:4], ()) and digits.count(digits[0]) < size and passes_luhn(digits)


def is_iban(text: str) -> bool:
    """ISO 13616: the length of the country, and the remainder 1 modulo 97 (ISO 7064). `text` in capitals."""
    if IBAN_LENGTHS.get(text[:2]) != len(text) or not (text.isascii() and text.isalnum()):
        return False
    return int((text[4:] + text[:4]).translate(IBAN_VALUES)) % 97 == 1


def is_us_ssn(digits: str) -> bool:
    """No check digit; the ranges never given out are refused: area 000, 666, 900-999; group 00; serial 0000.

    Source: Social Security Administration, POMS RM 10201.035, and the randomisation of 2011.
    """
    if len(digits) != 9:
        return False
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def is_german_tax_id(digits: str) -> bool:
    """Steuerliche Identifikationsnummer, 11 digits: ISO 7064 MOD 11,10.

    Of the first ten digits exactly one occurs twice, or (since 2016) three times but not three in a row, and every
    other at most once. Source: § 139b AO; Bundeszentralamt für Steuern, "Aufbau der Identifikationsnummer".
    """
    if len(digits) != 11 or digits[0] == "0":
        return False
    first = digits[:10]
    if len(set(first)) not in (8, 9):
        return False
    repeated = [first.count(digit) for digit in set(first) if first.count(digit) > 1]
    if len(repeated) != 1 or repeated[0] > 3:
        return False
    if any(first[i] == first[i + 1] == first[i + 2] for i in range(8)):
        return False
    product = 10
    for digit in first:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(digits[10])


def is_spanish_dni(text: str) -> bool:
    """DNI (8 digits and a letter) or NIE (X, Y or Z, 7 digits, a letter): remainder modulo 23.

    Source: Real Decreto 1553/2005; Ministerio del Interior, "Cálculo del dígito de control del NIF/NIE".
    """
    if len(text) != 9:
        return False
    number = str("XYZ".index(text[0])) + text[1:8] if text[0] in "XYZ" else text[:8]
    return number.isdigit() and text[8] == DNI_LETTERS[int(number) % 23]


def is_codice_fiscale(text: str) -> bool:
    """16 marks in capitals, the last a check letter; digits may be replaced by letters (omocodia).

    Source: Decreto ministeriale 23 dicembre 1976.
    """
    if len(text) != 16 or not (text.isascii() and text.isalnum()):
        return False
    numbers = (text[6:8] + text[9:11] + text[12:15]).translate(FISCAL_DIGITS)
    if not (text[:6].isalpha() and text[8] in FISCAL_MONTHS and text[11].isalpha() and numbers.isdigit()):
        return False
    day = int(numbers[2:4])
    if not (1 <= day <= 31 or 41 <= day <= 71):
        return False
    total = sum(FISCAL_ODD[mark] for mark in text[0:15:2]) + sum(FISCAL_EVEN[mark] for mark in text[1:15:2])
    return text[15] == chr(ord("A") + total % 26)


def is_french_nir(text: str) -> bool:
    """Numéro de sécurité sociale, 13 marks and a key: 97 minus the number modulo 97. Corsica: 2A is 19, 2B is 18.

    Source: INSEE, "Numéro d'inscription au répertoire"; décret 82-103.
    """
    if len(text) != 15 or text[0] not in "123478":
        return False
    number = text[:5] + {"2A": "19", "2B": "18"}.get(text[5:7], text[5:7]) + text[7:]
    if not number.isdigit():
        return False
    month = int(number[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99) or number[5:7] == "00":
        return False
    return 97 - int(number[:13]) % 97 == int(number[13:])


def is_uk_nino(text: str) -> bool:
    """National Insurance number; no check digit. Prefixes never given out are refused.

    Source: HMRC, National Insurance Manual NIM39110.
    """
    if len(text) != 9 or not text[2:8].isdigit() or text[8] not in "ABCD":
        return False
    first, second = text[0], text[1]
    if not (first.isalpha() and second.isalpha()) or first in "DFIQUV" or second in "DFIOQUV":
        return False
    return text[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def is_dutch_bsn(digits: str) -> bool:
    """Burgerservicenummer, 9 digits: weights 9 to 2 and -1, divisible by 11 (elfproef).

    Source: Besluit burgerservicenummer; RvIG, "Logisch ontwerp BSN".
    """
    if len(digits) != 9 or digits.count(digits[0]) == 9:
        return False
    return (
        sum(weight * int(digit) for weight, digit in zip((9, 8, 7, 6, 5, 4, 3, 2, -1), digits, strict=True)) % 11 == 0
    )


def is_pesel(digits: str) -> bool:
    """PESEL, 11 digits: a date of birth whose month carries the century, and weights 1, 3, 7, 9.

    Source: Ustawa o ewidencji ludności, art. 15; gov.pl, "Czym jest numer PESEL".
    """
    if len(digits) != 11:
        return False
    month, day = int(digits[2:4]), int(digits[4:6])
    if not (1 <= month % 20 <= 12 and 1 <= day <= 31):
        return False
    values = digits.encode().translate(LUHN_VALUES)
    total = sum(values[:9:4]) + 3 * sum(values[1::4]) + 7 * sum(values[2:7:4]) + 9 * sum(values[3::4]) + values[10]
    return total % 10 == 0
