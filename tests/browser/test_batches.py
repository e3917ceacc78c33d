"""The page of batches in a real browser: how far each is, what is left of its window, and one that is cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

ESCAPE = "\ue00c"
FOCUSED = "return document.activeElement.getAttribute('aria-label') || document.activeElement.id"
SHARES = """
    const [all, well, ill] = document.querySelectorAll(`#batches tr:nth-child(${arguments[0]}) rect`);
    const whole = all.getBoundingClientRect();
    const boxes = [well, ill].map((one) => one.getBoundingClientRect());
    return boxes.flatMap((box) => [(box.x - whole.x) / whole.width, box.width / whole.width])
"""


@pytest.fixture
def opened(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/batches")
    visitor.until("return !document.querySelector('#state').innerText.includes('Connecting')")
    yield visitor


def become(page: Page, *rows: dict[str, Any]) -> None:
    page.served.do(lambda: page.served.view.batched.__setitem__(slice(None), rows))
    page.run("dispatchEvent(new Event('online'))")


def row(place: int) -> str:
    return f"#batches tr:nth-child({place})"


def ask_to_cancel(page: Page, place: int) -> None:
    page.find(f"{row(place)} button").click()
    page.until("return document.querySelector('#ending').open")


def test_each_batch_is_shown_with_how_far_it_is(page: Page) -> None:
    page.find(".places a[href$=batches]").click()
    page.until_text("#verdict", "1 batch is under way, 3,797 lines to go.")
    assert page.text("#verdict").endswith("1 line is being asked now.")
    assert page.run("return document.querySelector('.places [aria-current]').innerText") == "Batches"
    assert page.text("#parked-count") == "4"
    rows = [one.text for one in page.driver.find_elements("css selector", "#batches tr")]
    assert len(rows) == 3
    for part in ("In progress", "24 %", "1,200", "5,000", "22 h 57 min", "local/fast", "nightly", "private", "Cancel"):
        assert part in rows[0]
    assert "Failed" in rows[1] and "0 %" in rows[1] and "Cancel" not in rows[1]
    assert "Completed" in rows[2] and "100 %" in rows[2] and "Cancel" not in rows[2]
    assert page.run(SHARES, 1) == pytest.approx([0, 0.24, 0.24, 0.0006], abs=0.002)
    assert page.run(SHARES, 3) == pytest.approx([0, 0.998, 0.998, 0.002], abs=0.002)
    page.shot("batches-light")


def test_no_batch_is_calm_and_short(opened: Page) -> None:
    page = opened
    become(page)
    page.until_text("#verdict", "No batch is under way.")
    assert not page.find("#batches-panel").is_displayed()
    assert len(page.text("main").split()) < 30
    page.shot("batches-empty")


def test_what_comes_to_its_end_soon_and_lines_of_several_models(opened: Page) -> None:
    page = opened
    sample = page.served.view.batched[0]
    several = dict(sample, id="batch_a", model="", left_s=600.0, age_s=85_800.0)
    become(page, several, dict(sample, id="batch_b", status="validating", total=0, completed=0, failed=0, model=""))
    page.until("return document.querySelectorAll('#batches tr').length === 2")
    assert page.text(f"{row(1)} .soon").endswith("10 min")
    assert "several" in page.text(row(1)) and "Validating" in page.text(row(2)) and "0 %" in page.text(row(2))
    assert page.run("return document.querySelectorAll('.soon').length") == 1


def test_one_is_cancelled_after_a_question(opened: Page) -> None:
    page = opened
    ask_to_cancel(page, 1)
    assert page.run(FOCUSED) == "ending-no", "what Enter does first must do no harm"
    assert page.text("#ending-which").startswith("local/fast for nightly, profile private: 1,203 of 5,000 lines done.")
    page.shot("batches-question", whole=False)
    page.driver.switch_to.active_element.send_keys(ESCAPE)
    page.until("return !document.querySelector('#ending').open")
    assert page.served.view.batched[0]["status"] == "in_progress"
    ask_to_cancel(page, 1)
    page.find("#ending-yes").click()
    page.until_text("#said", "Cancelled: local/fast for nightly.")
    page.until_text(row(1), "Cancelling")
    assert page.served.view.batched[0]["status"] == "cancelling"
    assert not page.find(f"{row(1)} button").is_displayed()


def test_one_that_ends_during_the_question(opened: Page) -> None:
    page = opened
    ask_to_cancel(page, 1)
    first, *rest = page.served.view.batched
    become(page, dict(first, status="completed", left_s=None), *rest)
    page.until_text("#ending-problem", "It has ended meanwhile: completed.")
    assert page.find("#ending-yes").get_attribute("disabled") is not None
    assert (page.text("#ending-no"), page.run(FOCUSED)) == ("Close", "ending-no")


def test_names_are_text_and_never_markup(opened: Page) -> None:
    page = opened
    risky = "<img src=x onerror=alert(1)>"
    become(page, dict(page.served.view.batched[0], id="batch_x", key=risky, model=risky))
    page.until_text("#batches", risky)
    ask_to_cancel(page, 1)
    assert risky in page.text("#ending-which")
    assert page.driver.find_elements("css selector", "main img") == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(opened: Page, width: int, colours: str) -> None:
    page = opened
    long = dict(page.served.view.batched[0], id="batch_long", key="key " * 30, model="m" * 100, left_s=60.0)
    page.look(width, 900, colours)
    box = "const box = document.querySelector('#batches-box'); return box.scrollWidth - box.clientWidth"
    assert page.run(box) == 0, "what ends a batch stands over nothing"
    become(page, *page.served.view.batched, long)
    page.until("return document.querySelectorAll('#batches tr').length === 4")
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    button = page.find(f"{row(4)} button").rect
    assert button["x"] + button["width"] <= width
    page.shot(f"batches-{width}-{colours}")
