"""The page of memory in a real browser: maps to scale, the last hour, models, moves, modes and leases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

from ringfence.testing.fake_leases import kept_lease
from ringfence.testing.fake_placement import sample_model
from ringfence.testing.fake_status import GIB

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

TAB, ENTER, ESCAPE, LEFT, HOME = "\ue004", "\ue007", "\ue00c", "\ue012", "\ue011"
SETTLED = "return document.getAnimations().filter((one) => one.playState === 'running').length === 0"
WIDER = """
    const box = document.querySelector('main').getBoundingClientRect();
    return [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll, .sr, svg, .map'))
      .filter((one) => one.getBoundingClientRect().right > box.right + 1).map((one) => one.outerHTML.slice(0, 80))
"""
SHARES = """
    const map = document.querySelectorAll('.map')[arguments[0]];
    const whole = map.getBoundingClientRect().width;
    return [...map.firstChild.children].map((one) => one.getBoundingClientRect().width / whole)
"""


@pytest.fixture
def opened(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/memory")
    visitor.until("return document.querySelectorAll('.chart').length > 0")
    yield visitor


def asks_again(page: Page) -> None:
    """Now, and not in a few seconds."""
    page.run("dispatchEvent(new Event('online'))")


def device(name: str, **changes: Any) -> dict[str, Any]:
    known = {
        "id": name, "name": "NVIDIA GeForce RTX 4090", "kind": "gpu", "total_bytes": 24 * GIB, "free_bytes": 24 * GIB,
        "load_percent": 5.0, "others_bytes": 0, "temperature_c": 41, "out_of_service": "",
    }  # fmt: skip
    return known | changes


def become(page: Page, devices: list[dict[str, Any]]) -> None:
    page.served.change("devices", devices)
    asks_again(page)


def ready(page: Page) -> None:
    page.until(SETTLED)


# -- maps


def test_it_is_reached_from_the_first_page_and_tells_all_in_short(page: Page) -> None:
    page.find(".places a:nth-child(2)").click()
    page.until_text("#verdict", "Switching to creative…")
    assert page.run("return document.querySelector('.places [aria-current]').innerText") == "Memory"
    assert page.text("#state") == "Up to date"
    assert page.text("#parked-count") == "4"


def test_maps_are_to_scale(opened: Page) -> None:
    page = opened
    ready(page)
    assert page.run(SHARES, 0) == pytest.approx([7 / 64, 16 / 64, 4 / 64], abs=0.01)
    assert page.run(SHARES, 1) == pytest.approx([18.12 / 24, 0.6 / 24, 0.3 / 24], abs=0.01)
    assert page.run(SHARES, 2) == pytest.approx([6.5 / 12, 2 / 12, 2 / 12], abs=0.01)
    line = """
        const map = document.querySelectorAll('.map')[arguments[0]], box = map.getBoundingClientRect();
        return (box.right - map.lastChild.getBoundingClientRect().right) / box.width
    """
    assert [page.run(line, place) for place in range(4)] == pytest.approx([4 / 64, 1 / 24, 0.5 / 12, 1 / 16], abs=0.01)
    predicted = "return document.querySelectorAll('.map')[1].querySelector('.predicted').getBoundingClientRect().width"
    whole = page.run("return document.querySelectorAll('.map')[1].getBoundingClientRect().width")
    assert page.run(predicted) / whole == pytest.approx(17 / 24, abs=0.01)


def test_who_holds_what_is_told_with_what_was_predicted_and_leased(opened: Page) -> None:
    page = opened
    rows = page.run(
        "return [...document.querySelectorAll('.device')].map((one) => one.innerText.replaceAll('\\n', ' '))"
    )
    for place, parts in enumerate((
        ("AMD Ryzen", "37.0 GiB free", "64.0 GiB memory", "31% busy", "qwen3-8b 7.0 GiB", "finetune: 12.0 GiB of 16.0"),
        ("RTX 4090", "71 °C", "qwen3-8b 18.1 GiB predicted 17.0 GiB, at most 18.1 GiB in 3 loads", "(pid 812) 600 MiB"),
        ("1.5 GiB free", "leased 2.0 GiB images: 2.0 GiB of 4.0 GiB taken", "512 MiB of it stay free after every load"),
        ("Simulated", "predicted 3.0 GiB, between 2.0 GiB and 4.0 GiB"),
    )):  # fmt: skip
        for part in parts:
            assert part in rows[place]
    label = page.run("return document.querySelectorAll('.map')[2].getAttribute('aria-label')")
    assert label == (
        "6.5 GiB ours, 2.0 GiB others, 2.0 GiB leased, 1.5 GiB free, of which 512 MiB stay free after every load, "
        "of 12.0 GiB GPU memory"
    )


def test_what_changes_is_drawn_without_a_reload(opened: Page) -> None:
    page = opened
    page.run("window.isSamePage = true")
    page.served.view.holders["sim0"] = [
        dict(page.served.view.holders["sim0"][0], name="vision-7b", held_bytes=8 * GIB, footprint=None)
    ]
    devices = page.served.view.sample["devices"]
    become(page, [*devices[:3], dict(devices[3], free_bytes=8 * GIB)])
    page.until_text(".device:nth-child(4)", "vision-7b")
    ready(page)
    assert page.run(SHARES, 3) == pytest.approx([0.5], abs=0.01)
    assert "8.0 GiB free" in page.text(".device:nth-child(4)")
    assert page.run("return window.isSamePage") is True


def test_a_device_that_is_out_of_service_says_why_and_shows_nothing_free(opened: Page) -> None:
    page = opened
    reason = "its driver reported the fault Xid 79; reboot"
    become(page, [device("gpu0"), device("gpu1", free_bytes=0, out_of_service=reason)])
    page.until_text(".device:nth-child(2)", reason)
    assert "Out of service" in page.text(".device:nth-child(2)")
    assert "free" not in page.text(".device:nth-child(2)")
    assert page.text("#state") == "Device out of service"
    assert page.run("return document.querySelectorAll('.map')[1].getAttribute('aria-label')").endswith("reboot")
    assert page.run(CONTRAST) == []
    page.shot("memory-out-of-service")
    page.served.view.unread = [{"title": "NVIDIA", "reason": "the driver is not loaded"}]
    become(page, [])
    page.until_text("#devices", "NVIDIA cannot be read: the driver is not loaded")
    assert "No device could be read" in page.text("#devices")


# -- the last hour


def test_the_last_hour_is_drawn_to_scale_with_its_gap(opened: Page) -> None:
    page = opened
    paths = page.run("""return [...document.querySelectorAll('.chart')].map((one) =>
        [...one.querySelectorAll('path')].map((path) => path.getAttribute('d')))""")
    assert [len(one) for one in paths] == [4] * 4
    assert [one[0].count("M") for one in paths] == [1, 1, 2, 1]
    assert page.run("""
        const path = document.querySelectorAll('.chart')[1].querySelector('.ours').getBBox();
        return [path.x, path.width, path.height]
    """) == pytest.approx([5, 3595, 100 * 18.1 / 24], abs=6)
    kept = page.run("return document.querySelectorAll('.chart')[1].querySelector('.kept').getBBox().y")
    assert kept == pytest.approx(100 / 24, abs=0.1)


def test_each_moment_can_be_read_by_keyboard_and_pointer(opened: Page) -> None:
    page = opened
    chart = page.driver.find_elements("css selector", ".chart")[2]
    page.run("arguments[0].focus()", chart)
    for _ in range(3):
        chart.send_keys(LEFT)
    assert chart.get_attribute("aria-valuenow") == "-3"
    assert "6.5 GiB ours, 1.9 GiB others, 2.0 GiB leased" in chart.get_attribute("aria-valuetext")
    assert page.text(".device:nth-child(3) .read") == chart.get_attribute("aria-valuetext")
    for _ in range(24):
        chart.send_keys(LEFT)
    assert "not read" in page.text(".device:nth-child(3) .read")
    chart.send_keys(HOME)
    assert chart.get_attribute("aria-valuenow") == "-60"
    page.run("arguments[0].blur()", chart)
    assert page.text(".device:nth-child(3) .read") == ""
    page.run("""
        const { left, width, top } = arguments[0].getBoundingClientRect();
        arguments[0].dispatchEvent(new PointerEvent('pointermove', { clientX: left + .9 * width, clientY: top + 5 }))
    """, chart)  # fmt: skip
    assert chart.get_attribute("aria-valuenow") == "-6"


def test_without_points_it_says_so(opened: Page) -> None:
    page = opened
    page.served.view.placement.points = {}
    page.driver.refresh()
    page.until_text(".device .read", "Nothing was recorded yet.")


# -- models, moves


def test_models_are_listed_with_phase_class_place_and_who_waits(opened: Page) -> None:
    page = opened
    rows = page.run(
        "return [...document.querySelectorAll('#placed li')].map((one) => one.innerText.replaceAll('\\n', ' '))"
    )
    assert len(rows) == 9
    for place, parts in enumerate((
        ("qwen3-8b P0 Always", "Ready", "18.1 GiB on NVIDIA GeForce RTX 4090 · 3 running · 1 waiting"),
        ("nomic-embed-text P1 Always", "600 MiB on AMD Ryzen 9 7950X (configured) · idle for 1 min"),
        ("qwen3-14b P1 Swap", "Draining", "1 running"),
        ("llama3.3-70b P1 Swap", "Absent", "2 waiting · comes in about 48 s"),
        ("coder-80b P2 Lazy", "Sleeping", "idle for 30 min"),
        ("vision-7b P2 On demand", "Starting", "(predicted) · 1 waiting"),
        ("whisper-large-v3", "Stopping"),
        ("tts-kokoro P3 Lazy", "Failed"),
        ("mixtral-8x22b", "Absent", "1 waiting · refused"),
    )):  # fmt: skip
        for part in parts:
            assert part in rows[place]
    assert page.text("#placed-note") == "2 of 9 ready"


def test_what_would_be_done_who_waits_and_what_was_done_are_told_with_reasons(opened: Page) -> None:
    page = opened
    actions = [one.text for one in page.driver.find_elements("css selector", "#actions li")]
    assert [one.split("\n")[0] for one in actions] == ["Unload tts-kokoro", "Recall images", "Load vision-7b"]
    assert "5.0 GiB on Simulated 16 GiB · 1 caller waits for it" in actions[2]
    for part in ("in about 48 s", "qwen3-14b serves 1 request", "speech", "Refused", "it takes 79.0 GiB"):
        assert part in page.text("#queue")
    assert [one.text.split("\n")[0] for one in page.driver.find_elements("css selector", "#recent li")][:2] == [
        "Drain qwen3-14b", "Sleep coder-80b",
    ]  # fmt: skip


def test_nothing_to_do_is_calm(opened: Page) -> None:
    page = opened
    placement = page.served.view.placement
    placement.plan |= {"actions": [], "waiting": [], "refused": [], "recent": []}
    placement.plan["models"] = [sample_model("qwen3-8b", "ready", {"GPU-4090": 18 * GIB})]
    placement.modes = {"modes": [], "now": None, "switch": None}
    page.served.view.lent.kept.clear()
    asks_again(page)
    page.until_text("#verdict", "Nothing to do.")
    assert "1 of 1 model is ready" in page.text("#verdict")
    for gone in ("#modes-panel", "#leases-panel", "#recent-panel", "#queue-part"):
        assert not page.find(gone).is_displayed()
    page.shot("memory-calm")


# -- modes


def settled_modes(page: Page) -> None:
    page.served.view.placement.modes["switch"] = None
    asks_again(page)
    page.until("return !document.querySelector('#modes button').disabled")


def test_a_switch_under_way_is_told_and_no_other_begins_meanwhile(opened: Page) -> None:
    page = opened
    assert "From no mode to creative" in page.text("#switch")
    assert "Under way" in page.text("#switch") and "qwen3-14b takes no new requests" in page.text("#switch")
    buttons = page.driver.find_elements("css selector", "#modes button")
    assert [one.get_attribute("aria-label") for one in buttons] == [
        "Switch to forensic", "Switch to creative", "Switch to audio",
    ]  # fmt: skip
    assert not any(one.is_enabled() for one in buttons)


def test_a_mode_is_switched_after_a_question_and_its_steps_come_in(opened: Page) -> None:
    page = opened
    settled_modes(page)
    page.find("#modes li:nth-child(1) button").click()
    page.until("return document.querySelector('#question').open")
    assert page.text("#question-title") == "Switch to forensic?"
    assert "It keeps llama3.3-70b on NVIDIA GeForce RTX 4090." in page.text("#question-which")
    assert page.run("return document.activeElement.id") == "question-no"
    page.shot("memory-question", whole=False)
    page.driver.switch_to.active_element.send_keys(ESCAPE)
    page.until("return !document.querySelector('#question').open")
    assert page.served.view.placement.asked == []
    page.find("#modes li:nth-child(1) button").click()
    page.find("#question-yes").click()
    page.until_text("#verdict", "Switching to forensic…")
    page.served.view.placement.goes_on("qwen3-8b takes no new requests", "qwen3-8b stopped", "done")
    page.until_text("#switch", "qwen3-8b stopped")
    page.until_text("#switch", "Done")
    page.until_text("#modes li:nth-child(1)", "On")
    assert page.served.view.placement.asked == ["forensic"]
    page.served.view.placement.script = ["done"]
    page.find("#modes li:nth-child(4) button").click()
    assert page.text("#question-title") == "Leave mode forensic?"
    page.find("#question-yes").click()
    page.until("return document.querySelectorAll('#modes li').length === 3")
    assert page.served.view.placement.asked == ["forensic", None]


def test_a_switch_that_was_rolled_back_says_why(opened: Page) -> None:
    page = opened
    settled_modes(page)
    page.served.view.placement.script = ["qwen3-8b stopped", "rolled back: llama3.3-70b was not ready after 300 s"]
    page.find("#modes li:nth-child(1) button").click()
    page.find("#question-yes").click()
    page.until_text("#switch", "Rolled back")
    assert "llama3.3-70b was not ready after 300 s" in page.text("#switch .why")
    page.until("return !document.querySelector('#modes button').disabled")


def test_a_mode_that_is_not_there_any_more_is_said_in_the_question(opened: Page) -> None:
    page = opened
    page.expected += ["404"]
    settled_modes(page)
    page.find("#modes li:nth-child(3) button").click()
    page.served.view.placement.modes["modes"].pop()
    page.find("#question-yes").click()
    page.until_text("#question-problem", "There is no mode 'audio'")
    page.find("#question-no").click()
    assert page.served.view.placement.asked == []


# -- leases


def test_a_lease_is_ended_after_a_question(opened: Page) -> None:
    page = opened
    lent = page.served.view.lent
    rows = [one.text.replace("\n", " ") for one in page.driver.find_elements("css selector", "#leases li")]
    for part in (
        "finetune Held",
        "16.0 GiB on AMD Ryzen 9 7950X",
        "12.0 GiB of it taken",
        "priority 4",
        "with its process (pid 8123)",
    ):
        assert part in rows[0]
    assert "images Recalled" in rows[1] and "qwen3-8b needs it" in rows[1] and "unless it is heard of" in rows[1]
    assert "speech Asked" in rows[2] and "room is being made · in about 40 s" in rows[2]
    page.find("#leases li:nth-child(2) button").click()
    assert page.text("#question-which") == "images: 4.0 GiB on NVIDIA GeForce RTX 3060."
    page.find("#question-no").click()
    assert len(lent.kept) == 3
    page.find("#leases li:nth-child(2) button").click()
    page.find("#question-yes").click()
    page.until_text("#said", "Ended: the lease of images.")
    page.until("return document.querySelectorAll('#leases li').length === 2")
    assert [one["tenant"] for one in lent.kept] == ["finetune", "speech"]
    assert page.run("return document.activeElement.id") == "memory"


# -- whatever there is


def test_eight_devices_a_hundred_models_and_long_names(opened: Page) -> None:
    page = opened
    view = page.served.view
    names = [f"GPU-{number:08x}-1111-2222-3333-444444444444" for number in range(8)]
    view.holders |= {
        name: [
            {"kind": "instance", "name": f"{'m' * 90}-{place}", "pid": None, "held_bytes": GIB, "footprint": None}
            for place in range(12)
        ]
        for name in names
    }
    view.placement.plan["models"] = [
        sample_model(f"model-{number}-{'long-name-' * (number % 9)}", "ready", {names[number % 8]: GIB})
        for number in range(100)
    ]
    view.lent.kept = [kept_lease(9, "t" * 120, 1, phase="held", device=names[0])]
    began = time.monotonic()
    become(page, [device(name, free_bytes=12 * GIB) for name in names])
    page.until("return document.querySelectorAll('.device').length === 8")
    page.until("return document.querySelectorAll('#placed li').length === 100")
    assert time.monotonic() - began < 5
    assert "1.0 GiB on NVIDIA GeForce RTX 4090 (GPU-00000003)" in page.text("#placed li:nth-child(4)")
    for width in (360, 1280):
        page.look(width, 900, "light")
        assert page.overflow() == 0
        assert page.run(WIDER) == []
        page.shot(f"memory-many-{width}")


def test_names_are_text_and_never_markup(opened: Page) -> None:
    page = opened
    risky = "<img src=x onerror=alert(1)>"
    placement = page.served.view.placement
    placement.plan["models"] = [sample_model(risky, "ready", {risky: GIB})]
    placement.plan["actions"] = [{"what": "load", "name": risky, "devices": {risky: 1}, "cause": "", "reason": risky}]
    lent = page.served.view.lent
    lent.kept = [kept_lease(9, risky, 1, phase="held", device=risky, reason=risky) | {"id": 'a?b"#<i>%2e'}]
    page.served.view.holders["sim0"] = [dict(page.served.view.holders["sim0"][0], name=risky)]
    asks_again(page)
    page.until_text("#placed", risky)
    page.until_text("#devices", risky)
    page.find("#leases button").click()
    page.find("#question-yes").click()
    page.until_text("#said", risky)
    assert lent.kept == []
    assert page.driver.find_elements("css selector", "main img") == []


def test_no_device_and_no_model_is_a_page_all_the_same(opened: Page) -> None:
    page = opened
    placement = page.served.view.placement
    placement.plan |= {"actions": [], "waiting": [], "refused": [], "recent": [], "models": []}
    placement.modes = {"modes": [], "now": None, "switch": None}
    page.served.view.lent.kept.clear()
    become(page, [])
    page.until_text("#verdict", "Nothing is placed by Ringfence.")
    assert "No device could be read" in page.text("#devices")
    page.shot("memory-empty")


def test_everything_can_be_reached_by_keyboard(opened: Page) -> None:
    page = opened
    settled_modes(page)
    seen: list[str] = []
    focused = "const one = document.activeElement; return one.getAttribute('aria-label') || one.id || one.className"
    for _ in range(40):
        page.driver.switch_to.active_element.send_keys(TAB)
        seen.append(page.run(focused))
        if seen[-1] == "scroll" and "End the lease of images" in seen:
            break
    for stop in ("skip", "The last hour of Simulated 16 GiB", "Switch to audio", "End the lease of images"):
        assert stop in seen


def test_a_lost_connection_and_an_ended_session_are_said(opened: Page) -> None:
    page = opened
    page.expected += ["ERR_", "401"]
    page.served.hang_up()
    asks_again(page)
    page.until_text("#state", "Connection lost")
    assert "18.1 GiB" in page.text("#devices")
    page.served.listen()
    asks_again(page)
    page.until_text("#state", "Up to date")
    page.served.do(page.served.view.sessions.clear)
    asks_again(page)
    page.until_text("#state", "Signed out")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2200])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(opened: Page, width: int, colours: str) -> None:
    page = opened
    page.look(width, 900, colours)
    ready(page)
    assert page.overflow() == 0
    assert page.run(WIDER) == []
    assert page.run(CONTRAST) == []
    page.shot(f"memory-{width}-{colours}")
