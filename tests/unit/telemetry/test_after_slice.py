"""What is done after a slice of events may fail; the next events are told all the same."""

from __future__ import annotations

from ringfence.telemetry.events import Events


async def test_one_that_fails_after_a_slice_does_not_silence_events() -> None:
    told: list[object] = []
    settled: list[int] = []

    def breaks() -> None:
        raise OSError("the disk is full")

    events = Events((told.append,), (breaks, lambda: settled.append(len(told))))
    for event in ("first", "second"):
        events.emit(event)
        events.flush()
    assert told == ["first", "second"]
    assert settled == [1, 2]
