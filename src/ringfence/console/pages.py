"""The console's pages, on the application of the control API: the way in, the seven pages, and their files.

Nothing is loaded from anywhere else, no script or style stands in a page, and what is shown is put in as text.
"""

from __future__ import annotations

from time import time
from typing import Any, Protocol
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ringfence import __version__
from ringfence.console.assets import Assets
from ringfence.core.errors import Forbidden, NotAuthenticated, NotFound, TooLarge

CONSOLE = "/console"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
PAGE_HEADERS = {"content-security-policy": POLICY, "cache-control": "no-store", "referrer-policy": "no-referrer"}
MOST_FORM_BYTES = 4096
NOT_VALID = "This token is not valid, or it was used already. Each one works once, for a short time."


class Sessions(Protocol):
    """The part of the running gateway that knows who is signed in."""

    def sign_in(self, token: str) -> str | None: ...

    def session(self, session_id: str) -> dict[str, Any] | None: ...


def mount(app: FastAPI, sessions: Sessions, *, cookie: str) -> None:
    """Adds `/`, `/console` and what is below it. `cookie` is where the control API looks for a session."""
    app.include_router(Pages(sessions, cookie).routes())


class Pages:
    """The routes; files and templates are read once, here."""

    def __init__(self, sessions: Sessions, cookie: str) -> None:
        self._sessions = sessions
        self._cookie = cookie
        self._assets = Assets.read()
        self._templates = Environment(
            loader=PackageLoader("ringfence.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def routes(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/", self.root, methods=["GET"], response_class=Response)
        router.add_api_route("/", self.is_there, methods=["HEAD"], response_class=Response)
        router.add_api_route(CONSOLE, self.console, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/memory", self.memory, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/waiting", self.waiting, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/batches", self.batches, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/money", self.money, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/explain", self.explain, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/egress", self.egress, methods=["GET"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/sign-in", self.sign_in, methods=["POST"], response_class=Response)
        router.add_api_route(f"{CONSOLE}/session", self.session, methods=["GET"], response_class=Response)
        router.add_api_route(
            f"{CONSOLE}/static/{{edition}}/{{name}}", self.static, methods=["GET"], response_class=Response
        )
        return router

    async def root(self) -> Response:
        return RedirectResponse(CONSOLE, status_code=303)

    async def is_there(self) -> Response:
        """Claude Code and Ollama's command line look whether somebody answers."""
        return Response()

    async def console(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:
            answer = self._enter(token)
            is_back = answer.status_code != 303 and self._find(request) is not None  # an old link, by someone who is in
            return RedirectResponse(CONSOLE, status_code=303, headers=PAGE_HEADERS) if is_back else answer
        return self._page_of("console.html", request)

    async def memory(self, request: Request) -> Response:
        return self._page_of("memory.html", request)

    async def waiting(self, request: Request) -> Response:
        return self._page_of("waiting.html", request)

    async def batches(self, request: Request) -> Response:
        return self._page_of("batches.html", request)

    async def money(self, request: Request) -> Response:
        return self._page_of("money.html", request)

    async def explain(self, request: Request) -> Response:
        return self._page_of("explain.html", request)

    async def egress(self, request: Request) -> Response:
        return self._page_of("egress.html", request)

    async def sign_in(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_FORM_BYTES:
                raise TooLarge("A console token is shorter than this.")
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
        return self._enter(fields.get("token", [""])[0].strip())

    async def session(self, request: Request) -> Response:
        """The key of the chat box: for our own page alone. With `?probe` the answer to nobody is 204, not 401."""
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Forbidden("This request was started by a page of another origin.", code="foreign_origin")
        found = self._find(request)
        if found is None and "probe" in request.query_params:
            return Response(status_code=204)
        if found is None:
            raise NotAuthenticated("Nobody is signed in here.", code="not_signed_in")
        return JSONResponse({"api_key": found["api_key"], "expires_s": found["expires_s"]})

    async def static(self, edition: str, name: str, request: Request) -> Response:
        asset = self._assets.files.get(name)
        if asset is None or edition != self._assets.edition:
            raise NotFound("There is no such file in the console; load the page again.")
        headers = {"cache-control": "private, max-age=31536000, immutable", "etag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    def _find(self, request: Request) -> dict[str, Any] | None:
        session_id = request.cookies.get(self._cookie, "")
        return self._sessions.session(session_id) if session_id else None

    def _enter(self, token: str) -> Response:
        session_id = self._sessions.sign_in(token) if token else None
        found = self._sessions.session(session_id) if session_id else None
        if session_id is None or found is None:
            return self._page("sign_in.html", 401, problem=NOT_VALID)
        answer = RedirectResponse(CONSOLE, status_code=303, headers=PAGE_HEADERS)
        left_s = max(1, int(found["expires_s"] - time()))
        answer.set_cookie(self._cookie, session_id, max_age=left_s, path="/", httponly=True, samesite="strict")
        return answer

    def _page_of(self, name: str, request: Request) -> HTMLResponse:
        """The page for somebody who is signed in, the way in for everybody else."""
        return self._page(name) if self._find(request) is not None else self._page("sign_in.html", problem="")

    def _page(self, name: str, status: int = 200, **values: str) -> HTMLResponse:
        static = f"{CONSOLE}/static/{self._assets.edition}"
        page = self._templates.get_template(name).render(static=static, version=__version__, **values)
        return HTMLResponse(page, status_code=status, headers=PAGE_HEADERS)
