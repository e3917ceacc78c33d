"""A real Chromium in front of the real pages; skipped where there is none."""

from __future__ import annotations

import json
from base64 import b64decode
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served

webdriver = pytest.importorskip("selenium.webdriver")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests: each has a fresh gateway, on a port of its own."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Page]:
    """Signed in, on a desktop, in light colours. In the end: nothing else was asked, and nothing was complained about."""
    page = Page(chromium, served)
    page.driver.get("about:blank")
    page.driver.delete_all_cookies()
    page.hosts(), page.complaints()
    page.look(1440, 1000, "light")
    page.enter()
    yield page
    assert page.hosts() <= {f"127.0.0.1:{served.port}"}
    complaints = [text for text in page.complaints() if not any(known in text for known in page.expected)]
    page.driver.get("about:blank")
    assert complaints == []


class Page:
    """What a person does with the page."""

    def __init__(self, driver: Any, served: Served) -> None:
        self.driver = driver
        self.served = served
        self.expected: list[str] = []
        """Parts of complaints that a test brings about on purpose."""

    def enter(self) -> None:
        self.served.view.tokens.add("once")
        self.driver.get(f"{self.served.url}/console?token=once")
        self.until("return document.getElementById('total').textContent !== '–'")

    def look(self, width: int, height: int, colours: str) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": colours}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any, timeout_s: float = 8.0) -> Any:
        """Waits until the script returns something true."""
        wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
        return wait(self.driver, timeout_s, 0.03).until(lambda _: self.run(script, *arguments), f"never true: {script}")

    def text(self, css: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def until_text(self, css: str, part: str) -> None:
        self.until("return (document.querySelector(arguments[0])?.innerText ?? '').includes(arguments[1])", css, part)

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window; 0 is right."""
        return int(self.run("return document.documentElement.scrollWidth - innerWidth"))

    def shot(self, name: str, *, whole: bool = True) -> None:
        """A picture, where RINGFENCE_SHOTS says; nothing without it."""
        folder = os.environ.get("RINGFENCE_SHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        (Path(folder) / f"{name}.png").write_bytes(b64decode(picture["data"]))

    def hosts(self) -> set[str]:
        """Every host that the page has asked since the last look."""
        found: set[str] = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                url = message["params"].get("request", message["params"])["url"]
                if url.startswith(("http", "ws")):
                    found.add(url.split("/")[2])
        return found

    def complaints(self) -> list[str]:
        """Errors and warnings of the browser's console since the last look."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
