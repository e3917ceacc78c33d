"""A real Chromium in front of the real pages, over the gateway's own HTTP server; skipped where there is none."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ringfence.console import pages
from ringfence.control.access import SESSION_COOKIE
from ringfence.control.app import build
from ringfence.gateway import http
from ringfence.gateway.asgi import Visit
from ringfence.testing.fake_view import CHAT_KEY, FakeView
from ringfence.testing.ports import free_port

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


TEXT = (
    "Ringfence is one **OpenAI-compatible** endpoint in front of the models you own. Ask it where a request goes:\n\n"
    "```sh\nringfence explain --model auto\n```\n\nThe text stays on this machine."
)


@dataclass
class FakeChat:
    """How /v1/chat/completions answers. `ending`: done, hang (until the client goes), error, cut, refuse."""

    text: str = TEXT
    ending: str = "done"
    between_s: float = 0.01
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    pauses_after: int | None = None
    """Words after which it waits for `goes_on`."""
    goes_on: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {CHAT_KEY}":
            return JSONResponse({"error": {"message": "This API key is not known here."}}, 401)
        self.asked.append(await request.json())
        if self.ending == "refuse":
            return JSONResponse(
                {"error": {"message": "Every slot is taken.", "code": "overloaded"}}, 503, {"retry-after": "2"}
            )
        headers = {"x-ringfence-target": "llamacpp/qwen3-8b", "x-ringfence-window": "clamped"}
        return StreamingResponse(self._events(), headers=headers, media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        words = self.text.split(" ")
        try:
            for place, word in enumerate(words):
                while place == self.pauses_after and not self.goes_on.is_set():
                    await asyncio.sleep(0.01)
                delta = {"content": word if place == 0 else f" {word}"}
                yield self._frame({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                await asyncio.sleep(self.between_s)
            if self.ending == "hang":
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.left.set()
            raise
        if self.ending == "error":
            yield self._frame({"error": {"message": "The engine broke off; the answer is not complete."}})
        if self.ending == "done":
            yield self._frame({"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": len(words)}})
            yield b"data: [DONE]\n\n"

    @staticmethod
    def _frame(event: dict[str, Any]) -> bytes:
        return b"data: %b\n\n" % json.dumps(event).encode()


class Served:
    """Starts on a free port of loopback; `do` runs something where the application runs."""

    def __init__(self) -> None:
        self.view = FakeView()
        self.chat = FakeChat()
        self.app: FastAPI = build(self.view)
        pages.mount(self.app, self.view, cookie=SESSION_COOKIE)
        self.app.add_api_route("/v1/chat/completions", self.chat.answer, methods=["POST"], response_class=Response)
        self.port = 0
        self.limits = http.Limits()
        self._server = http.HttpServer(self, self.limits)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = free_port()
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Again on the same port, after `hang_up`."""
        self._server = http.HttpServer(self, self.limits)
        asyncio.run_coroutine_threadsafe(self._server.listen("127.0.0.1", self.port), self._loop).result(25)

    def hang_up(self) -> None:
        """Every connection breaks, and nobody listens any more."""
        asyncio.run_coroutine_threadsafe(self._server.drain(0), self._loop).result(5)

    def stop(self) -> None:
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def do(self, what: Callable[[], object]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (what(), done.set()))
        assert done.wait(5)

    def change(self, part: str, value: Any) -> None:
        """One part of the status is different from now on, and every page is told."""
        self.do(lambda: (self.view.sample.__setitem__(part, value), self.view.changed()))

    # -- what the server asks of a site

    def screen(self, request: http.Request) -> None:
        return None

    def serve(self, request: http.Request) -> None:
        Visit(request).start(self.app)


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
def visitor(chromium: Any, served: Served) -> Iterator[Page]:
    """Signed in, on a desktop, in light colours, on no page yet. At the end nobody else was asked or complained."""
    visitor = Page(chromium, served)
    visitor.driver.delete_all_cookies()
    visitor.hosts(), visitor.complaints()
    visitor.look(1440, 1000, "light")
    visitor.sign_in()
    yield visitor
    assert visitor.hosts() <= {f"127.0.0.1:{served.port}"}
    complaints = [text for text in visitor.complaints() if not any(known in text for known in visitor.expected)]
    visitor.driver.get("about:blank")
    assert complaints == []


@pytest.fixture
def page(visitor: Page) -> Page:
    """The first page, entered by a link."""
    visitor.enter()
    return visitor


class Page:
    """What a person does with the page."""

    def __init__(self, driver: Any, served: Served) -> None:
        self.driver = driver
        self.served = served
        self.expected: list[str] = []
        """Parts of complaints that a test brings about on purpose."""

    def sign_in(self) -> None:
        """As a link does, without its page."""
        self.served.view.tokens.add("at once")
        cookie = {"name": SESSION_COOKIE, "value": self.served.view.sign_in("at once"), "url": self.served.url}
        self.driver.execute_cdp_cmd("Network.setCookie", cookie | {"httpOnly": True, "sameSite": "Strict"})

    def enter(self) -> None:
        self.served.view.tokens.add("once")
        self.driver.get(f"{self.served.url}/console?token=once")
        self.until("return document.getElementById('total').textContent !== '–'")

    def look(self, width: int, height: int, colours: str) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": colours}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.until("return document.getAnimations().every((one) => !(one instanceof CSSTransition))")  # of colours

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any, timeout_s: float = 25.0) -> Any:
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
        """Pixels by which the page is wider than the window; 0 is right. A phone's `innerWidth` grows with the page."""
        return int(
            self.run("const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth")
        )

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
