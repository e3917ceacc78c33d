"""Keys and passwords are found; prose, code, hashes, UUIDs and pictures are seldom taken for them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import sysconfig
import uuid
from collections.abc import Callable
from pathlib import Path
from pydoc_data import topics

import pytest

from ringfence.signals.secrets_in_text import evenness, wordlike
from ringfence.signals.sensitivity import Sensitivity, Settings

READER = Sensitivity(Settings(kinds=frozenset(("secret",))))
CHANCE = random.Random(11)
BASE62 = string.ascii_letters + string.digits
LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def has_secret(text: str) -> bool:
    kinds = READER.read({"messages": [{"role": "user", "content": text}]}).kinds
    assert "unreadable" not in kinds
    return "secret" in kinds


def chosen(marks: str, size: int) -> str:
    return "".join(CHANCE.choice(marks) for _ in range(size))


def coded(size: int) -> str:
    return base64.b64encode(CHANCE.randbytes(size)).decode()


KEYS = (
    "sk-" + "a1B2c3D4e5F6" * 4,
    "sk-ant-api03-" + "a1B2c3D4_-" * 9,
    "sk-proj-abcDEF123456_xyz-789012",
    "ghp_" + "a1B2c3" * 6,
    "gho_" + "a1B2c3" * 6,
    "github_pat_11AAAAAAA0abcdefghij_klmnopqrstuv",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-123456789012-abcdefGHIJKL",
    "AIza" + "SyA1-b2C3d" * 3 + "abcde",
    "glpat-abcdefGHIJ1234567890",
    "hf_" + "abcdEFGHij" * 3 + "klmn",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "npm_" + "a1B2c3" * 6,
    "gsk_" + "a1B2c3D4e5" * 5,
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----",
    "postgres://bob:s3cr3t@db.local/x",
    "redis://:hunter22@127.0.0.1:6379/0",
    "https://bob:geheim99@example.com/",
    "SG.abcdefGHIJ123456789012.abcdefGHIJ123456789012",
    "hvs.CAESIJ1234567890abcdefGH",
    "api_key = d41d8cd98f00b204e9800998ecf8427e",
    "Authorization: Bearer d41d8cd98f00b204e9800998ecf8427e",
)
PASSWORDS = (
    "password=hunter2",
    "PASSWORD: hunter2",
    "password = 'correct-horse'",
    '{"password": "letmein"}',
    "DB_PASSWORD=tr0ub4dor",
    '{\\"password\\": \\"hunter22\\"}',
    "Passwort: geh3im!",
    "mot de passe : s3same!",
    "contraseña: abr3te!",
    "pwd=p@ssw0rd1",
    "Server=db;User Id=sa;Password=Sup3rS3cret;",
    "DB_PASS=hunter22",
    "passphrase: `open sesame 7`",
    "client_secret: 'abc12345x'",
    "**Password:** hunter22",
)
HARMLESS = (
    "password: str",
    "password = None",
    "password = os.environ['DB_PASSWORD']",
    "password=settings.password2",
    "pwd = getpass()",
    "password=${DB_PASSWORD}",
    "password: <your password>",
    "password = '********'",
    '"password": "string"',
    "passwords are bad:",
    "Enter your password: then press enter",
    "postgres://user:password@localhost/db",
    "postgres://bob:${PW}@db/x",
    "a://b/c@d",
    "the token: a small unit of text",
    "def get_user_account_details_from_database_v2(): ...",
    "XMLHttpRequestEventTargetV2",
    "https://example.com/blog/2024/01/15/how-to-write-good-tests-in-python-3-11",
    "test_that_http2_server_side_push_works",
    "tests/unit/signals/test_secrets_in_text.py::test_that_everything_is_fine_2",
    "=" * 80,
    "-" * 80,
    "a" * 64,
    "1" * 64,
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n"
    "q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----",
)


@pytest.mark.parametrize("text", KEYS + PASSWORDS)
def test_found(text: str) -> None:
    assert has_secret(text)
    assert has_secret(f"Look at this:\n{text}\nand tell me")
    assert has_secret(json.dumps({"arguments": text}))


@pytest.mark.parametrize("text", HARMLESS)
def test_not_found(text: str) -> None:
    assert not has_secret(f"see {text} there")


RANDOM: dict[str, tuple[Callable[[], str], float]] = {
    "letters and digits, 20": (lambda: chosen(BASE62, 20), 0.93),
    "letters and digits, 24": (lambda: chosen(BASE62, 24), 0.94),
    "letters and digits, 32": (lambda: chosen(BASE62, 32), 0.98),
    "small letters and digits, 20": (lambda: chosen(BASE62[:26] + string.digits, 20), 0.90),
    "small letters and digits, 32": (lambda: chosen(BASE62[:26] + string.digits, 32), 0.95),
    "base64, 40": (lambda: chosen(BASE62 + "+/", 40), 0.92),
    "base64url, 43": (lambda: chosen(BASE62 + "-_", 43), 0.98),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_tokens_without_any_known_beginning_are_mostly_found(name: str) -> None:
    make, rate = RANDOM[name]
    assert sum(has_secret(f"use {make()} for it") for _ in range(600)) >= rate * 600


PUBLIC: dict[str, Callable[[], str]] = {
    "uuid": lambda: str(uuid.UUID(int=CHANCE.getrandbits(128), version=4)),
    "sha1": lambda: hashlib.sha1(CHANCE.randbytes(8)).hexdigest(),
    "sha256": lambda: hashlib.sha256(CHANCE.randbytes(8)).hexdigest(),
    "image digest": lambda: "sha256:" + hashlib.sha256(CHANCE.randbytes(8)).hexdigest(),
    "integrity": lambda: f'"integrity": "sha512-{coded(64)}"',
    "go.sum": lambda: f"golang.org/x/net v0.1.0 h1:{coded(32)}",
    "picture in markdown": lambda: f"![x](data:image/png;base64,{coded(2000)})",
    "picture in html": lambda: f'<img src="data:image/jpeg;base64,{coded(900)}">',
    "ulid": lambda: "01" + chosen("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_looks_random_and_is_public_is_not_found(name: str) -> None:
    assert sum(has_secret(f"see {PUBLIC[name]()} there") for _ in range(150)) == 0


def test_ordinary_prose_is_clean() -> None:
    paragraphs = [text for topic in topics.topics.values() for text in topic.split("\n\n") if len(text) > 40]
    assert len(paragraphs) > 1000
    assert sum(map(has_secret, paragraphs)) <= len(paragraphs) // 1000


def test_one_file_of_source_code_in_a_hundred_at_most_is_taken_for_a_secret() -> None:
    files = sorted(LIBRARY.glob("*.py"))
    taken = [file.name for file in files if has_secret(file.read_text(errors="replace"))]
    assert len(files) > 100
    assert len(taken) <= len(files) * 0.02, taken


def test_the_threshold_lies_between_words_and_chance() -> None:
    words = [
        b"getUserAccountDetails2",
        b"test_http2_server_push_works",
        b"python-3-11-how-to-write-tests",
        b"Int64FromString2",
    ]
    assert min(map(wordlike, words)) > 0.55
    tokens = [chosen(BASE62, 32).encode() for _ in range(500)]
    assert sorted(map(wordlike, tokens))[490] <= 0.5
    assert sorted(map(evenness, tokens))[5] >= 0.74
    assert evenness(b"a1" * 12) < 0.74


def test_wrapped_base64_is_not_told_from_secrets() -> None:
    assert has_secret(base64.encodebytes(CHANCE.randbytes(400)).decode())


@pytest.mark.parametrize("head", ["md5:", "MD5:", "SHA256:", "sha256-", "h1:", "ssh-rsa ", "data:;base64,"])
@pytest.mark.parametrize("key", ["sk-ant-api03-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5", "AKIAIOSFODNN7EXAMPL2"])
def test_what_is_called_public_is_still_a_key(head: str, key: str) -> None:
    assert has_secret(f"x {head}{key} y")
    block = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"
    if key.isalnum():
        assert has_secret(block.format(key))
        assert has_secret(block.format("MIIB" * 16 + "\n" + key))
    for _ in range(50):
        assert not has_secret(block.format(base64.encodebytes(CHANCE.randbytes(900)).decode()))
