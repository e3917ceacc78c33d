"""Takes docs/images/console.png anew: `python docs/take_console_picture.py`, with chromium and chromedriver installed.

A gateway of its own with the demo model answers a few requests; then a browser signs in, asks twice, and is looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PICTURE = Path(__file__).parent / "images" / "console.png"
WIDTH, LEAST_HEIGHT = 1280, 900
SETTLED_S = 3
"""What the page tells of each second is then as it is at rest."""
ENTER = "\ue007"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
CONFIGURATION = """\
models:
  demo: {source: demo, aliases: [local/fast]}
  demo-short: {source: demo, window: 2048, parallel: 2}
rules:
  - {name: coding, when: {task: code}, use: [demo]}
  - {name: long-texts, when: {context_tokens: ">6000"}, use: [demo]}
  - {name: rest, use: [demo-short]}
"""
ANSWERED = "return document.querySelectorAll('.said.answer:not(.is-writing)').length === arguments[0]"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "ringfence.yaml"
        config.write_text(CONFIGURATION, encoding="utf-8")
        words = ("up", "--json", "--port", "0", "--config", str(config), "--set", "discovery.adopt=false")
        gateway = subprocess.Popen(
            [sys.executable, "-m", "ringfence", *words],
            env=os.environ | {"RINGFENCE_STATE_DIR": str(Path(folder) / "state")},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert gateway.stdout is not None
            ready = json.loads(gateway.stdout.readline())
            ask_all(ready)
            PICTURE.write_bytes(picture(ready["console_url"]))
        finally:
            gateway.send_signal(signal.SIGINT)
            gateway.wait(40)


def ask_all(ready: dict[str, Any]) -> None:
    """One that fits, by name; one of each way to fit; and what rules choose for."""
    looked = "the lamp was looked at, and is in order."
    lines = "\n".join(f"Room {number}: {looked}" for number in range(900))
    for model, text, most in (
        ("demo", "What is Ringfence?", 64),
        ("demo", "What is a boundary?", 9000),
        ("auto", f"Which lamp is broken?\n\n{lines}", 32),
        ("auto", "Write a Python function that reverses a list.", 64),
        ("local/fast", "How do I make a key?", 64),
        ("auto", "What is a fence?", 64),
    ):
        body = {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": text}]}
        request = urllib.request.Request(  # noqa: S310
            f"{ready['base_url']}/chat/completions",
            json.dumps(body).encode(),
            {"authorization": f"Bearer {ready['api_key']}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            answer.read()


def picture(console_url: str) -> bytes:
    """The whole page, as a PNG."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            return _taken(driver, console_url)
        finally:
            driver.quit()


def _taken(driver: webdriver.Chrome, console_url: str) -> bytes:
    _look(driver, LEAST_HEIGHT)
    driver.get(console_url)
    wait = WebDriverWait(driver, 30)
    wait.until(lambda _: driver.find_element(By.ID, "chat-text").is_enabled())
    for place, question in enumerate(("How do I add a real model?", "What is a boundary?")):
        driver.find_element(By.ID, "chat-text").send_keys(question + ENTER)
        wait.until(lambda _, place=place: driver.execute_script(ANSWERED, place + 1))
    time.sleep(SETTLED_S)
    _look(driver, int(driver.execute_script("return document.documentElement.scrollHeight")))
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    return b64decode(taken["data"])


def _look(driver: webdriver.Chrome, height: int) -> None:
    metrics = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


if __name__ == "__main__":
    main()
