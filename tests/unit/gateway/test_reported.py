"""What engines report beside what was counted: gaps are told without any text, and only where there is one."""

from __future__ import annotations

import pytest

from ringfence.core.usage import Usage
from ringfence.gateway.reported import By, Counted, Reported, gap
from ringfence.telemetry.events import CountGap


@pytest.mark.parametrize(
    ("counted", "reported", "least", "side"),
    [
        (None, 1000, None, ""),
        (Counted(1000, By.ENGINE), 1000, None, ""),
        (Counted(1000, By.ENGINE), 1001, None, "above"),
        (Counted(1000, By.ENGINE), 985, None, ""),
        (Counted(1000, By.ENGINE), 900, None, "below"),
        (Counted(40, By.ENGINE), 30, None, ""),
        (Counted(4000, By.BOUND), 900, None, ""),
        (Counted(4000, By.BOUND), 4001, None, "above"),
        (Counted(1000, By.RATIO), 1200, None, ""),
        (Counted(1000, By.RATIO), 1300, None, "above"),
        (Counted(40_000, By.BOUND), 4096, 10_000, "below"),
        (None, 4096, 10_000, "below"),
        (None, 5001, 10_000, ""),
    ],
)
def test_gaps(counted: Counted | None, reported: int, least: int | None, side: str) -> None:
    assert gap(counted, reported, least) == side


def take(reported: Reported, size_bytes: int, counted: Counted | None, usage: Usage, times: int = 1) -> None:
    for _ in range(times):
        reported.take(("call-1", "them/m", size_bytes, counted, usage))
    reported.settle()


def test_a_prompt_that_an_engine_cut_is_noticed_without_any_count() -> None:
    """As an Ollama does it: the usage says the window, whatever was sent."""
    events: list[object] = []
    reported = Reported(events.append)
    take(reported, 4000, None, Usage(1000, 5), times=64)
    assert events == []
    before = reported.ratios.least("them/m", 100_000)
    take(reported, 100_000, None, Usage(4096, 5))
    assert events == [CountGap("call-1", "them/m", 0, 4096, "ratio", "below")]
    take(reported, 100_000, None, Usage(4096, 5), times=40)
    assert reported.ratios.least("them/m", 100_000) == before, "it does not get used to it"


def test_what_we_estimated_ourselves_teaches_nothing() -> None:
    events: list[object] = []
    reported = Reported(events.append)
    take(reported, 4000, Counted(10, By.ENGINE), Usage(1000, 5, estimated=True), times=64)
    assert (events, reported.ratios.estimate("them/m", 4000)) == ([], None)


def test_more_than_was_counted_is_told_and_learned() -> None:
    events: list[object] = []
    reported = Reported(events.append)
    take(reported, 4000, Counted(900, By.BOUND), Usage(1000, 5), times=32)
    assert len(events) == 32
    assert events[0] == CountGap("call-1", "them/m", 900, 1000, "bound", "above")
    assert (reported.ratios.estimate("them/m", 4000) or 0) >= 1000


def test_nothing_grows_while_nobody_looks() -> None:
    reported = Reported(lambda _event: None)
    for _ in range(10_000):
        reported.take(("c", "t", 1000, None, Usage(250)))
    assert len(reported._waiting) == 4096
