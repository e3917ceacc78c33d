"""The line of doctor about money."""

from __future__ import annotations

from ringfence.cli.show_money import house_in_words, is_nearly_used_up

HOUSE = {
    "scope": "house",
    "period": "month",
    "limit": 100_000_000,
    "spent": 63_400_000,
    "held": 420_000,
    "is_soft": False,
}
PROFILE = HOUSE | {"scope": "profile", "is_soft": True}


def test_the_caps_of_the_house_are_told() -> None:
    assert house_in_words([PROFILE, HOUSE]) == "$63.40 spent and $0.42 held of $100.00 a month"
    assert house_in_words([PROFILE]) == ""
    assert not is_nearly_used_up([PROFILE, HOUSE])
    assert is_nearly_used_up([HOUSE | {"is_soft": True}])
