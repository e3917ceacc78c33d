"""Keys, tokens and passwords in text: by known beginnings, by what stands before them, and by how random they look.

The text is bytes, one per character. Nearly all secrets are runs of RUN_CHARS letters and digits or more. Runs are
found in a translation of the text by searching for one constant, and only they are looked at closely.
"""

from __future__ import annotations

import re
from itertools import pairwise
from math import log2

from ringfence.signals.checksums import is_codice_fiscale, is_french_nir

RUN_CHARS = 15
RANDOM_CHARS = range(20, 201)
"""Lengths at which a run can be told from words by its letters alone."""
MIN_EVENNESS = 0.74
"""Shannon entropy, as a share of what the length allows. Random base 32 lies above in 99 of 100 cases."""
MAX_WORDLIKE = 0.5
"""Share of neighbouring marks that also neighbour in words and numbers. See `wordlike` for what was measured."""
BLOB_CHARS = 512

TOKEN_MARKS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+"
RUNS = bytes(0x61 if mark in TOKEN_MARKS else 0x20 for mark in range(256))
LONG_RUN = b"a" * RUN_CHARS
LOWERED = bytes(0x3A if mark == 0x3D else mark + 32 if 0x41 <= mark <= 0x5A else mark for mark in range(256))
"""Lower case, and ':' for '='."""
DIGITS = b"0123456789"

NEIGHBOURS = (
    "a:bcdfgiklmnprstuvwxy b:aceijlorsuy c:acehiklmorstuy d:adeilorstuy e:abcdefgilmnopqrstuvwxy f:aefilortu "
    "g:aeghilmnorsu h:aeiort i:abcdefgklmnoprstvxz j:eo k:aeisw l:abdefilopstuy m:abeilmopsu n:acdefgiklnopstuvy "
    "o:abcdfgiklmnoprstuvwx p:adehiloprstuy q:u r:acdefgiklmnoprstuvy s:aceghiklmnopstuwy t:acdefhilmoprstuwy "
    "u:abcdefgilmnprst v:aeio w:aehinors x:aceipt y:egilnpstw z:e"
)
COMMON = frozenset(entry[0] + second for entry in NEIGHBOURS.split() for second in entry[2:])
"""The 300 commonest pairs of letters in source code and European prose: 98 in 100 there, 44 in 100 in random text."""

JOINTS = b"-_+"
PARTED = bytes(0x20 if mark in JOINTS else mark for mark in range(256))
NEAR = frozenset(
    (first, second)
    for first in TOKEN_MARKS
    for second in TOKEN_MARKS
    if (first in DIGITS and second in DIGITS)
    or ((chr(first) + chr(second)).lower() in COMMON and not (chr(first).islower() and chr(second).isupper()))
)
"""Marks that stand beside each other in words and numbers."""

KNOWN = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"sk-(?:ant|proj|svcacct|admin|or|rf|lf)-[A-Za-z0-9_\-]{16,}|sk-(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}"
    rb"|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_\-]{20,}|gl(?:rt|dt|ptt|cbt)-[A-Za-z0-9_\-]{20,}"
    rb"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])|xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{10,}"
    rb"|AIza[A-Za-z0-9_\-]{35}|hf_[A-Za-z]{30,}|hf_[A-Za-z0-9]{30,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+]{24,}"
    rb"|(?:npm|gsk|r8|sbp|nvapi|pplx|xai|rpa|ntn|figd|shpat|shpss|dop_v1|lin_api|dckr_pat|PMAK)[_\-][A-Za-z0-9_\-]{24,}"
    rb"|pypi-AgE[A-Za-z0-9_\-]{20,}|key-[0-9a-f]{32}|SK[0-9a-f]{32}|dapi[0-9a-f]{32}|tskey-[a-z]+-[A-Za-z0-9\-]{16,}"
    rb"|AGE-SECRET-KEY-1[A-Z0-9]{20,})"
)
DOTTED_HEADS = (b"SG.", b"hvs.", b"hvb.", b"hvr.", b"ya29.")
"""SendGrid, Vault, Google: a short head and a dot, then a run."""
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PUBLIC_BLOCK = re.compile(
    rb"-----BEGIN (?:CERTIFICATE|CERTIFICATE REQUEST|X509 CRL|(?:RSA |EC )?PUBLIC KEY|PGP PUBLIC KEY BLOCK"
    rb"|PGP SIGNATURE|SSH SIGNATURE|DH PARAMETERS)-----[A-Za-z0-9+/=\s]*+-----END "
)
PUBLIC = re.compile(
    rb"[0-9a-fA-F]+|[0-9a-fA-F\-]{36}|[0-7][0-9A-HJKMNP-TV-Z]{25}|(?:[A-Za-z0-9]+[_\-])?(?:[0-9a-f]{32,}|[0-9A-F]{32,})"
)
"""What looks random and is no secret: hashes, UUIDs, ULIDs."""
PUBLIC_HEADS = (b"h1:", b"md5:", b"SHA256:", b"MD5:", b"ssh-rsa ", b"ssh-ed25519 ", b";base64,")
HASH_HEADS = (b"sha1-", b"sha256-", b"sha384-", b"sha512-")
NAMED = re.compile(
    rb"(?:api.?key|access.?key|secret|token|passw|bearer|credential|private.?key|auth)[a-z_\-]{0,12}[^a-z0-9]{0,6}$"
)

NAMED_STEMS = (b"key", b"secret", b"token", b"passw", b"bearer", b"credential", b"auth")

MAY_ASSIGN = re.compile(
    rb":(?:(?<=[rw]d:)|(?<=rt:)|(?<=[ds]e:)|(?<=et:)|(?<=ss:)|(?<=[hn\xf1]a:)|(?<=lo:)|(?<=[\"' \t*)\]`]:))"
)
"""An assignment after something that could end a word for a password: ahead of the closer look."""
PASSWORD_NAMES = tuple(
    (stem, re.compile(rb"%b%b[ \t\"'`\]*)]{0,24}+:" % (stem, ending)))
    for stem, ending in (
        (b"pass", rb"(?:word|wd|wort|phrase|code|e(?<=mot de passe)|(?<![a-z]pass))"),
        (b"pwd", b""), (b"kennwort", b""), (b"contrase", rb"(?:\xf1|n)a"), (b"senha", b""), (b"wachtwoord", b""),
        (b"haslo", b""), (b"secret", b""),
    )
)  # fmt: skip
"""How a word for a password begins, and the whole of it with what assigns a value."""
VALUE = re.compile(
    rb"[=:>]{0,2}[ \t*]{0,4}(?:\"([^\"\r\n]{4,200})\"|'([^'\r\n]{4,200})'|`([^`\r\n]{4,200})`|([^\s\"'`]{6,200}))"
)
NOT_A_VALUE = re.compile(
    rb"(?:[<\[{(%$*]|your|my[_ -]|the[_ -]|some|change|example|none|null|true|false|os\.|env[.:\[]|process\.|self\.|"
    rb"string|passwor|passwd|secret|user|test$|file:|vault:|https?://).*|.*(?:[({\[<]|\$\{).*|[x.*-]+",
    re.IGNORECASE | re.DOTALL,
)
"""Placeholders, references to where the value stands, and code."""
DOTTED_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
LOGIN = re.compile(rb"://[^\s/:@\"'<>]{0,64}+:([^\s/@\"'<>]{3,128}+)@")
SHOWN_PASSWORDS = (b"pass", b"pwd", b"pw")
FISCAL = re.compile(
    rb"(?<![A-Z0-9])[A-Z]{6}[0-9L-V]{2}[A-Z][0-9L-V]{2}[A-Z][0-9L-V]{3}[A-Z](?![A-Z0-9])", re.IGNORECASE
)
CORSICAN = re.compile(rb"(?<![A-Z0-9])[12378][0-9]{4}2[AB][0-9]{8}(?![A-Z0-9])", re.IGNORECASE)
BLOB_MARKS = TOKEN_MARKS + b"/="
BLOB = re.compile(rb"[A-Za-z0-9+/=_\-]+")


def kinds_in_tokens(data: bytes, wanted: frozenset[str]) -> set[str]:
    """'secret' where there is one; 'id_number' for a personal number written as letters and digits in one run."""
    found: set[str] = set()
    if "secret" in wanted:
        if b"-----BEGIN " in data:
            if PRIVATE_KEY.search(data):
                found.add("secret")
            if any(KNOWN.search(block[0]) for block in PUBLIC_BLOCK.finditer(data)):
                found.add("secret")  # whatever stands around it
            data = PUBLIC_BLOCK.sub(b" ", data)
        if has_login(data) or has_password(data):
            found.add("secret")
    runs = data.translate(RUNS)
    start = runs.find(LONG_RUN)
    may_be_named: bool | None = None
    while start >= 0 and not wanted & {"secret", "id_number"} <= found:
        end = runs.find(b" ", start)
        end = len(data) if end < 0 else end
        run = data[start : min(end, start + BLOB_CHARS)]
        is_open = is_public(data, start) and KNOWN.search(run) is None
        if "secret" in wanted and "secret" not in found and not is_open:
            if may_be_named is None and run.translate(None, DIGITS) != run:
                may_be_named = mentions(data.lower())
            if is_secret(data, start, end, run, may_be_named is True):
                found.add("secret")
        if end - start <= 64 and "id_number" in wanted and is_personal(run):
            found.add("id_number")
        blob = BLOB.match(data, end) if is_open or data[end : end + 1] == b"/" else None
        if blob is not None and (is_open or blob.end() - start > BLOB_CHARS):
            end = blob.end()  # a hash, or an image or a file in the midst of text: once is enough
        start = runs.find(LONG_RUN, end)
    return found


def mentions(lowered: bytes) -> bool:
    return any(stem in lowered for stem in NAMED_STEMS)


def is_public(data: bytes, start: int) -> bool:
    """What begins here says of itself that it is a hash, a public key or a picture."""
    return data.startswith(HASH_HEADS, start) or data[max(0, start - 12) : start].endswith(PUBLIC_HEADS)


def is_personal(run: bytes) -> bool:
    if not any(len(part) in (15, 16) for part in run.translate(PARTED).split()):
        return False
    if fiscal := FISCAL.search(run):
        return is_codice_fiscale(fiscal[0].decode().upper())
    if corsican := CORSICAN.search(run):
        return is_french_nir(corsican[0].decode().upper())
    return False


def has_login(data: bytes) -> bool:
    """scheme://user:password@host"""
    if b"://" not in data:
        return False
    for found in LOGIN.finditer(data):
        if not NOT_A_VALUE.fullmatch(found[1]) and found[1].lower() not in SHOWN_PASSWORDS:
            return True
    return False


def has_password(data: bytes) -> bool:
    """A value assigned to a word for a password, in code, settings or prose."""
    lowered = data.translate(LOWERED)
    if MAY_ASSIGN.search(lowered) is None:
        return False
    for stem, named in PASSWORD_NAMES:
        at = lowered.find(stem)
        while at >= 0:
            assigned = named.match(lowered, at)
            value = VALUE.match(data, assigned.end()) if assigned is not None else None
            if value is not None and is_password(value, stem == b"secret"):
                return True
            at = lowered.find(stem, at + 1)
    return False


def is_password(value: re.Match[bytes], must_be_strong: bool) -> bool:
    """True for a value that a person or a program would have as a password, and not for names of variables."""
    text = value[value.lastindex or 0]
    is_quoted = value.lastindex != 4
    if not is_quoted:
        text = text.rstrip(b".,;:!?)|\\")
    if NOT_A_VALUE.fullmatch(text) or DOTTED_NAME.fullmatch(text):
        return False
    has_digit = len(text.translate(None, DIGITS)) < len(text)
    if must_be_strong:
        return has_digit and len(text) >= 8 and b" " not in text
    if is_quoted and b" " not in text:
        return has_digit or len(text) >= 6
    has_letter = any(mark in TOKEN_MARKS and mark not in DIGITS for mark in text)
    return has_letter and (has_digit or any(mark in b"!@#$%^&*?~+" for mark in text)) and len(text) >= 6


def is_secret(data: bytes, start: int, end: int, run: bytes, may_be_named: bool) -> bool:
    """`run` is data[start:end], cut off after BLOB_CHARS. `may_be_named`: a word for a secret stands somewhere."""
    if len(run.translate(None, DIGITS)) == len(run):  # words; of random runs of 20 one in forty
        return run.startswith(b"hf_") and KNOWN.match(run) is not None
    if run.startswith(b"eyJ") and data.startswith(b".eyJ", end):
        return True  # a JSON web token
    before = data[max(0, start - 40) : start]
    if before.endswith(DOTTED_HEADS) or (KNOWN.match(run) if run.isalnum() else KNOWN.search(run)):
        return True
    if run.isdigit():
        return False
    if may_be_named and NAMED.search(before.lower()) and is_credential(run):
        return True
    is_candidate = end - start in RANDOM_CHARS and not PUBLIC.fullmatch(run)
    return (
        is_candidate
        and wordlike(run) <= MAX_WORDLIKE
        and evenness(run) >= MIN_EVENNESS
        and not is_in_blob(data, start, end)
    )


def is_credential(run: bytes) -> bool:
    """Looser than elsewhere, behind a word such as "token": hashes count too."""
    if len(run) >= 32 and PUBLIC.fullmatch(run):
        return True
    return wordlike(run) <= MAX_WORDLIKE and evenness(run) >= MIN_EVENNESS and len(run) in range(RUN_CHARS, 201)


def is_in_blob(data: bytes, start: int, end: int) -> bool:
    """Runs of an image, of a file or of a long hash are joined by '/'."""
    before = data[max(0, start - BLOB_CHARS) : start]
    opening = start - len(before) + len(before.rstrip(BLOB_MARKS))
    blob = BLOB.match(data, opening, end + BLOB_CHARS)
    return blob is not None and (len(blob[0]) > BLOB_CHARS or is_public(data, opening))


def wordlike(run: bytes) -> float:
    """Share of neighbouring marks that occur as neighbours in words and numbers: common pairs of letters not broken by
    a capital, and two digits. Marks beside '-', '_' and '+' are left out.

    Measured on 28 MB of Python source: of 2,125 runs of 20 and more with a digit that are no hashes, 13 lie at 0.5 or
    below, all of them example tokens or base64. Random runs of letters and digits lie below in 98 of 100 cases at 20
    marks, and nearly always at 32; those of one case in 94 and 98.
    """
    near = sum(map(NEAR.__contains__, pairwise(run)))
    parts = 1 if run.isalnum() else len(run.translate(PARTED).split())
    pairs = len(run.translate(None, JOINTS)) - parts
    return near / pairs if pairs > 0 else 1.0


def evenness(run: bytes) -> float:
    """Shannon entropy of the marks, as a share of the most that this many marks can have."""
    size = len(run)
    if size < 2:
        return 0.0
    counts = map(run.count, set(run))
    return 1 - sum(count * log2(count) for count in counts if count > 1) / (size * log2(size))
