"""Signing in to the console."""

from __future__ import annotations

import pytest

from ringfence.runtime import sessions
from ringfence.runtime.sessions import Sessions


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr(sessions, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_token_signs_in_once(clock: Clock) -> None:
    doors = Sessions()
    token = doors.new_token()
    session = doors.sign_in(token)
    assert session
    assert doors.sign_in(token) is None
    assert doors.sign_in("made up") is None


def test_a_token_is_good_for_an_hour(clock: Clock) -> None:
    doors = Sessions()
    early, late = doors.new_token(), doors.new_token()
    clock.now += sessions.TOKEN_S - 1
    assert doors.sign_in(early)
    clock.now += 2
    assert doors.sign_in(late) is None


def test_a_session_has_a_key_of_its_own_that_ends_with_it(clock: Clock) -> None:
    doors = Sessions()
    session = doors.sign_in(doors.new_token()) or ""
    found = doors.find(session)
    assert found is not None
    secret = found["api_key"].encode()
    key = doors.keyring.find(secret)
    assert key is not None
    assert found["expires_s"] == clock.now + sessions.SESSION_S
    clock.now += sessions.SESSION_S + 1
    assert doors.find(session) is None
    assert doors.keyring.find(secret) is None


def test_a_new_session_ends_the_oldest_of_too_many(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    doors = Sessions()
    ids = [doors.sign_in(doors.new_token()) or "" for _ in range(4)]
    secrets = [found["api_key"] for found in map(doors.find, ids) if found]
    assert [doors.find(one) is not None for one in ids] == [False, True, True, True]
    assert len({*ids, *secrets}) == 7
