"""Counting and telling: bounded, readable by Prometheus, and off the path of any call."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.telemetry import metrics as telemetry
from ringfence.telemetry.events import FITS, KEPT, SLICE, Answered, CountGap, Events, Fitting, Kind
from ringfence.telemetry.exposition import CONTENT_TYPE, render
from ringfence.telemetry.logs import GapLog, RequestLog
from ringfence.telemetry.metrics import SECONDS, Metrics

SHORTENED = Fitting("compressed", 6000, 800, 2, {"tool_result": 3}, 512, 512)
KEY = Key("key_1", "a name that is nobody's business")


def answered(**changes: Any) -> Answered:
    told: dict[str, Any] = {
        "key": KEY, "dialect": "chat", "model": "fast", "target": "seat/fast", "rule": "r", "status": 200,
        "outcome": "ok", "stream": False, "first_byte_s": 0.02, "total_s": 0.3, "usage": Usage(10, 5, 2),
        "fitting": FITS,
    } | changes  # fmt: skip
    first_byte_s, total_s, usage, fitting = (told.pop(name) for name in ("first_byte_s", "total_s", "usage", "fitting"))
    return Answered("c", 0.0, Kind(**told), first_byte_s, total_s, usage, fitting)


def samples(metrics: Metrics) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(render(metrics).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_the_page_says_what_was_counted() -> None:
    metrics = Metrics()
    for total_s in (0.0005, 0.001, 0.3, 500.0):
        metrics.answered(answered(total_s=total_s))
    metrics.answered(answered(status=502, outcome="engine_failed", usage=None, target=""))
    metrics.retried("seat/fast", "lost")
    metrics.refused(401, "invalid_api_key")
    metrics.refused(401, "invalid_api_key")
    metrics.gauge("ringfence_up", "One.", ("instance",), lambda: [(("a",), 1.0)])
    page = samples(metrics)
    assert {sample.labels["status"]: sample.value for sample in page["ringfence_requests_total"]} == {
        "200": 4,
        "502": 1,
    }
    tokens = {
        sample.labels["kind"]: sample.value for sample in page["ringfence_tokens_total"] if sample.labels["target"]
    }
    assert tokens == {"prompt": 40, "completion": 20, "cached": 8}
    buckets = [s for s in page["ringfence_request_seconds_bucket"] if s.labels["status"] == "200"]
    counts = {sample.labels["le"]: sample.value for sample in buckets}
    assert (counts["0.001"], counts["0.25"], counts["0.5"], counts["120.0"], counts["+Inf"]) == (2, 2, 3, 3, 4)
    assert len(buckets) == len(SECONDS) + 1
    assert [s.value for s in page["ringfence_request_seconds_count"] if s.labels["status"] == "200"] == [4]
    assert page["ringfence_retries_total"][0].labels == {"target": "seat/fast", "reason": "lost"}
    assert page["ringfence_refusals_total"][0].value == 2
    assert page["ringfence_up"][0].labels == {"instance": "a"}


def test_what_was_done_so_that_calls_fit_is_counted_by_target() -> None:
    metrics = Metrics()
    for fitting in (FITS, FITS, Fitting("clamped", asked=9000, output=4915), SHORTENED, SHORTENED):
        metrics.answered(answered(fitting=fitting))
    metrics.answered(answered(status=400, outcome="context_length_exceeded", usage=None, target="", fitting=None))
    metrics.answered(answered(status=503, outcome="target_unavailable", usage=None, target="", fitting=None))
    page = samples(metrics)
    counted = {(one.labels["target"], one.labels["state"]): one.value for one in page["ringfence_window_total"]}
    assert counted == {
        ("seat/fast", "fit"): 2, ("seat/fast", "clamped"): 1, ("seat/fast", "compressed"): 2, ("", "refused"): 1,
    }  # fmt: skip
    [given_up] = page["ringfence_window_tokens_given_up_total"]
    assert (given_up.labels, given_up.value) == ({"target": "seat/fast", "state": "compressed"}, 2 * 5200)


def test_the_log_says_what_was_done_and_nothing_where_it_fits() -> None:
    stream = io.BytesIO()
    log = RequestLog(stream)
    for fitting in (FITS, None, SHORTENED):
        log.answered(answered(fitting=fitting))
    log.write()
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ["window" in row for row in rows] == [False, False, True]
    told = {"state": "compressed", "before": 6000, "after": 800, "dropped": 2, "shortened": {"tool_result": 3}}
    assert rows[2]["window"] == told


def test_labels_with_odd_characters_survive_and_keys_never_show() -> None:
    metrics = Metrics()
    metrics.answered(answered(model='a"b\\c\nd'))
    assert samples(metrics)["ringfence_requests_total"][0].labels["model"] == 'a"b\\c\nd'
    assert b"business" not in render(metrics)
    assert b"key_1" not in render(metrics)
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_an_empty_page_is_a_page() -> None:
    assert "ringfence_requests_total" not in samples(Metrics())


def test_series_are_bounded_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_SERIES", 20)
    metrics = Metrics()
    for number in range(20 + 50):
        metrics.answered(answered(model=f"m{number}"))
    assert len(metrics.answers) == 20 + 1
    counted = {sample.labels["model"]: sample.value for sample in samples(metrics)["ringfence_requests_total"]}
    assert (counted["other"], counted["m0"], sum(counted.values())) == (50, 1, 20 + 50)
    metrics.answered(answered(model="m0"))
    assert len(metrics.answers) == 20 + 1


async def test_events_are_told_later_and_in_slices() -> None:
    heard: list[object] = []
    slices: list[int] = []
    events = Events((heard.append,), (lambda: slices.append(len(heard)),))
    for number in range(SLICE * 2 + 10):
        events.emit(number)
    assert heard == []
    async with asyncio.timeout(25):
        while len(heard) < SLICE * 2 + 10:
            await asyncio.sleep(0.005)
    assert heard == list(range(SLICE * 2 + 10))
    assert slices == [SLICE, SLICE * 2, SLICE * 2 + 10]
    events.emit("again")
    async with asyncio.timeout(25):
        while heard[-1] != "again":
            await asyncio.sleep(0.005)


async def test_flushing_tells_everything_now_and_nothing_twice() -> None:
    heard: list[object] = []
    events = Events((heard.append,))
    for number in range(200):
        events.emit(number)
    events.flush()
    assert heard == list(range(200))
    await asyncio.sleep(0.1)
    assert len(heard) == 200


async def test_a_listener_that_fails_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []

    def broken(event: object) -> None:
        raise ZeroDivisionError

    events = Events((broken, heard.append))
    with caplog.at_level(logging.ERROR):
        for turn in range(2):
            events.emit(turn)
            async with asyncio.timeout(25):
                while len(heard) <= turn:
                    await asyncio.sleep(0.005)
    assert heard == [0, 1]
    assert len(caplog.records) == 2


async def test_recent_events_and_slow_watchers_are_bounded() -> None:
    events = Events()
    async with events.watch() as queue:
        for number in range(KEPT + 100):
            events.emit(number)
        events.flush()
        assert queue.qsize() == KEPT
        assert await queue.get() == 0
        assert len(events.recent) == KEPT
        assert events.recent[-1] == KEPT + 99
    events.emit("after")
    events.flush()
    assert queue.qsize() == KEPT - 1


def test_gaps_in_counting_are_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    metrics, now = Metrics(), [0.0]
    listener = GapLog(lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for at_s, target in ((0, "a"), (1, "a"), (2, "b"), (59, "a"), (61, "a")):
            now[0] = float(at_s)
            gap = CountGap(f"call-{at_s}", target, 900, 1000, "bound", "above")
            metrics.gap(gap)
            listener.tell(gap)
    assert [record.getMessage() for record in caplog.records] == [
        f"{target} reports 1000 prompt tokens, above what was counted: 900 by the bound (call call-{at_s})"
        for at_s, target in ((0, "a"), (2, "b"), (61, "a"))
    ]
    found = {
        sample.labels["target"]: (sample.labels, sample.value)
        for sample in samples(metrics)["ringfence_count_gaps_total"]
    }
    assert found["a"] == ({"target": "a", "by": "bound", "side": "above"}, 4)
    assert found["b"][1] == 1
