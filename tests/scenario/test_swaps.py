"""Models that take turns on one device: nobody's answer is cut, nobody is forgotten, and there are few turns."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from moving import DEVICE, HURRIED, Callers, Site, alike
from whole import LONG_TOKENS, Stream, Terminal, command, kill, made_key, until

pytestmark = pytest.mark.slow

STREAMS = 4
DWELLS_S = 4.5
"""Twice what a tiny model is reckoned to take to load; it stays so long at least."""


@pytest.fixture
def site_of(start_up: Any, tmp_path: Path) -> Any:
    """Makes sites; each is stopped at the end of its test."""
    made: list[Site] = []

    def make(models: dict[str, Any], **more: Any) -> Site:
        made.append(Site(start_up, tmp_path, models, **more))
        return made[-1]

    yield make
    for site in made:
        site.up.stop()


def test_a_swap_waits_for_streams_and_cuts_none(site_of: Any, tmp_path: Path) -> None:
    hurried = HURRIED | {"patience_s": 0.2}
    site = site_of(alike(tmp_path, "a b", parallel=STREAMS), placement=hurried)
    assert site.chat("a").status == 200
    until(lambda: (site.rows()["a"]["idle_s"] or 0) > DWELLS_S, 15, "a model that may be asked to go")
    streams = [Stream(site.up, model="a", timeout_s=60, max_tokens=LONG_TOKENS) for _ in range(STREAMS)]
    for stream in streams:
        stream.until_text()
    engine = site.pid("a")
    assert engine is not None
    kill(engine, signal.SIGSTOP)  # so that all of them are surely under way
    with Callers(site) as callers:
        other = callers.chat("b")
        try:
            site.until_phase("a", "draining")
            assert site.rows()["a"]["running"] == STREAMS, "they were under way"
        finally:
            kill(engine, signal.SIGCONT)
        rests = [callers.do(stream.rest) for stream in streams]
        texts = [rest.result(60) for rest in rests]
        reply = other.result(60)
    for stream in streams:
        stream.response.close()
    assert [errors for _text, errors in texts] == [[]] * STREAMS
    assert all(stream.saw_done for stream in streams)
    assert (reply.status, reply.headers["x-ringfence-target"]) == (200, "llamacpp/b")
    assert site.moves("load") == ["a", "b"]
    assert len(site.engines()) == 1


def test_twenty_by_turns_are_not_twenty_swaps(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "a b"))
    with Callers(site, 20) as callers:
        replies = [callers.chat("ab"[number % 2]) for number in range(20)]
        statuses = [reply.result(60).status for reply in replies]
    assert statuses == [200] * 20
    assert len(site.moves("load")) == 2, "each came once"


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_twenty_one_after_the_other_come_in_turns_of_some_length(site_of: Any, tmp_path: Path) -> None:
    """Each caller comes half a second after the one before, for the other model."""
    site = site_of(alike(tmp_path, "a b"), placement=HURRIED | {"dwell_s": DWELLS_S})
    began = time.monotonic()
    with Callers(site, 20) as callers:
        replies = []
        for number in range(20):
            replies.append(callers.chat("ab"[number % 2]))
            until(lambda due=began + 0.5 * (number + 1): time.monotonic() >= due, 25, "the next one's time")
        statuses = [reply.result(90).status for reply in replies]
    took_s = time.monotonic() - began
    loads = site.moves("load")
    assert statuses == [200] * 20
    assert len(loads) <= 2 + took_s / DWELLS_S, "none went before it had stayed as long as it may"
    assert len(loads) < 10


CHAINS = {
    "broad": {"boundary": "host", "chain": ["a", "b"]},
    "narrow": {"boundary": "host", "chain": ["a"]},
    "parks": {"boundary": "host", "chain": ["b"], "ending": "park"},
}


@pytest.mark.timed
def test_who_can_be_served_elsewhere_is_at_once_and_others_wait_or_are_parked(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "a b"), profiles=CHAINS)
    broad, narrow, parks = (made_key(site.up, name, profile=name) for name in CHAINS)
    assert site.chat("b").status == 200
    with Callers(site) as callers:
        waits = callers.chat("auto", key=narrow)
        until(lambda: site.rows()["a"]["waiting"], 25, "one who waits")
        began = time.monotonic()
        elsewhere = site.chat("auto", key=broad)
        assert time.monotonic() - began < 2
        assert elsewhere.headers["x-ringfence-target"] == "llamacpp/b"
        assert waits.result(60).headers["x-ringfence-target"] == "llamacpp/a"
    assert site.chat("auto", key=broad).headers["x-ringfence-target"] == "llamacpp/a"
    parked = site.chat("auto", key=parks)
    assert (parked.status, parked.headers["x-ringfence-target"]) == (200, "llamacpp/b")
    assert site.moves("load") == ["b", "a", "b"]


@pytest.mark.slow
def test_a_call_that_went_elsewhere_brings_its_first_model(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "a b"), profiles=CHAINS)
    broad = made_key(site.up, "broad", profile="broad")
    assert site.chat("b").status == 200
    assert site.chat("auto", key=broad).headers["x-ringfence-target"] == "llamacpp/b"
    site.until_ready("a")
    assert site.chat("auto", key=broad).headers["x-ringfence-target"] == "llamacpp/a"


@pytest.mark.timed
def test_who_would_wait_too_long_is_told_when_to_come_again(site_of: Any, tmp_path: Path) -> None:
    hurried = HURRIED | {"dwell_s": 60, "wait_s": 1}
    site = site_of(alike(tmp_path, "a b"), placement=hurried, profiles=CHAINS)
    narrow = made_key(site.up, "narrow", profile="narrow")
    until(lambda: site.chat("b").status == 200, 30, "b")
    began = time.monotonic()
    refused = site.chat("auto", key=narrow)
    assert 0.9 < time.monotonic() - began < 5
    assert (refused.status, refused.code) == (503, "target_unavailable")
    [row] = site.plan()["waiting"]
    assert row["name"] == "a"
    assert abs(float(refused.headers["retry-after"]) - row["estimate_s"]) < 10
    assert 20 < float(refused.headers["retry-after"]) < 100
    assert row["reason"] in refused.json["error"]["message"]


def test_a_slot_goes_back_to_its_default_and_a_lazy_one_leaves(site_of: Any, tmp_path: Path) -> None:
    models = alike(tmp_path, "a b") | alike(tmp_path, "rare", residency="lazy", memory="1GiB", idle_s=1)
    site = site_of(models, slots={"swap": {"default": "a", "idle_s": 1}})
    site.until_ready("a")
    assert site.phases() == {"a": "ready", "b": "absent", "rare": "absent"}
    with Callers(site) as callers:
        assert [callers.chat(name).result(60).status for name in ("b", "rare")] == [200, 200]
    site.until_phase("rare", "absent")
    site.until_ready("a")
    assert site.phases() == {"a": "ready", "b": "absent", "rare": "absent"}
    assert site.moves("load")[:2] == ["a", "b"]


@pytest.mark.timed
def test_one_that_is_too_large_is_refused_at_once_and_disturbs_nobody(site_of: Any, tmp_path: Path) -> None:
    models = alike(tmp_path, "small", residency="always") | alike(tmp_path, "huge", memory="12GiB")
    site = site_of(models)
    assert site.chat("small").status == 200
    engine = site.pid("small")
    began = time.monotonic()
    refused = site.chat("huge")
    assert time.monotonic() - began < 3
    assert (refused.status, refused.code) == (503, "target_unavailable")
    assert "it needs 12.0 GiB, and sim has 7.5 GiB in all" in refused.json["error"]["message"]
    assert site.chat("small").status == 200
    assert (site.pid("small"), site.phases()["huge"]) == (engine, "absent")
    told = command("plan", folder=site.up.folder)
    assert told.returncode == 0
    assert "huge" in told.stdout


def test_up_says_at_once_that_a_model_is_too_large(tmp_path: Path) -> None:
    said = {
        "devices": {DEVICE: {"simulated": "8GiB"}}, "discovery": {"adopt": False}, "server": {"port": 0},
        "models": alike(tmp_path, "huge", residency="always", memory="12GiB"),
    }  # fmt: skip
    file = tmp_path / "some.yaml"
    file.write_text(json.dumps(said))
    with Terminal(tmp_path, "up", "--config", str(file)) as up:
        said_of_it = up.until("huge cannot be served")
    assert "12.0 GiB" in said_of_it
