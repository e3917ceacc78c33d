"""The Prometheus page. Loaded on the first scrape: its library costs 14 MB that not everyone needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ringfence.telemetry.metrics import SECONDS, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("dialect", "model", "target", "status", "outcome")


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    total, rows = 0, []
    for bound, count in zip((*map(str, SECONDS), "+Inf"), counts, strict=True):
        total += count
        rows.append((bound, float(total)))
    return rows


class _Page:
    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("ringfence_requests", "Calls that were answered.", labels=LABELS)
        tokens = CounterMetricFamily(
            "ringfence_tokens", "Tokens as engines reported them.", labels=("model", "target", "kind")
        )
        total = HistogramMetricFamily(
            "ringfence_request_seconds", "From the whole request to the last byte.", labels=LABELS
        )
        first = HistogramMetricFamily(
            "ringfence_first_byte_seconds", "From the whole request to the first byte.", labels=LABELS
        )
        summed: dict[tuple[str, str, str], int] = {}
        for key, series in self.metrics.answers.items():
            labels = tuple(map(str, key))
            requests.add_metric(labels, series.requests)
            total.add_metric(labels, _buckets(series.total), series.total_sum_s)
            first.add_metric(labels, _buckets(series.first), series.first_sum_s)
            for kind in ("prompt", "completion", "cached"):
                where = (labels[1], labels[2], kind)
                summed[where] = summed.get(where, 0) + getattr(series, f"{kind}_tokens")
        for where, count in summed.items():
            tokens.add_metric(where, count)
        retries = CounterMetricFamily(
            "ringfence_retries", "Targets that failed before the first byte.", labels=("target", "reason")
        )
        for at, count in self.metrics.retries.items():
            retries.add_metric(at, count)
        gaps = CounterMetricFamily(
            "ringfence_count_gaps", "Prompts whose tokens were counted otherwise than reported.",
            labels=("target", "by", "side"),
        )  # fmt: skip
        for where, count in self.metrics.gaps.items():
            gaps.add_metric(where, count)
        windows = CounterMetricFamily(
            "ringfence_window", "Calls, by what was done so that they fit the window.", labels=("target", "state")
        )
        for where, count in self.metrics.by_fitting().items():
            windows.add_metric(where, count)
        given_up = CounterMetricFamily(
            "ringfence_window_tokens_given_up", "Tokens of prompts that were left out.", labels=("target", "state")
        )
        for where, count in self.metrics.given_up.items():
            given_up.add_metric(where, count)
        refusals = CounterMetricFamily(
            "ringfence_refusals", "Requests refused before routing.", labels=("status", "code")
        )
        for (status, code), count in self.metrics.refusals.items():
            refusals.add_metric((str(status), code), count)
        yield from (requests, tokens, total, first, retries, gaps, windows, given_up, refusals)
        yield _escalations(self.metrics)
        yield _counter("ringfence_calls_parked", "Calls that had to wait.", "class", self.metrics.parked)
        yield _counter("ringfence_parked_ended", "Parked calls, by how they ended.", "state", self.metrics.parked_ended)
        yield _counter("ringfence_batch_lines", "Lines of batches, by outcome.", "outcome", self.metrics.batch_lines)
        yield _counter("ringfence_batches_ended", "Batches, by how they ended.", "state", self.metrics.batches)
        yield _alerts(self.metrics.budget_alerts)
        for name, text, labels_of, read in self.metrics.gauges:
            gauge = GaugeMetricFamily(name, text, labels=labels_of)
            for values, value in read():
                gauge.add_metric(values, value)
            yield gauge


def _escalations(metrics: Metrics) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "ringfence_escalations", "Answers of a chain's model that would not do.", labels=("chain", "model", "why")
    )
    for at, count in metrics.escalations.items():
        family.add_metric(at, count)
    return family


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _alerts(counts: Mapping[tuple[str, str], int]) -> Metric:
    text = "What owners of budgets were to be told: soft, ahead, above_held."
    family = CounterMetricFamily("ringfence_budget_alerts", text, labels=("alert", "scope"))
    for where, count in counts.items():
        family.add_metric(where, count)
    return family


def render(metrics: Metrics) -> bytes:
    """The page as bytes, in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(metrics))  # type: ignore[arg-type]
    return generate_latest(registry)
