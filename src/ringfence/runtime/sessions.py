"""Signing in to the console: one-time tokens become sessions, each with an API key of its own for the chat box."""

from __future__ import annotations

from secrets import token_urlsafe
from time import time
from typing import Any

from ringfence.core.identity import Key
from ringfence.store.keyring import KeyRing

SESSION_S = 12 * 3600.0
TOKEN_S = 3600.0
MAX_SESSIONS = 100
OF_SESSIONS = "session_"
"""The ids of their keys begin so."""


class Sessions:
    """All in memory: a restart signs everybody out."""

    def __init__(self) -> None:
        self.keyring = KeyRing(b"")
        self._tokens: dict[str, float] = {}
        self._sessions: dict[str, tuple[str, float]] = {}

    def new_token(self) -> str:
        """Good for one sign-in within an hour."""
        now = time()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now}
        token = token_urlsafe(24)
        self._tokens[token] = now + TOKEN_S
        return token

    def sign_in(self, token: str) -> str | None:
        """The id of a new session; None for a token that is unknown, used or too old."""
        if self._tokens.pop(token, 0.0) < time():
            return None
        while len(self._sessions) >= MAX_SESSIONS:
            self._end(next(iter(self._sessions)))
        session, secret = token_urlsafe(32), f"sk-rf-console-{token_urlsafe(32)}"
        self.keyring.add_session(Key(f"{OF_SESSIONS}{session[:8]}", "console"), secret.encode(), SESSION_S)
        self._sessions[session] = (secret, time() + SESSION_S)
        return session

    def find(self, session: str) -> dict[str, Any] | None:
        """The API key of a session and when it ends."""
        secret, until = self._sessions.get(session, ("", 0.0))
        if until < time():
            self._end(session)
            return None
        return {"api_key": secret, "expires_s": until}

    def _end(self, session: str) -> None:
        secret, _until = self._sessions.pop(session, ("", 0.0))
        if secret:
            self.keyring.end_session(secret.encode())
