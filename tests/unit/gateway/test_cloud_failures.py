"""A call that the egress process could not bring to an answer: the caller hears whether anything left."""

from __future__ import annotations

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import EngineFailed
from ringfence.egress.calls import REASONS
from ringfence.egress.pool import HeadedLine
from ringfence.gateway.cloud import HELD, UNANSWERED, Cloud, failure
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told as in_words
from ringfence.runtime.targets import CLOUDS


class Refusing(HeadedLine):
    def __init__(self, code: str) -> None:
        self.code = code

    def header(self, name: bytes) -> bytes | None:
        return self.code.encode() if name == b"x-egress-refused" else None


def told(code: str) -> str:
    target = Target("rented/large", "smart", "openai", "large", Boundary.CLOUD, provider="rented")
    cloud = Cloud(CLOUDS["openai"], "https://api.cloud.example", 9)
    found = failure(cloud, target, Refusing(code), 502, None)
    assert isinstance(found, EngineFailed)
    assert found.code == code
    return found.message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("connect", "The call to 'rented' did not leave this machine: no connection to the provider could be made."),
        ("lost", "The call to 'rented' left, and no answer came back: the provider broke off before it answered."),
        (
            "other_model",
            "The call to 'rented' did not leave this machine: the egress process refused it (other_model).",
        ),
    ],
)
def test_whether_it_left_is_said(code: str, words: str) -> None:
    assert told(code) == words


def test_every_outcome_of_a_call_has_words() -> None:
    assert REASONS.keys() <= HELD.keys() | UNANSWERED.keys()
    assert not HELD.keys() & UNANSWERED.keys()


class Later(HeadedLine):
    def __init__(self, later: bytes) -> None:
        self.later = later

    def header(self, name: bytes) -> bytes | None:
        return self.later if name == b"retry-after" else None


@pytest.mark.parametrize("later", [b"9" * 400, b"9" * 30, b"1e99", b"-1", b"soon"], ids=len)
def test_a_time_that_cannot_be_is_not_told_on(later: bytes) -> None:
    target = Target("rented/large", "smart", "openai", "large", Boundary.CLOUD, provider="rented")
    cloud = Cloud(CLOUDS["openai"], "https://api.cloud.example", 9)
    found = failure(cloud, target, Later(later), 429, None)
    _, lines, _ = in_words(found, Head(b"POST", [], is_http11=True, keep_alive=True))
    assert 0 < int(lines.split(b"retry-after: ")[1].split(b"\r\n")[0]) <= 60
