"""The line of status and doctor about money."""

from __future__ import annotations

import time

from ringfence.cli.show_money import house_in_words, is_nearly_used_up
from ringfence.testing.fake_money import sample_money


def test_caps_come_before_what_is_not_capped() -> None:
    house = [one for one in sample_money(time.time())["standings"] if one["scope"] == "house"]
    assert house_in_words(house) == "$63.40 spent and $0.42 held of $100.00 a month"
    assert house_in_words(house[:2]) == "$17.02 spent and $0.42 held this week, no cap"
    assert house_in_words([]) == ""
    assert not is_nearly_used_up(house)
    assert is_nearly_used_up([house[2] | {"spent_usd_micros": 79_580_000}])
