"""What a caller may say of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.batches.settings import keep_of, metadata_of, not_before_of, output_keep_of, window_of


@pytest.mark.parametrize(
    ("given", "window_s"), [("24h", 86_400), ("30s", 30), ("90m", 5400), ("14d", 14 * 86_400), ("336h", 14 * 86_400)]
)
def test_windows(given: str, window_s: float) -> None:
    assert window_of(given) == window_s


@pytest.mark.parametrize("given", [None, 24, "", "24", "h", "0h", "1.5h", "15d", "24H", "-1h", "24h ", "٢h"])
def test_windows_that_are_refused(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        window_of(given)
    assert caught.value.param == "completion_window"


def test_how_long_files_are_kept() -> None:
    assert keep_of(None, None, 60.0) == 60.0
    assert keep_of("created_at", "3600", 60.0) == 3600.0
    assert output_keep_of({}, 60.0) == 60.0
    assert output_keep_of({"output_expires_after": {"anchor": "created_at", "seconds": 2_592_000}}, 60.0) == 2_592_000.0


@pytest.mark.parametrize(
    "given", [{"seconds": 3600}, {"anchor": "created_at"}, {"anchor": "created_at", "seconds": 3599}, "3600", 7, [],
              {"anchor": "created_at", "seconds": 2_592_001}, {"anchor": "last_active_at", "seconds": 3600}],
)  # fmt: skip
def test_times_of_keeping_that_are_refused(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        output_keep_of({"output_expires_after": given}, 60.0)
    assert caught.value.param == "output_expires_after"


def test_metadata() -> None:
    assert metadata_of(None) is None
    assert metadata_of({"job": "nightly"}) == {"job": "nightly"}
    assert metadata_of({str(n): "v" * 512 for n in range(16)})


@pytest.mark.parametrize(
    "given", [[], "x", {"n": 1}, {"k" * 65: "v"}, {"k": "v" * 513}, {str(n): "" for n in range(17)}]
)
def test_metadata_that_is_refused(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        metadata_of(given)
    assert caught.value.param == "metadata"


def test_before_when_a_batch_is_not_begun() -> None:
    assert not_before_of({}, None, 1000.0, 60.0) == not_before_of({}, {"job": "nightly"}, 1000.0, 60.0) == 0.0
    assert not_before_of({"not_before": 1030}, {"not_before": "1040"}, 1000.0, 60.0) == 1030.0
    assert not_before_of({}, {"not_before": "1970-01-01T00:17:20Z"}, 1000.0, 60.0) == 1040.0


@pytest.mark.parametrize("given", [1060, "1970-01-01T00:17:40Z", "tomorrow", []])
def test_moments_that_are_refused(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        not_before_of({"not_before": given}, None, 1000.0, 60.0)
    assert caught.value.param == "not_before"
