"""The first page in a real browser: it shows what is, follows what changes, and stays inside its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Page


pytestmark = pytest.mark.browser


def test_the_page_shows_what_runs_on_what_and_how_busy_it_is(page: Page) -> None:
    assert page.text("#state") == "Working"
    assert page.text("#base-url") == "http://127.0.0.1:7464/v1"
    assert page.text("#total") == "18,204"
    models = page.text("#models")
    for part in (
        "qwen3-8b",
        "local/fast",
        "llama.cpp",
        "3 of 4 slots in use",
        "1 waiting",
        "Full",
        "Ready",
        "not reachable",
    ):
        assert part in models
    page.until("return document.querySelectorAll('.device').length === 4")
    devices = page.text("#devices")
    for part in ("37.0 GiB free", "64.0 GiB memory", "31% busy", "predicted 17.0 GiB", "others", "16.0 GiB"):
        assert part in devices
    engines = page.text("#engines")
    for part in ("adopted", "Backing off", "Left out", "no model is loaded", "pid 4250", "6.0 GiB"):
        assert part in engines
    assert "OPENAI_API_KEY, ANTHROPIC_API_KEY" in page.text("#cloud-keys")
    assert "Nothing leaves this machine until" in page.text("#cloud-keys")
    assert len(page.driver.find_elements("css selector", "#requests tr")) == 40
    page.until("return document.querySelectorAll('.spark svg').length === 2")
    page.shot("desktop-light")


def test_what_was_done_so_that_requests_fit_is_seen(page: Page) -> None:
    cells = [cell.text for cell in page.driver.find_elements("css selector", "#requests tr td:nth-child(8)")]
    assert cells[:6] == [
        "Fits", "Truncated\n61,204 → 27,912", "Clamped\n32,000 → 19,660", "Fits", "Compressed\n41,310 → 28,160", "–",
    ]  # fmt: skip
    titles = page.run("return [...document.querySelectorAll('#requests td:nth-child(8)')].map((cell) => cell.title)")
    assert titles[1] == (
        "Tokens of the prompt: 61,204 → 27,912; 14 messages left out; shortened: 3 tool results, 1 document"
    )
    assert titles[2] == "Tokens of the output: 32,000 → 19,660"
    models = page.text("#models")
    assert "window of 32K tokens" in models
    assert "0 of 16 slots in use · window 40K" in models
    page.run("document.getElementById('requests-box').scrollIntoView()")
    page.shot("windows-desktop", whole=False)
    page.look(390, 844, "dark")
    assert page.overflow() == 0
    page.shot("windows-phone")


def test_bars_are_as_long_as_what_they_say(page: Page) -> None:
    page.until("return document.querySelector('.target .bar i').getBoundingClientRect().width > 0")
    script = """
        const wide = (one) => one.getBoundingClientRect().width;
        const [part, whole] = [wide(arguments[0]), wide(arguments[0].parentElement)];
        return Math.abs(part / whole - arguments[1]) < 0.02
    """
    page.until(script, page.find(".target .bar i"), 3 / 4)
    page.until(script, page.find(".device .held .ours"), 7 / 64)
    page.until(script, page.find(".device .held .others"), 16 / 64)


def test_who_holds_what_is_asked_for_at_once_where_a_device_breaks(page: Page) -> None:
    page.until("return document.querySelectorAll('.device').length === 4")
    known = page.served.view.sample["devices"]
    page.served.change("devices", [known[0], dict(known[1], free_bytes=0, out_of_service="it is lost")])
    page.until("return document.querySelectorAll('.device').length === 2")
    page.until_text(".device:nth-child(2)", "it is lost")


def test_changes_arrive_without_a_reload(page: Page) -> None:
    page.run("window.isSamePage = true")
    requests = dict(page.served.view.sample["requests"], running=0, total=18_205)
    page.served.change("requests", requests)
    page.until_text("#total", "18,205")
    assert page.text("#state") == "Ready"
    page.served.change("models", [])
    page.until_text("#models-hint", "ringfence up --model FILE.gguf")
    assert page.find("#chat-text").get_attribute("disabled") is not None
    assert page.run("return window.isSamePage") is True


def test_an_empty_gateway_says_what_to_do_next(page: Page) -> None:
    for part in ("models", "instances", "left_out", "devices", "recent", "cloud_keys"):
        page.served.change(part, [])
    page.served.change("ready", False)
    page.until_text("#state", "No model ready")
    page.until_text("#engines", "No engine runs yet")
    page.until_text("#requests-empty", "None yet")
    page.until_text("#chat-log", "No model can chat")
    assert not page.find("#requests-box").is_displayed()
    page.shot("empty")


def test_the_demo_model_points_to_a_real_one(page: Page) -> None:
    model = dict(page.served.view.sample["models"][0], name="demo", aliases=["auto"])
    page.served.change("models", [model])
    page.until_text("#models-hint", "demo model")
    assert "ringfence up --model" in page.text("#models-hint")


def test_a_provider_is_no_engine_and_its_key_is_in_use(page: Page) -> None:
    sample = page.served.view.sample
    page.served.change("handed_to_egress", {"ANTHROPIC_API_KEY": ["claude"]})
    page.served.change("cloud_keys", ["OPENAI_API_KEY"])
    page.until_text("#cloud-keys", "handed to egress: ANTHROPIC_API_KEY (claude)")
    assert "not used: OPENAI_API_KEY" in page.text("#cloud-keys")
    assert "Nothing leaves" not in page.text("#cloud-keys")
    egress = dict(sample["instances"][1], name="egress", engine="egress", kind="egress", state="ready", reason="")
    page.served.change("instances", [egress])
    page.until_text("#engines", "the process through which calls leave")
    assert "adopted" not in page.text("#engines") + page.text("#engines-note")
    model = dict(sample["models"][0])
    model["targets"] = [dict(model["targets"][0], engine="openai", provider="groq", host="api.groq.com")]
    page.served.change("models", [model])
    page.until_text("#models", "groq (api.groq.com)")


def test_a_model_is_as_available_as_its_engine(page: Page) -> None:
    model = dict(page.served.view.sample["models"][0])
    model["targets"] = [dict(model["targets"][0], running=0, waiting=0, failures=1, reason="stalled")]
    page.served.change("models", [model])
    page.until_text("#models .pill", "Failing")
    assert "stopped in the middle · 1 failure in a row" in page.text("#models")
    ours = page.served.view.sample["instances"][0]
    for state, words in (("starting", "Starting"), ("failed", "Not available")):
        page.served.change("instances", [dict(ours, state=state, reason="")])
        page.until_text("#models .pill", words)
    assert "qwen3-8b (not available)" in page.text("#chat-model")


def test_a_lost_connection_is_said_and_mended(page: Page) -> None:
    page.expected += ["ERR_"]
    page.served.hang_up()
    page.until_text("#state", "Connection lost")
    assert "Connection lost" in page.text("#banner")
    assert page.text("#total") == "18,204"
    page.served.listen()
    page.until_text("#state", "Working")
    assert not page.find("#banner").is_displayed()


def test_an_ended_session_says_how_to_get_in_again(page: Page) -> None:
    page.expected += ["401"]
    page.served.do(page.served.view.sessions.clear)
    page.served.do(page.served.view.changed)
    page.until_text("#state", "Signed out")
    assert "ringfence status --console" in page.text("#banner")
    page.find("#banner a").click()
    page.until_text("main", "console token")
    page.shot("sign-in")
    page.served.view.tokens.add("pasted")
    page.find("#token").send_keys("pasted\n")
    page.until_text("#state", "Working")


def test_a_link_from_another_page_finds_its_session(page: Page) -> None:
    """Strict cookies stay back when another site leads here; the sign-in page asks again from inside."""
    link = f"data:text/html,<a id=a href='{page.served.url}/console'>console</a>"
    page.driver.get(link)
    page.find("#a").click()
    page.until_text("#state", "Working")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 412, 768, 1024, 1440, 2200])
def test_nothing_is_wider_than_the_window(page: Page, width: int, colours: str) -> None:
    page.look(width, 900, colours)
    assert page.overflow() == 0
    script = """
        const box = arguments[0].getBoundingClientRect();
        return [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll, pre, .sr, svg'))
          .filter((one) => one.getBoundingClientRect().right > box.right + 1).map((one) => one.outerHTML.slice(0, 80))
    """
    assert page.run(script, page.find("main")) == []
    if (width, colours) in ((360, "light"), (360, "dark"), (768, "light"), (1440, "dark"), (2200, "dark")):
        page.shot(f"{width}-{colours}")


CONTRAST = """
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => [r, g, b].map((c) => linear(c / 255))
      .reduce((sum, c, place) => sum + c * [.2126, .7152, .0722][place], 0);
    const behind = (one) => {
      for (; one; one = one.parentElement) {
        const colour = rgb(getComputedStyle(one).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
      }
      return [255, 255, 255];
    };
    const poor = [];
    for (const one of document.querySelectorAll('body *')) {
      const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!says || !one.checkVisibility() || one.closest(':disabled, option, .sr, .skip')) continue;
      const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
      const ratio = (a + .05) / (b + .05);
      if (ratio < 4.5) poor.push(`${one.tagName} ${one.className}: ${ratio.toFixed(2)}`);
    }
    return poor;
"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_word_can_be_read(page: Page, colours: str) -> None:
    """WCAG AA: 4.5 to 1 between each text and what lies behind it."""
    page.look(1440, 1000, colours)
    page.until("return document.getAnimations().filter((one) => one.playState === 'running').length === 0")
    assert page.run(CONTRAST) == []


def test_everything_can_be_reached_by_keyboard(page: Page) -> None:
    seen: list[str] = []
    for _ in range(30):
        page.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        seen.append(page.run("return document.activeElement.id || document.activeElement.className"))
        if seen[-1] == "requests-box":
            break
    for stop in ("skip", "copy-base-url", "chat-model", "chat-log", "chat-text", "requests-box"):
        assert stop in seen
