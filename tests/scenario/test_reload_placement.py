"""Reloads of a gateway whose device has no room for two: what is hot, what drains, what takes the place of the old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from moving import DEVICE, HURRIED, Callers, Site, alike
from whole import LONG_TOKENS, Stream, gone, until

pytestmark = pytest.mark.slow


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


def running(site: Site) -> dict[str, Any]:
    """What came of the reload, which must be well."""
    outcome = site.reload()
    assert outcome["ok"], outcome
    return outcome


def test_who_is_where_and_how_long_is_hot(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "one", residency="always", memory="3GiB"))
    site.until_ready("one")
    engine, one = site.pid("one"), site.said["models"]["one"]
    for change in ({"residency": "lazy"}, {"priority": "P2"}, {"devices": ["ram", DEVICE]}, {"idle_s": 100}):
        one |= change
        outcome = running(site)
        assert [each["reload"] for each in outcome["changes"]] == ["hot"], outcome
    row = site.rows()["one"]
    assert (row["residency"], row["priority"], row["phase"]) == ("lazy", "P2", "ready")
    assert site.pid("one") == engine
    one["idle_s"] = 0
    running(site)
    site.until_phase("one", "absent")
    assert site.chat("one").status == 200
    assert DEVICE not in site.rows()["one"]["devices"], "it came to the first of its devices"


@pytest.mark.parametrize("residency", ["always", "swap"])
def test_where_there_is_no_room_beside_the_old_one_it_takes_its_place(
    site_of: Any, tmp_path: Path, residency: str
) -> None:
    site = site_of(alike(tmp_path, "one", residency=residency, window=1024, parallel=2))
    assert site.chat("one").status == 200
    before, others = site.pid("one"), []
    with Callers(site) as callers, Stream(site.up, model="one", timeout_s=60, max_tokens=900) as stream:
        stream.until_text()
        site.said["models"]["one"]["window"] = 2048
        told = callers.do(running, site)
        others = [callers.chat("one") for _ in range(4)]
        assert stream.rest()[1] == []
        assert stream.saw_done
        told.result(60)
        assert [other.result(60).status for other in others] == [200] * 4
    until(lambda: site.chat("one").status == 200 and site.window("one") == 2048, 20, "the new window")
    assert before is not None
    gone([before], 10)
    assert len(site.engines()) == 1
    assert site.moves("load") == ["one", "one"]


def test_one_that_will_never_fit_changes_nothing(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "one", residency="always"))
    site.until_ready("one")
    engine = site.pid("one")
    site.said["models"]["one"]["memory"] = "12GiB"
    outcome = site.reload()
    assert not outcome["ok"]
    assert "it needs 12.0 GiB" in outcome["problems"][0]
    assert (site.pid("one"), site.chat("one").status) == (engine, 200)
    assert site.phases() == {"one": "ready"}


def test_a_place_that_was_given_up_for_nothing_is_taken_back(site_of: Any, tmp_path: Path) -> None:
    """It would fit alone, and not beside what does not give way."""
    models = alike(tmp_path, "one", residency="always", memory="3GiB")
    site = site_of(models | alike(tmp_path, "high", residency="always", memory="3GiB", priority="P0"))
    for name in ("one", "high"):
        site.until_ready(name)
    site.said["models"]["one"]["memory"] = "6GiB"
    outcome = site.reload()
    assert not outcome["ok"]
    assert "it needs 6.0 GiB" in outcome["problems"][0]
    site.until_ready("one")
    assert site.rows()["one"]["devices"] == {DEVICE: 3 << 30}
    assert site.chat("one").status == 200


def test_models_come_and_go_and_never_more_than_fits(site_of: Any, tmp_path: Path) -> None:
    site = site_of(alike(tmp_path, "one", residency="always"), placement=HURRIED)
    site.until_ready("one")
    before, counted = site.pid("one"), set[int]()
    with Stream(site.up, model="one", timeout_s=60, max_tokens=LONG_TOKENS) as stream:
        stream.until_text()
        site.said["models"] = alike(tmp_path, "two three", residency="swap")
        running(site)
        with Callers(site) as callers:
            rest, reply = callers.do(stream.rest), callers.chat("two")
            until(lambda: counted.add(len(site.engines())) or reply.done(), 60, "an answer of the new one")
            assert rest.result(60)[1] == []
            assert stream.saw_done, "it was drained, and not cut"
            assert reply.result().status == 200
    assert max(counted) == 1, "there is room for one"
    assert before is not None
    gone([before], 10)
    assert site.moves("load") == ["one", "two"]
    assert site.chat("one").code == "model_not_found"
    site.said["models"] = alike(tmp_path, "three", residency="swap")
    running(site)
    assert site.chat("three").status == 200
    until(lambda: len(site.engines()) == 1, 25, "one engine alone")
    assert site.phases() == {"three": "ready"}
