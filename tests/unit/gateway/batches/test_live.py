"""One batch that is worked on: when it waits for others no more, whom its lines disturb, and when one is given up."""

from __future__ import annotations

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.route import Chain, Decision, Urgency
from ringfence.gateway.batches.line import Line
from ringfence.gateway.batches.live import MOST_BROKEN, Going, Live
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.store.batches import Batch


def live(boundary: Boundary = Boundary.CLOUD, reaches: str = "") -> Live:
    return Live(
        Batch(
            "batch_1", "key_1", "default", int(boundary), "", "", "", "/v1/chat/completions", "file-1", "24h", 3600.0,
            1000.0, 3000.0, reaches=reaches,
        )
    )  # fmt: skip


def call(name: str, boundary: Boundary, urgency: Urgency = Urgency.USER) -> Call:
    chain = Chain(name, (Target(name, name, "vllm", name, boundary),))
    made = Call("c", Key("key_1", "one"), chat.DIALECT, name, {}, 2, False, 0.0, urgency=urgency)
    made.decision = Decision(name, "", "", chain, boundary)
    return made


def going(at: Call | None) -> Going:
    line = Going(live(), Line(1, "a", {}, {}))
    line.call = at
    return line


def test_it_waits_for_nobody_when_half_of_its_time_is_gone() -> None:
    assert not live().is_late(2000.0)
    assert live().is_late(2000.1)


def test_a_line_goes_no_further_than_it_was_read_and_its_batch() -> None:
    assert live(Boundary.MESH, "02").reach(1) is Boundary.HOST
    assert live(Boundary.MESH, "02").reach(2) is Boundary.MESH
    assert live(Boundary.CLOUD).reach(1) is Boundary.HOST


def test_a_line_is_given_up_when_its_engine_fails_while_it_answers_others() -> None:
    one = live()
    assert not any(one.gives_up(1) for _ in range(2 * MOST_BROKEN))  # it fails on all: that is no fault of the line
    for _ in range(MOST_BROKEN - 2):
        one.served += 1
        assert not one.gives_up(1)
    one.served += 1
    assert one.gives_up(1)
    assert not one.gives_up(2)


def test_a_fault_of_ours_is_not_waited_for() -> None:
    one = live()
    assert [one.gives_up(1, is_ours=True) for _ in range(MOST_BROKEN)] == [False] * (MOST_BROKEN - 1) + [True]


@pytest.mark.parametrize(
    ("at", "comes", "stands"),
    [
        (call("here", Boundary.HOST), call("other", Boundary.HOST), True),
        (call("near", Boundary.MESH), call("near", Boundary.MESH), True),
        (call("near", Boundary.MESH), call("other", Boundary.MESH), False),
        (call("far", Boundary.CLOUD), call("far", Boundary.CLOUD), False),
        (call("here", Boundary.HOST), call("far", Boundary.CLOUD), False),
        (call("here", Boundary.HOST), call("here", Boundary.HOST, Urgency.BACKGROUND), False),
        (None, call("far", Boundary.CLOUD), True),
    ],
)
def test_a_line_stands_in_the_way_of_what_may_want_the_same_machine(at: Call | None, comes: Call, stands: bool) -> None:
    assert going(at).stands_in_the_way_of(comes, ()) is stands


def test_a_line_stands_where_its_thoughts_are() -> None:
    line, thought, other = (call(name, reach) for name, reach in
                            (("far", Boundary.CLOUD), ("here", Boundary.HOST), ("here", Boundary.HOST)))  # fmt: skip
    line.id, thought.id, thought.within = "line", "thought", "line"
    assert going(line).stands_in_the_way_of(other, (thought,))
    thought.within = "another"
    assert not going(line).stands_in_the_way_of(other, (thought,))


@pytest.mark.parametrize("is_decided", [True, False])
def test_what_is_paid_for_is_not_stopped(is_decided: bool) -> None:
    """It is at a provider, whatever else it might have gone to, and would be paid for once more."""
    line, thought, other = (call("here", Boundary.HOST) for _ in range(3))
    line.id, thought.id, thought.within = "line", "thought", "line"
    if not is_decided:
        line.decision = None
    for one in (line, thought):
        one.hold = "hold_1"
        assert not going(line).stands_in_the_way_of(other, (thought,))
        one.hold = ""
        assert going(line).stands_in_the_way_of(other, (thought,))


def test_what_was_answered_stands_in_nobodys_way() -> None:
    line = going(call("here", Boundary.HOST))
    line.is_writing = True
    assert not line.stands_in_the_way_of(call("here", Boundary.HOST), ())
