"""The states of an engine process and the moves between them. Pure: time and chance are handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MIB = 1024 * 1024


class State(StrEnum):
    """Where an instance is; FAILED still tries again, but seldom. STOPPING is on its way to be stopped or asleep."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    SLEEPING = "sleeping"
    BACKING_OFF = "backing_off"
    FAILED = "failed"


class Cause(StrEnum):
    """What moves an instance from one state to the next."""

    BEGUN = "begun"
    LISTENING = "listening"
    BROKE = "broke"
    GAVE_UP = "gave_up"
    DRAIN = "drain"
    SLEEP = "sleep"
    ASLEEP = "asleep"
    WAKE = "wake"
    FAILED = "failed"
    STOP = "stop"
    STOPPED = "stopped"


TRANSITIONS: dict[tuple[State, Cause], State] = {
    (State.STOPPED, Cause.BEGUN): State.STARTING,
    (State.BACKING_OFF, Cause.BEGUN): State.STARTING,
    (State.FAILED, Cause.BEGUN): State.STARTING,
    (State.STARTING, Cause.LISTENING): State.READY,
    (State.STARTING, Cause.BROKE): State.BACKING_OFF,
    (State.STARTING, Cause.GAVE_UP): State.FAILED,
    (State.READY, Cause.BROKE): State.BACKING_OFF,
    (State.READY, Cause.GAVE_UP): State.FAILED,
    (State.READY, Cause.DRAIN): State.DRAINING,
    (State.STARTING, Cause.DRAIN): State.DRAINING,
    (State.BACKING_OFF, Cause.DRAIN): State.DRAINING,
    (State.FAILED, Cause.DRAIN): State.DRAINING,
    (State.STOPPED, Cause.DRAIN): State.DRAINING,
    (State.SLEEPING, Cause.DRAIN): State.DRAINING,
    (State.DRAINING, Cause.DRAIN): State.DRAINING,
    (State.READY, Cause.SLEEP): State.STOPPING,
    (State.DRAINING, Cause.SLEEP): State.STOPPING,
    (State.STOPPING, Cause.ASLEEP): State.SLEEPING,
    (State.SLEEPING, Cause.WAKE): State.STARTING,
    **{(state, Cause.FAILED): State.FAILED for state in State if state is not State.STOPPED},
    **{(state, Cause.STOP): State.STOPPING for state in State if state is not State.STOPPED},
    **{(state, Cause.STOPPED): State.STOPPED for state in State},
}


class ImpossibleMove(RuntimeError):
    """A cause that cannot happen in this state: a fault of the program, not of the engine."""


def after(state: State, cause: Cause) -> State:
    """The state that `cause` leads to. Raises ImpossibleMove."""
    try:
        return TRANSITIONS[state, cause]
    except KeyError:
        raise ImpossibleMove(f"an instance that is {state} cannot move on '{cause}'") from None


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a supervisor is, in seconds. `same_error_limit` equal failures to start in a row are final.

    One that was ready is started again within `longest_served_delay_s`, however often it dies: callers wait for it.
    A hang is seen after `health_every_s` + `health_timeout_s`, or after the latter once a connection broke, and the
    engine is ended `health_misses` looks later; `busy_misses` as long as it uses a processor. All of it within 30 s.
    """

    first_delay_s: float = 0.1
    longest_delay_s: float = 30.0
    longest_served_delay_s: float = 0.5
    healthy_after_s: float = 60.0
    given_up_delay_s: float = 300.0
    same_error_limit: int = 3
    health_every_s: float = 2.0
    health_timeout_s: float = 1.0
    health_misses: int = 6
    busy_misses: int = 20
    suspect_every_s: float = 1.0
    token_timeout_s: float = 8.0
    bad_tokens: int = 2
    stop_grace_s: float = 2.0
    sleep_timeout_s: float = 60.0
    killed_after_s: float = 10.0
    start_base_s: float = 30.0
    start_bytes_per_s: int = 200 * MIB

    def start_timeout_s(self, model_bytes: int) -> float:
        """How long loading may take: a slow disk is given its time."""
        return self.start_base_s + model_bytes / self.start_bytes_per_s


class Backoff:
    """Counts failures in a row and says how long to wait: doubling, with jitter. A failure to start is forgotten once
    it was ready, the short lives after good health."""

    def __init__(self, pace: Pace, chance: Callable[[], float]) -> None:
        self._pace = pace
        self._chance = chance
        self._failures = 0
        self._short_lives = 0
        self._last_reason = ""
        self._same_reason = 0

    def broke(self, reason: str, healthy_s: float | None) -> tuple[float, bool]:
        """(delay in seconds, whether it is final for now). `healthy_s`: how long it was ready, None if it never was."""
        pace = self._pace
        if healthy_s is not None:
            self._same_reason, self._last_reason, self._failures = 0, "", 0
            before = 0 if healthy_s >= pace.healthy_after_s else self._short_lives
            self._short_lives = before + 1
            longest_s = pace.longest_served_delay_s
        else:
            self._same_reason = self._same_reason + 1 if reason == self._last_reason else 1
            self._last_reason = reason
            if self._same_reason >= pace.same_error_limit:
                return pace.given_up_delay_s, True
            before = self._failures
            self._failures += 1
            longest_s = pace.longest_delay_s
        delay_s = min(longest_s, pace.first_delay_s * 2 ** min(before, 20))
        return delay_s * (0.5 + 0.5 * self._chance()), False
