"""What is kept of answers: for how long, how much, and how little of it can be seen."""

from __future__ import annotations

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Caching
from ringfence.gateway.cache import Cache
from ringfence.store.sealing import Unreadable

TARGET = Target("seat/x", "x", "vllm", "x", Boundary.MESH)
CACHING = Caching(10.0, memory_bytes=10_000)
SECRET_WORDS = b"the night watch walks"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache:
    return Cache(clock)


def keep(cache: Cache, digest: bytes, data: bytes = SECRET_WORDS, profile: str = "p") -> None:
    cache.keep(profile, digest, CACHING, data, TARGET, is_events=False, head=b"")


def has(cache: Cache, digest: bytes, caching: Caching = CACHING, profile: str = "p") -> bool:
    return cache.find(profile, digest, caching, Boundary.CLOUD) is not None


def test_it_is_given_until_its_time_is_over_also_where_that_was_made_shorter(cache: Cache, clock: Clock) -> None:
    keep(cache, b"a")
    clock.now_s += 9.9
    assert has(cache, b"a")
    assert not has(cache, b"a", Caching(5.0))
    keep(cache, b"b")
    clock.now_s += 10.0
    assert not cache.sweep()
    assert cache.shelves == {}


def test_what_was_not_used_for_longest_goes_first(cache: Cache) -> None:
    for number in range(9):
        keep(cache, b"%d" % number, b"x" * 900)
        assert has(cache, b"0")
    kept = [number for number in range(9) if has(cache, b"%d" % number)]
    assert kept[0] == 0
    assert kept[1:] == list(range(10 - len(kept), 9))
    assert cache.shelves["p"].size_bytes <= CACHING.memory_bytes
    keep(cache, b"large", b"x" * 2_500)
    assert not has(cache, b"large")


def test_one_profile_takes_no_room_of_another(cache: Cache) -> None:
    keep(cache, b"a", profile="q")
    for number in range(50):
        keep(cache, b"%d" % number, b"x" * 900)
    assert has(cache, b"a", profile="q")
    assert cache.clear("p") > 0
    assert has(cache, b"a", profile="q")


def test_nothing_from_further_away(cache: Cache) -> None:
    keep(cache, b"a")
    assert cache.find("p", b"a", CACHING, Boundary.HOST) is None
    assert cache.find("p", b"a", CACHING, Boundary.MESH) is not None


def test_what_stands_in_the_wrong_place_does_not_open(cache: Cache) -> None:
    keep(cache, b"a")
    entries = cache.shelves["p"].entries
    entries[b"b"] = entries[b"a"]
    with pytest.raises(Unreadable):
        cache.find("p", b"b", CACHING, Boundary.CLOUD)


def test_its_text_is_nowhere_to_be_seen(cache: Cache) -> None:
    keep(cache, b"a")
    entry = cache.shelves["p"].entries[b"a"]
    found = cache.find("p", b"a", CACHING, Boundary.CLOUD)
    assert found is not None
    assert found.data == SECRET_WORDS
    assert SECRET_WORDS not in entry.sealed
    assert SECRET_WORDS.decode() not in repr((entry, found, cache.shown()))
    assert cache.shown() == [
        {"profile": "p", "answers": 1, "bytes": entry.size_bytes, "hit": 0, "miss": 0, "joined": 0}
    ]
