"""What happened to instances, told in the past tense. None of it holds text of a request, or a key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    """An engine process was started and loads its model."""

    name: str
    pid: int
    attempt: int


@dataclass(frozen=True, slots=True)
class InstanceReady:
    """It answers. `took_s` is from the start of the process."""

    name: str
    pid: int | None
    port: int
    took_s: float


@dataclass(frozen=True, slots=True)
class InstanceFailed:
    """It broke, hung or did not start. `retry_in_s` is when it is tried again; `gave_up` that it is not soon."""

    name: str
    reason: str
    retry_in_s: float
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class InstanceQuarantined:
    """It gets no new request until a look at it is good; it is restarted when none is."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class InstanceDrained:
    """No request is on it any more, or the time to wait for them ended with `left` still running."""

    name: str
    left: int


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """It was stopped on request and no process of it remains."""

    name: str


@dataclass(frozen=True, slots=True)
class OffersChanged:
    """An engine that we do not run has other models, or other windows, than before."""

    name: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """The reconciler did something: `what` is the planner's word, such as load or drain, `name` a model or a lease."""

    what: str
    name: str
    reason: str
    cause: str = ""
