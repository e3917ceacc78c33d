"""What requests tell of a target, and what follows from it for the next ones."""

from __future__ import annotations

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Chain
from ringfence.routing.breaker import FAILURES_IN_A_ROW, OPEN_S, SETTLED_S, Standing
from ringfence.routing.chain import walk
from ringfence.routing.health import Health
from ringfence.telemetry.events import TargetReturned, TargetSetAside


def target(name: str = "a") -> Target:
    return Target(name, "m", "vllm", "m", Boundary.HOST)


A, B = target("a"), target("b")


class Case:
    """Health at a time that the test tells."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.happened: list[object] = []
        self.health = Health(lambda: self.now_s, emit=self.happened.append)

    def fail(self, at: Target, reason: str = "connect", times: int = FAILURES_IN_A_ROW) -> None:
        for _ in range(times):
            self.health.record(at, reason)

    def tried(self, *targets: Target, retries: int = 0) -> str:
        return "".join(each.name for each in walk(Chain("c", targets), Boundary.HOST, self.health, retries))


class TestSetAside:
    def test_after_failures_in_a_row_until_it_answers(self) -> None:
        case = Case()
        case.fail(A, "lost", FAILURES_IN_A_ROW - 1)
        case.health.succeed(A)
        case.fail(A, "lost", FAILURES_IN_A_ROW - 1)
        assert case.health.is_usable(A)
        case.health.record(A, "connect")
        assert (case.health.is_usable(A), case.health.of(A).reason) == (False, "connect")
        assert case.health.standing(A) == (Standing.OPEN, OPEN_S[0])
        assert case.health.is_usable(B)
        case.now_s += OPEN_S[0]
        assert case.health.is_usable(A)
        case.health.succeed(A)
        assert case.health.standing(A)[0] is Standing.CLOSED
        assert case.happened == [TargetSetAside("a", "connect", OPEN_S[0]), TargetReturned("a", OPEN_S[0])]

    def test_what_never_failed_costs_nothing_and_what_has_long_been_well_is_forgotten(self) -> None:
        case = Case()
        case.health.succeed(A)
        assert case.health.is_plain(A)
        case.fail(A, times=1)
        case.health.succeed(A)
        assert not case.health.is_plain(A)
        case.now_s += SETTLED_S + 1
        case.health.succeed(A)
        assert case.health.is_plain(A)

    def test_others_are_tried_and_it_only_after_them(self) -> None:
        case = Case()
        case.fail(A)
        assert case.tried(A, B, retries=1) == "bab"

    def test_one_call_at_a_time_finds_out(self) -> None:
        case = Case()
        case.fail(A)
        case.now_s += OPEN_S[0]
        first = iter(walk(Chain("c", (A, B)), Boundary.HOST, case.health, 0))
        assert next(first) is A
        assert case.tried(B, A)[0] == "b" and case.tried(A, B)[0] == "b", "the first one is still there"
        first.close()  # type: ignore[attr-defined]
        assert case.tried(A, B)[0] == "a"

    @pytest.mark.parametrize(("reason", "tried"), [("connect", "aa"), ("status", "aa"), ("first_byte_timeout", "")])
    def test_the_only_one_is_tried_all_the_same_unless_it_is_silent(self, reason: str, tried: str) -> None:
        case = Case()
        case.fail(A, reason)
        assert case.tried(A, retries=1) == tried
        assert case.health.soonest_s((A,)) == 1.0

    def test_a_silent_one_is_tried_by_one_call_alone_once_its_time_is_over(self) -> None:
        case = Case()
        case.fail(A, "stalled")
        case.now_s += OPEN_S[0]
        probe = iter(walk(Chain("c", (A,)), Boundary.HOST, case.health, 2))
        assert next(probe) is A
        assert case.tried(A) == ""
        assert not case.health.is_set_aside(A) and not case.health.is_usable(A)

    def test_what_it_asks_for_itself(self) -> None:
        case = Case()
        case.health.record(A, "status", 20.0)
        assert case.health.standing(A) == (Standing.OPEN, 20.0)
        assert case.health.is_closed_off(A)
        assert case.tried(A, B) == "ba" and case.tried(A) == "a"
        assert case.happened == [TargetSetAside("a", "status", 20.0)]

    def test_streams_that_begin_late(self) -> None:
        case = Case()
        for _ in range(10):
            case.health.slow(A)
            case.health.succeed(A)
        assert not case.health.is_usable(A)
        assert case.happened == [TargetSetAside("a", "slow", OPEN_S[0])]

    def test_answers_that_break_off_one_after_the_other(self) -> None:
        case = Case()
        for turn in range(3):
            assert case.health.is_usable(A), turn
            case.health.succeed(A)
            case.health.ended(A, "lost")
        assert not case.health.is_usable(A)
        case.now_s += OPEN_S[0]
        case.health.succeed(A)
        assert case.health.is_usable(A)
        case.health.ended(A, "lost")
        assert not case.health.is_usable(A), "until one was whole"
        case.now_s += OPEN_S[1]
        case.health.succeed(A)
        case.health.ended(A, "ok")
        case.health.ended(A, "lost")
        assert case.health.is_usable(A)


class Keeper:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, target: Target, reason: str) -> None:
        self.told.append(reason)

    def doubt(self, target: Target) -> None:
        self.told.append("doubt")


class TestDoubts:
    def test_three_failures_in_a_row_make_a_target_doubtful(self) -> None:
        keeper = Keeper()
        health, at = Health(lambda: 0.0, keeper), target()
        for _ in range(2):
            health.record(at, "malformed")
            health.record(at, "status")
            health.succeed(at)
        assert keeper.told == []
        for _ in range(6):
            health.record(at, "malformed")
        assert keeper.told == ["doubt", "doubt"]

    def test_answers_that_begin_well_and_are_never_whole(self) -> None:
        keeper = Keeper()
        health, at = Health(lambda: 0.0, keeper), target()
        for outcome in ("malformed", "malformed", "ok", "malformed", "client_gone", "lost", "engine_error"):
            health.succeed(at)  # the first byte came
            health.ended(at, outcome)
        assert "doubt" not in keeper.told
        health.ended(at, "malformed")
        assert keeper.told == ["malformed", "malformed", "malformed", "lost", "malformed", "doubt"]
        health.ended(None, "lost")
