"""How urgent a call is, as its head and its body say."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.errors import BadRequest
from ringfence.core.route import Urgency
from ringfence.gateway.head import read_head
from ringfence.gateway.urgency import urgency_of


def head(*more: tuple[bytes, bytes]) -> Any:
    return read_head(b"POST", "1.1", b"/v1/chat/completions", [(b"Host", b"localhost"), *more], keep_alive=True)


@pytest.mark.parametrize(
    ("said", "body", "meant"),
    [
        (None, {}, Urgency.USER),
        (b"user", {}, Urgency.USER),
        (b" Agent ", {}, Urgency.AGENT),
        (b"background", {}, Urgency.BACKGROUND),
        (b"agent", {"service_tier": "flex"}, Urgency.BACKGROUND),
        (b"agent", {"service_tier": "priority"}, Urgency.AGENT),
        (None, {"service_tier": ["flex"]}, Urgency.USER),
    ],
)
def test_the_lower_of_both(said: bytes | None, body: dict[str, Any], meant: Urgency) -> None:
    told = head(*(((b"X-Ringfence-Priority", said),) if said is not None else ()))
    assert urgency_of(told.urgency, body)[0] is meant


@pytest.mark.parametrize("said", [b"", b"now", b"0", b"user,agent", b"\xff"])
def test_what_cannot_be_understood_is_refused(said: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        urgency_of(head((b"x-ringfence-priority", said)).urgency, {})
    assert caught.value.code == "invalid_value"
