"""Who may use the control API: the command line by its token, the console by the cookie of its session.

A browser sends cookies along on its own. So what changes something must carry a header that no other page can set
without being asked first, and must come from our own origin.
"""

from __future__ import annotations

from typing import Final, Protocol

from fastapi import Request

from ringfence.core.errors import Forbidden, NotAuthenticated

SESSION_COOKIE: Final = "ringfence_session"
CONSOLE_HEADER: Final = "x-ringfence-console"
READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITES: Final = frozenset(("same-origin", "none"))


class Doors(Protocol):
    """The part of the view that knows who is who."""

    def is_admin(self, token: str) -> bool: ...

    def session(self, session_id: str) -> object | None: ...


class Access:
    """A FastAPI dependency: raises NotAuthenticated or Forbidden, otherwise lets the request pass."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def __call__(self, request: Request) -> None:
        if "authorization" in request.headers:
            self._check_token(request.headers["authorization"])
        else:
            self._check_session(request)

    def is_open(self, request: Request) -> bool:
        """True as long as this request would still be let in: for answers that last longer than a session."""
        if "authorization" in request.headers:
            return True
        return self._doors.session(request.cookies.get(SESSION_COOKIE, "")) is not None

    def _check_token(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not self._doors.is_admin(token.strip()):
            raise NotAuthenticated(
                "The control API takes the admin token of this installation; an API key does not open it.",
                code="invalid_admin_token",
                headers=(("www-authenticate", "Bearer"),),
            )

    def _check_session(self, request: Request) -> None:
        session_id = request.cookies.get(SESSION_COOKIE, "")
        if not session_id or self._doors.session(session_id) is None:
            raise NotAuthenticated(
                "Sign in to the console, or send 'Authorization: Bearer <admin token>'; "
                "`ringfence status --console` prints a fresh link.",
                code="not_signed_in",
                headers=(("www-authenticate", "Bearer"),),
            )
        if not is_own_origin(request):
            raise Forbidden("This request was started by a page of another origin.", code="foreign_origin")
        if request.method not in READING and request.headers.get(CONSOLE_HEADER) != "1":
            raise Forbidden(
                f"What changes something must carry '{CONSOLE_HEADER}: 1' when a browser sends it.",
                code="console_header_missing",
            )


def is_own_origin(request: Request) -> bool:
    """False when the browser says that a page from elsewhere, even another port of this machine, is behind it."""
    if request.headers.get("sec-fetch-site", "none") not in OWN_SITES:
        return False
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    return origin is None or origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
