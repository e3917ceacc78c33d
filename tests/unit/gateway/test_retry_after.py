"""When a target says that one may come again."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from ringfence.gateway.retry_after import seconds_of


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None), (b"7", 7.0), (b" 1.5 ", 1.5), (b"0", 0.0), (b"-3", None), (b"soon", None), (b"", None),
        (b"1e99", None), (b"9" * 400, None), (b"\xff", None), (b"Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_seconds(said: bytes | None, seconds: float | None) -> None:
    assert seconds_of(said) == seconds


def test_a_date() -> None:
    found = seconds_of(formatdate(time() + 30, usegmt=True).encode())
    assert found is not None
    assert 28 < found <= 30
