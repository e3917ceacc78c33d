"""The page of what left, in a real browser: the sentence says what is known and never more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.egress.journal import Journal
from ringfence.runtime.what_left import WhatLeft

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

DIGEST = sha256(b"").hexdigest()


def config(**providers: Any) -> Config:
    profiles = {"private": {"boundary": "host"}, "personal": {"boundary": "cloud"}}
    return Config.model_validate({"profiles": profiles, "providers": providers})


RENTED = {"url": "https://api.cloud.example/v1", "api_key": "env:K", "calls_per_day": 9, "max_tokens": 9}


@pytest.fixture
def opened(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/egress")
    visitor.until("return !document.querySelector('#state').innerText.includes('Connecting')")
    yield visitor


def asks_again(page: Page) -> None:
    """Now, and not in a few seconds."""
    page.run("dispatchEvent(new Event('online'))")


def become(page: Page, **parts: Any) -> None:
    page.served.do(lambda: page.served.view.what_left.update(parts))
    asks_again(page)


def test_it_is_reached_from_the_first_page_and_leads_back(page: Page) -> None:
    page.find(".places a:last-child").click()
    page.until_text("#verdict", "60 calls have left this machine today.")
    assert page.run("return document.querySelector('.places [aria-current]').innerText") == "What left"
    page.find(".places a:first-child").click()
    page.until_text("#total", "18,204")


def test_each_profile_has_its_sentence(opened: Page) -> None:
    page = opened
    sentences = [one.text for one in page.driver.find_elements("css selector", "#profiles .sentence")]
    assert len(sentences) == 5
    assert sentences[0].startswith("Nothing has left this machine for profile private since ")
    assert sentences[3].startswith("A call for profile bold is on its way; the last left at ")
    assert "not configured any more" in page.text("#profiles li:last-child")
    assert "58 calls, 234 KiB out and 889 KiB in" in page.text("#profiles li:nth-child(3)")
    page.shot("left-light")


def test_times_are_the_viewers_and_utc_is_in_the_tooltip(opened: Page) -> None:
    page = opened
    try:
        page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
        page.driver.refresh()
        page.until_text("#profiles", "since")
        since_s = page.served.view.what_left["profiles"][0]["since_s"]
        shown = page.find("#profiles time")
        utc = time.strftime("%Y-%m-%d %H:%M", time.gmtime(since_s))
        assert str(shown.get_attribute("title")).startswith(utc)
        assert time.strftime("%H:%M", time.gmtime(since_s + 5.75 * 3600)) in shown.text
        asked_s = page.served.view.asked_since[-1]
        assert asked_s is not None and (asked_s + 5.75 * 3600) % 86_400 == 0
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_calls_of_today_are_listed_the_newest_first_with_a_count_of_the_rest(opened: Page) -> None:
    page = opened
    rows = page.driver.find_elements("css selector", "#calls tr")
    assert len(rows) == 30
    assert "No end yet" in rows[0].text
    assert "Not sent" in rows[4].text
    assert "429" in rows[7].text
    assert "first byte timeout" in rows[9].text
    assert page.text("#calls-note") == "the newest 30; 32 earlier ones in “ringfence journal show”"
    groups = page.text("#groups")
    for part in ("personal", "laptop", "groq", "llama-3.3-70b", "41", "104.18.2.115:443"):
        assert part in groups


def test_a_broken_journal_is_said_and_nothing_is_claimed(opened: Page) -> None:
    page = opened
    view = page.served.view
    profiles = [dict(one, since_s=None, since="unknown") for one in view.what_left["profiles"]]
    problem = "/state/journal/000000000001.jsonl, line 7: does not match its own hash"
    journal = dict(view.what_left["journal"], state="broken", problem=problem, mend="Copy the folder somewhere safe.")
    become(page, profiles=profiles, journal=journal, known_since_s=None)
    page.until_text("#state", "Journal broken")
    page.until_text("#verdict", "line 7")
    words = page.text("main")
    assert "Nothing has left" not in words and "Copy the folder somewhere safe." in words
    assert "It is not known what has left for profile private." in words
    assert "ringfence journal verify" not in words
    assert page.run("return getComputedStyle(document.querySelector('#verdict')).color") == "rgb(169, 36, 28)"
    page.shot("left-broken")


def test_a_machine_without_providers(opened: Page) -> None:
    page = opened
    found = asyncio.run(WhatLeft(Path("/nowhere/journal")).tell(config(), [], None))
    become(page, **found)
    page.until_text("#verdict", "Nothing has left this machine since ")  # and not today: it was started just now
    assert "there is no way out at all" in page.text("#verdict")
    assert "first started here" in page.text("#profiles")
    assert page.run("return document.querySelector('#verdict').classList.contains('good')") is True
    assert not page.find("#groups-panel").is_displayed()
    page.shot("left-empty")


def test_the_sentence_changes_with_a_real_journal(opened: Page, tmp_path: Path) -> None:
    page, folder = opened, tmp_path / "journal"
    left, settings = WhatLeft(folder), config(rented=RENTED)

    async def told(since_s: float | None) -> dict[str, Any]:
        return await left.tell(settings, [], since_s)

    async def call(profile: str) -> None:
        journal = Journal.open(folder)
        seq = await journal.sent(
            call="call-1", key="key_1", profile=profile, provider="rented", model="large", allowed=Boundary.CLOUD,
            address="192.0.2.7:443", max_tokens=9, bytes_out=2048, sha256_out=DIGEST,
        )  # fmt: skip
        await journal.ended(seq, status=200, bytes_in=4096, sha256_in=DIGEST, outcome="ok")
        journal.close()

    page.served.view.egress = told  # type: ignore[method-assign]
    asks_again(page)
    page.until_text("#verdict", "There is no journal: it is not known what left.")
    page.shot("left-unknown")
    Journal.open(folder).close()
    asks_again(page)
    page.until_text("#verdict", "Nothing has left this machine since ")
    page.until_text("#profiles", "Nothing has left this machine for profile personal since")
    before = page.text("#profiles li:last-child")
    asyncio.run(call("personal"))
    asks_again(page)
    page.until_text("#verdict", "1 call has left this machine since ")
    assert "2.0 KiB went out, 4.0 KiB came back." in page.text("#verdict")
    assert page.text("#profiles li:last-child") != before
    assert "Today: 1 call, 2.0 KiB out and 4.0 KiB in." in page.text("#profiles li:last-child")
    private = page.text("#profiles li:nth-child(2)")
    assert private.startswith("Nothing has left this machine for profile private since ")
    assert "The journal begins then and has no call for it." in private
    file = next(folder.glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"bytes_out":2048', b'"bytes_out":1'))
    asks_again(page)
    page.until_text("#verdict", "The journal is broken")
    assert "Nothing has left" not in page.text("main")


def test_names_are_text_and_never_markup(opened: Page) -> None:
    page = opened
    profiles = [dict(page.served.view.what_left["profiles"][0], name="<img src=x onerror=alert(1)>")]
    become(page, profiles=profiles)
    page.until_text("#profiles", "<img src=x onerror=alert(1)>")
    assert page.driver.find_elements("css selector", "main img") == []


def test_a_lost_connection_and_an_ended_session_are_said(opened: Page) -> None:
    page = opened
    page.expected += ["ERR_", "401"]
    page.served.hang_up()
    asks_again(page)
    page.until_text("#state", "Connection lost")
    page.served.listen()
    asks_again(page)
    page.until_text("#state", "Up to date")
    page.served.do(page.served.view.sessions.clear)
    asks_again(page)
    page.until_text("#banner", "ringfence status --console")
    assert page.text("#state") == "Signed out"


def test_a_link_from_another_page_finds_its_session(opened: Page) -> None:
    page = opened
    page.driver.get(f"data:text/html,<a id=a href='{page.served.url}/console/egress'>what left</a>")
    page.find("#a").click()
    page.until_text("#verdict", "60 calls")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440, 2200])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(opened: Page, width: int, colours: str) -> None:
    page = opened
    page.look(width, 900, colours)
    page.until("return document.getAnimations().filter((one) => one.playState === 'running').length === 0")
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    page.shot(f"left-{width}-{colours}")


def test_everything_can_be_reached_by_keyboard(opened: Page) -> None:
    page = opened
    seen: list[str] = []
    for _ in range(12):
        page.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        one = "document.activeElement"
        seen.append(page.run(f"return {one}.getAttribute('aria-labelledby') || {one}.innerText"))
    for stop in ("Skip to what left", "Overview", "What left", "groups-title", "calls-title", "Copy"):
        assert stop in seen
