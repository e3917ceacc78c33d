"""The chat box in a real browser: streams, stops, remembers, and says in words what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

WRITING, DONE = ".said.answer.is-writing", ".said.answer:not(.is-writing)"
ENTER, SHIFT = "\ue007", "\ue008"


def _ask(page: Page, words: str) -> None:
    page.find("#chat-text").send_keys(words + ENTER)


def test_an_answer_streams_and_says_where_it_ran_and_how_fast(page: Page) -> None:
    page.served.chat.between_s = 0.04
    page.served.chat.pauses_after = 8
    _ask(page, "What is Ringfence?")
    page.until(f"return (document.querySelector('{WRITING} .words')?.innerText ?? '').length > 20")
    assert "stays on this machine" not in page.text(".said.answer")
    page.served.chat.goes_on.set()
    page.until_text(DONE, "The text stays on this machine.")
    assert page.text(".said.user") == "What is Ringfence?"
    assert page.text(".said.answer pre") == "ringfence explain --model auto"
    assert page.text(".said.answer strong") == "OpenAI-compatible"
    foot = page.text(".said.answer .figures-line")
    for part in (
        "llamacpp/qwen3-8b",
        "first word after",
        "tokens/s",
        f"21 → {len(page.served.chat.text.split(' '))} tokens",
        "window: clamped",
    ):
        assert part in foot
    asked = page.served.chat.asked[0]
    assert asked["model"] == "qwen3-8b"
    assert asked["stream"] is True
    page.shot("chat", whole=False)


def test_the_next_question_carries_what_was_said_until_a_new_chat(page: Page) -> None:
    page.served.chat.text = "Yes."
    for place, words in enumerate(("First", "Second")):
        _ask(page, words)
        page.until(f"return document.querySelectorAll('{DONE}').length === {place + 1}")
    roles = [message["role"] for message in page.served.chat.asked[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    page.find("#chat-clear").click()
    assert page.driver.find_elements("css selector", ".said") == []
    _ask(page, "Third")
    page.until(f"return document.querySelectorAll('{DONE}').length === 1")
    assert [message["content"] for message in page.served.chat.asked[2]["messages"]] == ["Third"]


def test_stop_stops_the_engine_and_keeps_what_was_written(page: Page) -> None:
    page.served.chat.ending = "hang"
    _ask(page, "Go on for ever")
    page.until_text(WRITING, "on this machine")
    page.find("#chat-stop").click()
    page.until_text(f"{DONE} .figures-line", "stopped")
    assert page.served.chat.left.wait(25)
    assert "The text stays" in page.text(".said.answer .words")
    assert page.find("#chat-send").is_displayed()


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("refuse", "Every slot is taken. Try again in 2 s."),
        ("error", "The engine broke off; the answer is not complete."),
        ("cut", "The answer broke off before its end."),
    ],
)
def test_what_went_wrong_is_said_in_words(page: Page, ending: str, words: str) -> None:
    page.expected += ["503"]
    page.served.chat.ending = ending
    _ask(page, "Hello")
    page.until_text(f"{DONE} .failed", words)
    page.served.chat.ending = "done"
    _ask(page, "Again")
    page.until_text(f"{DONE}:last-child", "stays on this machine")


def test_a_gateway_that_is_gone_is_said_in_words(page: Page) -> None:
    page.expected += ["ERR_"]
    page.served.hang_up()
    page.until_text("#state", "Connection lost")
    _ask(page, "Hello")
    page.until_text(f"{DONE} .failed", "could not be reached")
    page.served.listen()
    page.until_text("#state", "Working")


def test_what_a_model_writes_is_text_and_never_markup(page: Page) -> None:
    page.served.chat.text = "<img src=x onerror=alert(1)> <script>alert(2)</script> **<b>bold</b>**"
    _ask(page, "<i>Hello</i>")
    page.until_text(DONE, "<img src=x onerror=alert(1)>")
    assert page.text(".said.user") == "<i>Hello</i>"
    assert page.driver.find_elements("css selector", ".chat-log img, .chat-log script, .chat-log b, .chat-log i") == []


def test_shift_and_enter_start_a_new_line(page: Page) -> None:
    box = page.find("#chat-text")
    before = box.size["height"]
    box.send_keys("one", SHIFT, ENTER, "\ue000", "two")
    assert box.get_attribute("value") == "one\ntwo"
    assert box.size["height"] > before
    assert page.served.chat.asked == []


def test_a_suggestion_asks_on_one_click(page: Page) -> None:
    page.find(".suggestions button").click()
    page.until_text(DONE, "stays on this machine")
    assert page.served.chat.asked[0]["messages"][0]["content"] == "What is Ringfence?"


def test_a_long_answer_stays_inside_a_narrow_window(page: Page) -> None:
    page.look(360, 780, "dark")
    page.served.chat.text = "x" * 300 + " " + "word " * 200 + "\n\n```\n" + "y" * 200 + "\n```"
    _ask(page, "w" * 200)
    page.until(f"return document.querySelectorAll('{DONE}').length === 1")
    assert page.overflow() == 0
    page.run("document.querySelector('.chat').scrollIntoView()")
    page.shot("phone-chat", whole=False)
