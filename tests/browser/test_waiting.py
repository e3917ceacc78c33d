"""The page of what waits, in a real browser: order, ages, countdowns, and a request ended by mouse and by keyboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

from ringfence.testing.fake_parking import FakeParking, kept_row

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"
FOCUSED = "return document.activeElement.getAttribute('aria-label') || document.activeElement.id"

READ = """
    if (!document.querySelector(arguments[0])?.innerText.includes(arguments[1])) return null;
    return [...document.querySelectorAll('#parked tr')].map((one) => one.innerText)
"""


@pytest.fixture
def opened(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/waiting")
    visitor.until("return !document.querySelector('#state').innerText.includes('Connecting')")
    yield visitor


def asks_again(page: Page) -> None:
    """Now, and not in a few seconds."""
    page.run("dispatchEvent(new Event('online'))")


def become(page: Page, *kept: dict[str, Any]) -> None:
    page.served.do(lambda: page.served.view.parking.kept.__setitem__(slice(None), kept))
    asks_again(page)


def row(place: int) -> str:
    return f"#parked tr:nth-child({place})"


def ask_to_cancel(page: Page, place: int) -> None:
    page.find(f"{row(place)} button").click()
    page.until("return document.querySelector('#ending').open")


def test_it_is_reached_from_the_first_page_which_tells_how_many_are_parked(page: Page) -> None:
    assert page.text("#parked-count") == "4"
    page.served.change("parking", dict(page.served.view.sample["parking"], waiting=0))
    page.until("return !document.querySelector('#parked-count').checkVisibility()")
    page.find(".places a[href$=waiting]").click()
    page.until_text("#verdict", "4 requests are parked.")
    assert page.run("return document.querySelector('.places [aria-current]').innerText").startswith("Waiting")
    page.find(".places a:last-child").click()
    page.until_text("#verdict", "have left this machine today")


def test_rows_stand_in_the_order_in_which_they_are_served(opened: Page) -> None:
    page = opened
    become(page, *FakeParking().kept)  # their times are those of now
    rows = page.until(READ, row(2), "11:4")
    assert len(rows) == 7
    assert page.text("#parked-count") == "4"
    assert [one.split()[0] for one in rows] == ["–", "1", "2", "3", "4", "–", "–"]
    for part in ("Waiting", "3 min", "11:4", "about 20 s", "qwen3-8b", "private", "laptop", "user", "Cancel"):
        assert part in rows[1]
    for part in ("2 h 4 min", "21 h 55 min", "local/quality", "research-agent", "agent", "Yes"):
        assert part in rows[3]
    assert "Serving" in rows[0] and "Cancel" in rows[0]
    assert "Done" in rows[5] and "Cancel" not in rows[5]
    assert "Unreadable" in rows[6] and "Cancel" not in rows[6]
    assert page.run(f"return document.querySelector('{row(3)} .soon') !== null") is True
    assert page.run("return document.querySelectorAll('.soon').length") == 1
    page.shot("waiting-light")


def test_ages_grow_and_deadlines_come_nearer_between_two_questions(opened: Page) -> None:
    page = opened
    page.run("window.fetch = () => new Promise(() => {})")  # no answer comes any more: only the page's own clock
    shown = f"return document.querySelector('{row(3)}').children[%d].innerText"
    age, left = page.run(shown % 2), page.run(shown % 3)
    assert age.endswith(" s") and left.startswith("0:")
    page.until(f"return document.querySelector('{row(3)}').children[3].innerText !== arguments[0]", left)
    assert int(page.run(shown % 2).split()[0]) > int(age.split()[0])
    assert int(page.run(shown % 3)[2:]) < int(left[2:])


def test_how_old_one_became_stands_still_once_it_has_ended(opened: Page) -> None:
    page = opened
    become(page, kept_row(9, 5, None, key="laptop", state="expired"), kept_row(8, 5, 600, key="laptop"))
    page.until("return document.querySelectorAll('#parked tr').length === 2")
    page.run("window.fetch = () => new Promise(() => {})")
    age = "return document.querySelector('{}').children[2].innerText"
    ended, waiting = page.run(age.format(row(1))), page.run(age.format(row(2)))
    page.until(f"{age.format(row(2))} !== arguments[0]", waiting)
    assert page.run(age.format(row(1))) == ended


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_those_that_have_ended_can_be_told_from_those_that_wait(opened: Page, width: int, colours: str) -> None:
    page = opened
    page.look(width, 900, colours)
    ends = ("done", "failed", "expired", "cancelled", "unreadable")
    ended = [kept_row(20 + place, 90 * place, None, key="nightly", state=state) for place, state in enumerate(ends)]
    become(page, *page.served.view.parking.kept[:3], *ended)
    page.until("return document.querySelectorAll('#parked tr').length === 8")
    pills = page.run("return [...document.querySelectorAll('#parked .over .pill')].map((one) => one.innerText)")
    assert [words.lower() for words in pills] == list(ends)
    assert page.run("return document.querySelectorAll('#parked tr:not(.over)').length") == 3
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    page.shot(f"waiting-ended-{width}-{colours}")


def test_a_deadline_that_has_come_stays_at_nothing(opened: Page) -> None:
    page = opened
    become(page, kept_row(9, 901, -1, key="laptop"))
    page.until("return document.querySelectorAll('#parked tr').length === 1")
    assert page.run(f"return document.querySelector('{row(1)}').children[3].innerText") == "0:00"


def test_nothing_parked_is_calm_and_short(opened: Page) -> None:
    page = opened
    become(page)
    page.until_text("#verdict", "Nothing is waiting.")
    assert not page.find("#parked-panel").is_displayed()
    assert not page.find("#parked-count").is_displayed()
    assert page.text("#state") == "Up to date"
    assert len(page.text("main").split()) < 30
    page.shot("waiting-empty")


def test_one_alone_and_a_full_queue_have_their_sentences(opened: Page) -> None:
    page = opened
    become(page, kept_row(9, 5, 600, key="laptop"))
    page.until_text("#verdict", "1 request is parked.")
    page.served.view.parking.most = 2
    become(page, kept_row(9, 5, 600, key="laptop"), kept_row(10, 5, 600, key="laptop"))
    page.until_text("#verdict", "The queue is full: 2 requests are parked.")
    assert page.text("#state") == "Queue full"


def test_texts_that_cannot_be_read_are_said(opened: Page) -> None:
    page = opened
    page.served.view.parking.sealed = "unreadable: parking.key is not the one of these rows"
    asks_again(page)
    page.until_text("#sealed", "cannot be read: parking.key is not the one of these rows.")
    assert page.text("#state") == "Not readable"
    page.shot("waiting-unreadable")
    page.served.view.parking.sealed = "ok"
    asks_again(page)
    page.until("return document.querySelector('#sealed').innerText === ''")


def test_one_is_cancelled_after_a_question(opened: Page) -> None:
    page = opened
    ask_to_cancel(page, 2)
    assert page.text("#ending-which") == "qwen3-8b for laptop, profile private."
    page.shot("waiting-question", whole=False)
    page.find("#ending-yes").click()
    page.until_text("#said", "Cancelled: qwen3-8b for laptop.")
    page.until_text(row(2), "Cancelled")
    page.until_text("#verdict", "3 requests are parked.")
    states = [one["state"] for one in page.served.view.parking.rows()]
    assert states == ["serving", "cancelled", *["waiting"] * 3, "done", "unreadable"]
    assert not page.find(f"{row(2)} button").is_displayed()


def test_nothing_is_cancelled_without_the_answer(opened: Page) -> None:
    page = opened
    before = [one["state"] for one in page.served.view.parking.rows()]
    ask_to_cancel(page, 2)
    page.find("#ending-no").click()
    ask_to_cancel(page, 2)
    page.driver.switch_to.active_element.send_keys(ESCAPE)
    page.until("return !document.querySelector('#ending').open")
    assert page.run(FOCUSED) == "Cancel qwen3-8b for laptop"
    assert [one["state"] for one in page.served.view.parking.rows()] == before


def test_one_is_cancelled_by_keyboard_and_the_focus_goes_on_with_the_next(opened: Page) -> None:
    page = opened
    seen: list[str] = []
    while "Cancel local/quality for research-agent" not in seen:
        assert len(seen) < 20
        page.driver.switch_to.active_element.send_keys(TAB)
        seen.append(page.run(FOCUSED))
    assert "parked-box" in seen
    page.driver.switch_to.active_element.send_keys(ENTER)
    page.until("return document.querySelector('#ending').open")
    assert page.run(FOCUSED) == "ending-no"  # what Enter does first must do no harm
    asked: set[str] = set()
    for _ in range(4):
        page.driver.switch_to.active_element.send_keys(TAB)
        asked.add(page.run(FOCUSED))
    assert not [one for one in asked if one.startswith("Cancel ")]  # the page behind it is out of reach
    page.run("document.querySelector('#ending-no').focus()")
    page.driver.switch_to.active_element.send_keys(TAB)
    page.driver.switch_to.active_element.send_keys(ENTER)
    page.until_text(row(4), "Cancelled")
    assert page.run(FOCUSED) == "Cancel local/quality for nightly"


def test_focus_stays_where_it_is_while_rows_come_and_go(opened: Page) -> None:
    page = opened
    page.run(f"document.querySelector('{row(4)} button').focus()")
    kept = page.served.view.parking.kept
    become(page, *kept[2:], kept_row(9, 1, 900, key="laptop"))
    page.until("return document.querySelectorAll('#parked tr').length === 6")
    assert page.run(FOCUSED) == "Cancel local/quality for research-agent"


@pytest.mark.parametrize(("state", "words"), [("done", "It has ended meanwhile: done."), (None, "not there any more")])
@pytest.mark.parametrize("is_noticed", [True, False])
def test_one_that_ends_during_the_question(opened: Page, state: str | None, words: str, is_noticed: bool) -> None:
    page = opened
    page.expected += ["404"]
    ask_to_cancel(page, 2)
    kept = page.served.view.parking.kept
    rest = [dict(one, state=state) if place == 1 else one for place, one in enumerate(kept)]
    changed = rest if state else [*kept[:1], *kept[2:]]
    if is_noticed:
        become(page, *changed)
    else:
        page.served.do(lambda: kept.__setitem__(slice(None), changed))
        page.find("#ending-yes").click()
    page.until_text("#ending-problem", words)
    assert page.find("#ending-yes").get_attribute("disabled") is not None
    assert (page.text("#ending-no"), page.run(FOCUSED)) == ("Close", "ending-no")
    page.find("#ending-no").click()
    ask_to_cancel(page, 3)
    assert page.text("#ending-problem") == ""
    assert page.text("#ending-no") == "Keep it"


def test_a_gateway_that_is_gone_is_said_in_the_question(opened: Page) -> None:
    page = opened
    page.expected += ["ERR_"]
    ask_to_cancel(page, 2)
    page.served.hang_up()
    page.find("#ending-yes").click()
    page.until_text("#ending-problem", "The gateway did not answer.")
    page.until_text("#state", "Connection lost")
    page.served.listen()
    page.find("#ending-yes").click()
    page.until_text("#said", "Cancelled")
    page.until_text("#state", "Up to date")


def test_an_ended_session_is_said(opened: Page) -> None:
    page = opened
    page.expected += ["401"]
    page.served.do(page.served.view.sessions.clear)
    asks_again(page)
    page.until_text("#banner", "ringfence status --console")
    assert page.text("#state") == "Signed out"


def test_names_are_text_and_never_markup(opened: Page) -> None:
    page = opened
    risky = "<img src=x onerror=alert(1)>"
    become(page, dict(kept_row(9, 5, 600, key=risky), id='a?b"#<i>%2e'))
    page.until_text("#parked", risky)
    ask_to_cancel(page, 1)
    assert risky in page.text("#ending-which")
    page.find("#ending-yes").click()
    page.until_text("#said", risky)
    assert [one["state"] for one in page.served.view.parking.rows()] == ["cancelled"]
    assert page.driver.find_elements("css selector", "main img, main i") == []


def test_a_thousand_rows_are_drawn_and_drawn_again_quickly(opened: Page) -> None:
    page = opened
    become(page, *(kept_row(number, number, 900, key="laptop") for number in range(100, 1100)))
    began = time.monotonic()
    page.until_text("#verdict", "1,000 requests are parked")
    page.until("return document.querySelectorAll('#parked tr').length === 1000")
    assert time.monotonic() - began < 5
    assert page.overflow() == 0


@pytest.mark.parametrize("width", [360, 1024, 1440])
def test_long_names_push_nothing_out_of_the_window(opened: Page, width: int) -> None:
    page = opened
    page.look(width, 900, "light")
    become(page, dict(kept_row(9, 5, 600, key="key " * 40), model="m" * 120, profile="long-profile-" * 9))
    page.until("return document.querySelectorAll('#parked tr').length === 1")
    assert page.overflow() == 0
    button = page.find(f"{row(1)} button").rect
    assert button["x"] + button["width"] <= width
    ask_to_cancel(page, 1)
    assert page.overflow() == 0
    yes = page.find("#ending-yes").rect
    assert yes["x"] + yes["width"] <= width and yes["y"] + yes["height"] <= 900
    page.shot(f"waiting-long-{width}", whole=False)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1024, 1440, 2200])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(opened: Page, width: int, colours: str) -> None:
    page = opened
    page.look(width, 900, colours)
    page.until("return document.getAnimations().filter((one) => one.playState === 'running').length === 0")
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    box = "const box = document.querySelector('#parked-box'); return box.scrollWidth - box.clientWidth"
    assert page.run(box) == 0  # what ends a request is never out of sight
    page.shot(f"waiting-{width}-{colours}")
    ask_to_cancel(page, 2)
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    page.shot(f"waiting-question-{width}-{colours}", whole=False)
