"""The wall around each process on the first page: told in words, with how to mend it; an open one is told on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

from ringfence.testing.fake_status import ADOPTED, FENCE_IT, sample_process

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

MEND = "Look whether the unit has IPAddressDeny=, or load the rules of `ringfence firewall print`."
OUT = "RINGFENCE_ISOLATED claims isolation, and an attempt to reach 192.0.2.7:443 worked: it answered"
WITHIN = "it runs within the gateway's wall"
CALM = ("rgb(84, 96, 91)", "rgb(158, 170, 165)")
LINES = """
    return [...document.querySelectorAll('#isolation .pill')].map(
      (one) => [one.parentElement.textContent, one.innerText, one.className.replace('pill ', '')])
"""


def walls(page: Page, wall: str, reason: str, mend: str) -> None:
    """The gateway's, and with it that of its engine; the other processes are as ever."""
    others = page.served.view.sample["isolation"][2:]
    page.served.change("isolation", [
        sample_process("gateway", wall, reason, mend), sample_process("qwen3-8b", wall, WITHIN, mend), *others,
    ])  # fmt: skip


def test_each_process_has_a_line_that_says_what_it_may_reach_and_what_is_known(page: Page) -> None:
    assert page.run(LINES) == [
        ["gateway Held may reach: this machine", "Held", "good"],
        ["qwen3-8b Held may reach: this machine", "Held", "good"],
        ["egress Way out may reach: 2 providers", "Way out", "busy"],
        ["vllm-8000 Unknown may reach: unknown", "Unknown", "quiet"],
        ["ollama-11434 Unknown may reach: unknown", "Unknown", "quiet"],
    ]
    text = page.text("#isolation")
    assert "an attempt to reach 192.0.2.7:443 failed" in text and WITHIN in text
    assert page.run("return [...document.querySelectorAll('#isolation code')].map((one) => one.innerText)") == [
        FENCE_IT.split("`")[1]  # once, below both engines that it is for
    ]
    assert not page.find("#open-wall").is_displayed()
    page.shot("isolation-held")


@pytest.mark.parametrize(
    ("wall", "words", "kind"),
    [
        ("held", "Held", "good"),
        ("open", "Open", "bad"),
        ("unclaimed", "Unclaimed", "quiet"),
        ("unchecked", "Unchecked", "warn"),
        ("checking", "Checking", "busy"),
        ("way out", "Way out", "busy"),
        ("unknown", "Unknown", "quiet"),
    ],
)
def test_each_state_is_told_in_words_with_its_reason_and_its_mend(page: Page, wall: str, words: str, kind: str) -> None:
    page.served.change("isolation", [sample_process("gateway", wall, "so it was", "Mend it.")])
    page.until_text("#isolation", "so it was")
    assert page.run(LINES) == [[f"gateway {words} may reach: this machine", words, kind]]
    assert "Mend it." in page.text("#isolation")
    assert page.find("#open-wall").is_displayed() is (wall == "open")


def test_an_open_wall_of_the_gateway_is_told_on_top_until_it_is_mended(page: Page) -> None:
    walls(page, "open", OUT, MEND)
    page.until("return document.querySelector('#open-wall').checkVisibility()")
    assert "No profile of tier T1 is served" in page.text("#open-wall")
    assert "load the rules of ringfence firewall print." in page.text("#open-wall")
    assert page.find("#open-wall").get_attribute("role") == "alert"
    assert page.find("#open-wall").rect["y"] < page.find("main").rect["y"]
    assert page.text("#isolation").count("Look whether the unit") == 1
    page.shot("isolation-open")
    walls(page, "held", "an attempt failed", "")
    page.until("return !document.querySelector('#open-wall').checkVisibility()")


def test_an_engine_that_is_not_kept_in_is_no_reason_to_say_that_t1_is_not_served(page: Page) -> None:
    rows = page.served.view.sample["isolation"]
    page.served.change("isolation", [rows[0], sample_process("qwen3-8b", "open", OUT, MEND)])
    page.until_text("#isolation", "Open")
    assert not page.find("#open-wall").is_displayed()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_where_nothing_is_claimed_it_is_quiet(page: Page, colours: str) -> None:
    page.look(1280, 900, colours)
    walls(page, "unclaimed", "nothing says that the kernel keeps this process in", "`ringfence service install` does.")
    page.until_text("#isolation", "Unclaimed")
    assert {kind for _, words, kind in page.run(LINES) if words != "Way out"} == {"quiet"}
    assert page.run("return document.querySelectorAll('#isolation .why').length") == 0
    colour = "return getComputedStyle(document.querySelector('#isolation code')).color"
    assert page.run(colour) in CALM
    page.shot(f"isolation-unclaimed-{colours}")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1280, 2200])
def test_it_can_be_read_at_each_width_and_pushes_nothing_out(page: Page, width: int, colours: str) -> None:
    page.look(width, 900, colours)
    long: list[dict[str, Any]] = [
        sample_process("gateway", "open", OUT, MEND, reach="this machine, 192.168.10.0/24, fd00:10:20:30:40::/80"),
        sample_process("m" * 60, "open", WITHIN, MEND),
        sample_process("another", "unchecked", "nothing is configured to try it with", "Set isolation.probe."),
        *(sample_process(name, "unknown", "Ringfence did not start it", FENCE_IT, "unknown") for name in ADOPTED),
    ]
    page.served.change("isolation", long)
    page.until_text("#open-wall", "No profile of tier T1 is served")
    page.until("return document.getAnimations().filter((one) => one.playState === 'running').length === 0")
    assert page.overflow() == 0
    outside = """
        return [...document.querySelectorAll('#isolation *, #open-wall *')]
          .filter((one) => one.getBoundingClientRect().right > arguments[0]).map((one) => one.outerHTML.slice(0, 80))
    """
    assert page.run(outside, width) == []
    assert page.run(CONTRAST) == []
    page.shot(f"isolation-{width}-{colours}")


def test_it_is_a_list_with_a_name_for_who_listens(page: Page) -> None:
    assert page.find("#isolation").aria_role == "list"
    assert {one.aria_role for one in page.driver.find_elements("css selector", "#isolation > *")} == {"listitem"}
    region = page.run("return document.querySelector('#isolation').closest('section').getAttribute('aria-labelledby')")
    assert page.text(f"#{region}") == "Isolation"


def test_what_it_says_is_text_and_never_markup(page: Page) -> None:
    risky = "<img src=x onerror=alert(1)>"
    page.served.change("isolation", [sample_process(f"g{risky}", "open", f"r{risky}", f"m{risky} `c{risky}`", risky)])
    page.until_text("#isolation", f"r{risky}")
    for part in (f"g{risky}", f"may reach: {risky}", f"m{risky} c{risky}"):
        assert part in page.run("return document.querySelector('#isolation').textContent")
    assert f"m{risky} c{risky}" in page.text("#open-wall")
    assert page.driver.find_elements("css selector", "main img, .banner img") == []


def test_it_follows_what_changes_and_stays_when_the_connection_is_lost(page: Page) -> None:
    page.expected += ["ERR_"]
    walls(page, "open", OUT, MEND)
    page.until_text("#isolation", "Open")
    page.served.hang_up()
    page.until_text("#state", "Connection lost")
    assert page.find("#open-wall").is_displayed() and page.find("#banner").is_displayed()
    page.served.listen()
    page.until("return !document.querySelector('#banner').checkVisibility()")
