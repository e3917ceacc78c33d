"""Models that could not serve a line are tried again, later each time."""

from __future__ import annotations

from ringfence.gateway.batches.pauses import MOST_S, Pauses


def test_each_pause_is_twice_as_long_until_something_is_answered() -> None:
    pauses, now_s, lengths = Pauses(), 100.0, []
    for _ in range(8):
        pauses.hold("key", "model", now_s)
        began_s = now_s
        while pauses.holds("key", "model", now_s):
            now_s += 0.5
        lengths.append(now_s - began_s)
    assert lengths == [1, 2, 4, 8, 16, MOST_S, MOST_S, MOST_S]
    pauses.served("key", "model")
    pauses.hold("key", "model", now_s)
    assert pauses.holds("key", "model", now_s + 0.9) and not pauses.holds("key", "model", now_s + 1)


def test_those_that_fail_together_make_one_pause() -> None:
    pauses = Pauses()
    for _ in range(5):
        pauses.hold("key", "model", 10.0)
    assert not pauses.holds("key", "model", 11.0)


def test_what_is_said_of_when_to_come_again_counts() -> None:
    pauses = Pauses()
    pauses.hold("key", "model", 10.0, retry_after_s=7.0)
    assert pauses.holds("key", "model", 16.9) and not pauses.holds("key", "model", 17.0)
    assert not pauses.holds("key", "other", 11.0) and not pauses.holds("other", "model", 11.0)
    pauses.hold("key", "model", 17.0, retry_after_s=3600.0)
    assert not pauses.holds("key", "model", 17.0 + MOST_S)
    pauses.hold("key", "model", 100.0)
    pauses.clear()
    assert not pauses.holds("key", "model", 100.0)
