"""The page that explains a request, in a real browser: what was pasted, the way it takes, and that nothing is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

from ringfence.gateway.http import Limits
from ringfence.testing.fake_explained import sample_explained, sample_window

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

CONTROL, ENTER = "\ue009", "\ue007"


@pytest.fixture
def opened(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/explain")
    visitor.until_text("#state", "Up to date")
    yield visitor


def paste(page: Page, text: str) -> None:
    """As the clipboard does: at once."""
    script = """
        const [field, text] = [document.getElementById('text'), arguments[0]];
        field.value = text;
        field.dispatchEvent(new Event('input', { bubbles: true }));
    """
    page.run(script, text)


def explain(page: Page, text: str) -> None:
    paste(page, text)
    page.find("#question button[type=submit]").click()


def by_rules(page: Page, **parts: Any) -> None:
    page.served.do(lambda: setattr(page.served.view, "explained", sample_explained() | parts))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (420, 800), (768, 1024), (1400, 900), (2200, 1200)])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(
    opened: Page, width: int, height: int, colours: str
) -> None:
    page = opened
    by_rules(page)
    page.look(width, height, colours)
    page.shot(f"explain-empty-{width}-{colours}", whole=False)
    explain(page, '{"model": "auto", "messages": [{"role": "user", "content": "Write a function"}]}')
    page.until_text("#verdict", "It goes to qwen3-8b")
    page.until("return document.getAnimations().filter((one) => one.playState === 'running').length === 0")
    assert page.overflow() == 0
    assert page.run(CONTRAST) == []
    page.shot(f"explain-{width}-{colours}", whole=False)
    page.shot(f"explain-{width}-{colours}-whole")


def test_it_is_reached_from_the_first_page_and_from_a_recent_request(page: Page) -> None:
    page.until("return document.querySelectorAll('#requests a').length > 0")
    page.find(".places a[href='/console/explain']").click()
    page.until_text("#state", "Up to date")
    assert page.run("return document.querySelector('.places [aria-current]').innerText") == "Explain"
    assert page.run("return document.getElementById('model').value") == ""
    page.driver.back()
    page.until("return document.querySelectorAll('#requests a').length > 0")
    page.run("document.querySelector('#requests tr:nth-child(2) a').click()")
    page.until("return location.pathname === '/console/explain' && document.getElementById('model').value !== ''")
    assert page.run("return document.getElementById('model').value") == page.served.view.sample["recent"][1]["model"]


def test_the_whole_way_is_drawn(opened: Page) -> None:
    page = opened
    by_rules(page)
    explain(page, "Write a function that merges two lists")
    page.until_text("#verdict", "It goes to qwen3-8b, on this machine.")
    verdict = page.text("#verdict")
    assert "Rule “code” is the first that matches: task is code, and effort 4 is at most 6." in verdict
    assert "qwen3-8b on vllm-8000/Qwen/Qwen3-8B comes first, but is passed over: not reachable" in verdict
    steps = page.run("return [...document.querySelectorAll('#way > .step h2')].map((one) => one.innerText)")
    assert steps == ["Request", "Signals", "Rules", "Chain", "Ending"]
    rules = page.run("return [...document.querySelectorAll('.rule')].map((one) => [one.className, one.innerText])")
    looks = ["missed", "missed", "taken", "later", "later", "later"]
    assert [look.split()[-1] for look, _ in rules] == looks
    assert "it is no batch" in rules[0][1] and "No match" in rules[0][1]
    assert "context_tokens is 1,204, not above 16,000" in rules[1][1]
    assert "First match" in rules[2][1] and "uses local/quality, cloud/mid" in rules[2][1]
    assert "effort is 4, not above 6" in rules[3][1] and "Not asked" in rules[3][1]
    assert "Would match too" in rules[4][1]
    stops = [one.text for one in page.driver.find_elements("css selector", ".stop")]
    assert "Not available" in stops[0] and "on this machine" in stops[0] and "vLLM" in stops[0]
    assert "2. qwen3-8b" in stops[1] and "Ready" in stops[1]
    assert "lies at CLOUD, beyond HOST" in page.text(".left-out") and "groq/llama-3.3-70b" in page.text(".left-out")
    assert "Waits" in page.text("#way > .step:last-child")
    signals = page.text(".signals").replace("\n", " ")
    assert signals == "Task code Effort 4 of 10 Context 1,204 tokens Sensitivity stays on this machine"
    assert "A block of code, and “function”; one file, and tests are asked for." in page.text("#way")
    assert "Caller: key laptop, profile personal, agent coder" in page.text("#way")
    assert "Budget left: unlimited" in page.text("#way") and "GPU load: 88 %" in page.text("#way")
    assert page.text("#fence .beyond").startswith("Your other machines")
    assert len(page.driver.find_elements("css selector", "#fence .beyond")) == 2
    assert page.text("#fence-note") == "Kept there by label 'client'."
    assert "Nothing is left out." in page.text("#window") and "reserve 512" in page.text("#window")
    assert page.served.view.asked[-1][0] == "auto"
    assert page.served.view.asked[-1][2] == {"profile": "default"}


def test_a_signal_may_bring_its_own_ground(opened: Page) -> None:
    page = opened
    by_rules(page, signals={"task": {"value": "code", "why": "a block of it"}, "budget_left_usd": 1.5, "speed": ""})
    explain(page, "hi")
    page.until_text(".signals", "a block of it")
    assert "Budget left: $1.50 · Speed: none" in page.text("#way")


def test_a_rule_that_matches_but_cannot_serve_says_why(opened: Page) -> None:
    page = opened
    found = sample_explained()
    left = [{"target": "ollama-11434/coder", "reason": "no engine has it now"}]
    found["rules"][0] |= {"matched": True, "why": "it is a batch; none of its targets can serve", "excluded": left}
    by_rules(page, rules=found["rules"], allowed="CLOUD", kept_by="", ending="error", excluded=[])
    explain(page, "hi")
    page.until_text(".rule.passed", "Matches, cannot serve")
    assert "Rule “code” is the first that matches and can serve it" in page.text("#verdict")
    page.shot("explain-passed")
    assert "ollama-11434/coder no engine has it now" in page.text(".rule.passed")
    assert not page.driver.find_elements("css selector", "#fence .beyond, .chain + .left-out")
    assert page.text("#fence-note") == "Profile personal goes as far, and nothing in the request keeps it nearer."
    assert "The caller gets an error at once" in page.text("#way > .step:last-child")


def test_a_call_that_names_its_model_asks_no_rule(opened: Page) -> None:
    page = opened
    explain(page, '{"model": "nomic-embed-text", "input": ["a", "b"]}')
    page.until_text("#verdict", "It goes to nomic-embed-text, on this machine.")
    assert "The caller names the model." in page.text("#verdict")
    assert "No rule is asked. The caller names the model." in page.text("#way > .step:nth-child(3)")
    assert page.text("#fence-note") == "Profile default stops there."
    page.run("document.getElementById('model').value = 'qwen3-8b'; "
             "document.getElementById('model').dispatchEvent(new Event('change'))")  # fmt: skip
    page.until_text("#verdict", "It goes to qwen3-8b")
    assert page.served.view.asked[-1][0] == "qwen3-8b"


def test_a_curl_command_brings_its_body_and_our_headers_and_nothing_else(opened: Page) -> None:
    page = opened
    page.served.do(lambda: page.served.view.bound.append({"name": "work", "boundary": "CLOUD"}))
    page.run("dispatchEvent(new Event('online'))")
    page.until("return document.querySelectorAll('#profile option').length === 2")
    command = (
        "curl -sS http://127.0.0.1:7464/v1/chat/completions \\\n"
        "  -H 'Authorization: Bearer sk-rf-canary' -H \"X-Ringfence-Agent: coder\" \\\n"
        "  --header='x-ringfence-label: client' -H 'x-ringfence-label: draft' -H 'x-ringfence-profile: work' \\\n"
        "  -H 'x-ringfence-priority: background' \\\n"
        '  -d \'{"model": "qwen3-8b", "messages": [{"role": "user", "content": "it\'\\\'\'s"}]}\' | jq .\n'
    )
    paste(page, command)
    page.until("return document.getElementById('agent').value === 'coder'")
    assert "from its headers" in page.text("#read")
    page.find("#question button[type=submit]").click()
    page.until_text("#verdict", "It goes to qwen3-8b")
    model, body, asker = page.served.view.asked[-1]
    assert (model, body["messages"]) == ("qwen3-8b", [{"role": "user", "content": "it's"}])
    assert asker == {"agent": "coder", "labels": "client,draft", "profile": "work", "priority": "background"}
    assert "canary" not in json.dumps(page.served.view.asked)


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ('{\n  "model": "auto",\n  messages: []\n}', "line 3, column 3: a name in double quotes is expected", 23),
        ('{"messages": [{"role": "user",}]}', "line 1, column 31: a name in double quotes is expected", 30),
        ('{"messages": "no end', "line 1, column 14: this string is not closed", 13),
        ('curl http://x -d \'{"a": ', "The quote that begins in line 1 is not closed.", 17),
        ("curl http://x -d '{\"a\": }'", "The data of this command: Not valid JSON at line 1, column 7", -1),
        ("curl http://x -d @body.json", "in the file body.json, which this page cannot read", -1),
        ("curl http://x", "This command sends no body", -1),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(opened: Page, text: str, said: str, at: int) -> None:
    page = opened
    explain(page, text)
    page.until_text("#problem", said)
    if at >= 0:
        field = "document.getElementById('text')"
        assert page.run(f"return [document.activeElement === {field}, {field}.selectionStart]") == [True, at]
    assert page.served.view.asked == []
    page.shot(f"explain-problem-{at}", whole=False)
    page.find("#problem button").click()
    page.until_text("#verdict", "It goes to qwen3-8b")
    assert page.served.view.asked[-1][1] == {"messages": [{"role": "user", "content": text}]}
    assert page.text("#problem") == ""


def test_it_says_that_json_is_whole_just_where_the_browser_does(opened: Page) -> None:
    script = """
        const done = arguments[0];
        const url = document.querySelector('script[type=module]').src.replace('explain.js', 'pasted.js');
        import(url).then(({ fault }) => {
          const whole = JSON.stringify({ a: [1, -2.5e3, true, null, { b: 'x\\\\"' }], c: {}, d: [] }, null, 1);
          let seed = 7, differ = 0, broken = 0;
          const next = (n) => (seed = (seed * 48271) % 2147483647) % n;
          for (let turn = 0; turn < 20000; turn += 1) {
            let text = whole;
            for (let change = 0; change <= turn % 3; change += 1) {
              const at = next(text.length);
              text = text.slice(0, at) + ['', '{}[],:"0.e-u n'[next(14)]][next(2)] + text.slice(at + next(2));
            }
            let isJson = true;
            try { JSON.parse(text); } catch { isJson = false; broken += 1; }
            const [at, why] = fault(text);
            if (isJson !== (at >= text.length && why.endsWith('nothing more'))) differ += 1;
          }
          done([differ, broken]);
        });
    """
    differ, broken = opened.driver.execute_async_script(script)
    assert differ == 0 and 1000 < broken < 20_000


def test_ctrl_enter_explains_and_an_empty_field_is_said(opened: Page) -> None:
    page = opened
    field = page.find("#text")
    field.send_keys(CONTROL, ENTER)
    page.until_text("#problem", "Paste a request first.")
    field.send_keys("Which port does it listen on?")
    field.send_keys(CONTROL, ENTER)
    page.until_text("#verdict", "It goes to qwen3-8b")
    assert page.served.view.asked[-1][1]["messages"][0]["content"] == "Which port does it listen on?"
    assert page.text("#problem") == ""


def test_the_text_is_kept_nowhere_and_is_in_no_address(opened: Page) -> None:
    page = opened
    page.driver.get_log("performance")
    explain(page, "canary-of-a-prompt")
    page.until_text("#verdict", "It goes to qwen3-8b")
    kept = page.run(
        "return JSON.stringify([location.href, document.cookie, localStorage, sessionStorage, history.state])"
    )
    assert "canary" not in kept
    urls = [
        json.loads(entry["message"])["message"]["params"].get("request", {}).get("url", "")
        for entry in page.driver.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert any(url.endswith("/control/v1/explain") for url in urls)
    assert not any("canary" in url for url in urls)
    page.driver.refresh()
    page.until_text("#state", "Up to date")
    assert page.run("return document.getElementById('text').value") == ""
    page.driver.get("about:blank")
    page.driver.back()
    page.until_text("#state", "Up to date")
    assert page.run("return document.getElementById('text').value") == ""


def test_a_request_of_a_megabyte_is_explained_and_one_above_the_limit_is_told_so(opened: Page) -> None:
    page = opened
    line = "some words of a long request\n"
    long = line * 40_000
    paste(page, long)
    page.until_text("#read", "1.1 MiB · read whole, which takes a moment.")
    page.find("#question button[type=submit]").click()
    page.until_text("#verdict", "It goes to qwen3-8b")
    assert page.served.view.asked[-1][1]["messages"][0]["content"] == long
    page.expected += ["413", "ERR_"]
    page.served.hang_up()
    page.served.limits = Limits(max_body_bytes=1024 * 1024)
    page.served.listen()
    page.find("#question button[type=submit]").click()
    page.until_text("#problem", "The body is larger than 1048576 bytes (server.max_body_bytes).")
    assert "This request is 1.1 MiB long." in page.text("#problem")
    assert page.text("#verdict") == "This could not be explained."
    assert not page.find("#answer").is_displayed()


def test_a_label_of_a_megabyte_is_refused_in_clear_words(opened: Page) -> None:
    page = opened
    page.run("document.getElementById('labels').value = 'x'.repeat(1_100_000)")
    explain(page, "hi")
    page.until_text("#problem", "These labels are 1.0 MiB long.")
    assert "64 KiB" in page.text("#problem")
    assert page.served.view.asked == []
    assert page.overflow() == 0


def test_a_refusal_is_told_as_the_caller_would_get_it(opened: Page) -> None:
    page = opened
    page.expected += ["404"]
    explain(page, '{"model": "gpt-4o", "messages": []}')
    page.until_text("#verdict", "It would be refused.")
    assert "The model 'gpt-4o' does not exist." in page.text("#verdict")
    page.shot("explain-refused", whole=False)
    assert "The caller gets 404, model_not_found." in page.text("#verdict")
    assert not page.find("#answer").is_displayed()


def test_what_does_not_fit_and_what_is_cut_is_seen(opened: Page) -> None:
    page = opened
    cut = {"state": "truncated", "before": 61_204, "after": 27_912, "dropped": 14, "shortened": {"tool_result": 3}}
    by_rules(page, window=sample_window(**cut, estimate=61_204, by="estimate", asked=8_192))
    explain(page, "hi")
    page.until_text("#window", "Truncated")
    words = page.text("#window")
    for part in (
        "61,204 → 27,912 tokens", "14 messages left out", "3 tool results shortened", "(8,192 asked for)", "estimate"
    ):  # fmt: skip
        assert part in words
    wide = page.run("return document.querySelector('.shares .ours').getBoundingClientRect().width / "
                    "document.querySelector('.shares').getBoundingClientRect().width")  # fmt: skip
    assert abs(wide - 27_912 / 32_768) < 0.02
    page.shot("explain-truncated")
    by_rules(page, window=sample_window(state="refused", error="It has 90,000 tokens; 28,160 fit.", max_tokens=None))
    explain(page, "hi")
    page.until_text("#verdict", "It would be refused: it does not fit.")
    assert "It has 90,000 tokens; 28,160 fit." in page.text("#verdict")


def test_states_of_targets_follow_what_happens(opened: Page) -> None:
    page = opened
    by_rules(page)
    explain(page, "hi")
    page.until_text(".stop:nth-child(2)", "Ready")

    def become(state: str, failures: int) -> None:
        sample = page.served.view.sample
        sample["instances"][0] |= {"state": state}
        sample["models"][0]["targets"][0] |= {
            "failures": failures,
            "reason": "status" if failures else "",
            "set_aside_s": 2.0 if failures else None,
        }

    def now(state: str, failures: int = 0) -> None:
        page.served.do(lambda: become(state, failures))
        page.run("dispatchEvent(new Event('online'))")

    now("starting")
    page.until_text(".stop:nth-child(2)", "Loading")
    page.until_text("#verdict", "It goes to qwen3-8b, on this machine, once it has loaded.")
    now("stopped")
    page.until_text("#verdict", "on this machine, which is loaded first.")
    now("ready", failures=3)
    page.until_text(".stop:nth-child(2)", "Set aside")
    page.until_text("#verdict", "on this machine, which failed lately: there is nothing else.")
    page.shot("explain-set-aside")
    now("failed")
    page.until_text("#verdict", "It would wait: no target of its chain can serve it now.")


def test_names_are_text_and_never_markup(opened: Page) -> None:
    page = opened
    nasty = "<img src=x onerror=alert(1)>"
    found = sample_explained()
    found["rules"][2] |= {"name": nasty, "why": nasty, "text": nasty}
    by_rules(page, rules=found["rules"], excluded=[{"target": nasty, "reason": nasty}], profile=nasty)
    explain(page, nasty)
    page.until_text("#verdict", nasty)
    assert nasty in page.text(".left-out")
    assert page.driver.find_elements("css selector", "main img") == []


def test_an_ended_session_is_said(opened: Page) -> None:
    page = opened
    page.expected += ["401"]
    page.served.do(page.served.view.sessions.clear)
    explain(page, "hi")
    page.until_text("#problem", "ringfence status --console")
    page.run("dispatchEvent(new Event('online'))")
    page.until_text("#banner", "ringfence status --console")


def test_everything_can_be_reached_by_keyboard(opened: Page) -> None:
    page = opened
    seen: list[str] = []
    for _ in range(14):
        page.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        seen.append(page.run("return document.activeElement.id || document.activeElement.innerText"))
    for stop in ("Skip to the request", "Explain", "text", "model", "profile", "agent", "priority", "labels"):
        assert stop in seen
