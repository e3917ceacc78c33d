"""A call that the egress process could not bring to an answer: the caller hears whether anything left."""

from __future__ import annotations

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import EngineFailed
from ringfence.egress.calls import REASONS
from ringfence.egress.pool import HeadedLine
from ringfence.gateway.cloud import HELD, UNANSWERED, Cloud, failure
from ringfence.runtime.instances import CLOUDS


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
