"""Call ids: unique, in order, and shaped like UUIDs of version 7."""

from __future__ import annotations

import uuid

from ringfence.gateway.ids import CallIds


def test_ids_are_unique_sorted_and_valid() -> None:
    ids = CallIds()
    made = [ids.next(step * 0.0001) for step in range(50_000)]
    assert len(set(made)) == len(made)
    parsed = [uuid.UUID(each) for each in made]
    assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
    assert [str(each) for each in parsed] == made
    fronts = [each[:13] for each in made]
    assert fronts == sorted(fronts)


def test_two_processes_do_not_make_the_same() -> None:
    one, other = CallIds(), CallIds()
    assert not {one.next(0) for _ in range(1000)} & {other.next(0) for _ in range(1000)}
