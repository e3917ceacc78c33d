"""The owner's own key and the token of the control API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringfence.store import private_file
from ringfence.store.credentials import Credentials, admin_token, load_credentials, save_credentials
from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import create_private

CANARY = "sk-rf-canary-canary-canary"


def test_none_before_any_were_saved(state_dir: Path) -> None:
    assert load_credentials(state_dir) is None
    assert not state_dir.exists()


def test_saved_whole_and_for_the_owner_only(state_dir: Path) -> None:
    for key_id in ("key_1", "key_2"):
        saved = Credentials(key_id=key_id, api_key=CANARY)
        save_credentials(state_dir, saved)
        assert load_credentials(state_dir) == saved
    path = state_dir / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_text()) == {"api_key": CANARY, "key_id": "key_2"}
    assert [found.name for found in state_dir.iterdir()] == ["credentials.json"]


def test_the_key_stays_out_of_its_repr() -> None:
    credentials = Credentials(key_id="key_1", api_key=CANARY)
    assert CANARY not in f"{credentials!r}{credentials}"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620])
def test_readable_by_others(state_dir: Path, mode: int) -> None:
    save_credentials(state_dir, Credentials("key_1", CANARY))
    (state_dir / "credentials.json").chmod(mode)
    with pytest.raises(StoreFailed, match=r"read by others .*chmod 600"):
        load_credentials(state_dir)


@pytest.mark.parametrize("content", ["", CANARY, "[]", '{"api_key": "' + CANARY, '{"api_key": "' + CANARY + '"}'])
def test_a_broken_file_is_refused_without_quoting_it(state_dir: Path, content: str) -> None:
    save_credentials(state_dir, Credentials("key_1", "x"))
    (state_dir / "credentials.json").write_text(content)
    with pytest.raises(StoreFailed, match="create a new key") as caught:
        load_credentials(state_dir)
    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_admin_token_is_made_once(state_dir: Path) -> None:
    token = admin_token(state_dir)
    assert len(token) == 43
    assert admin_token(state_dir) == token
    path = state_dir / "admin.token"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(StoreFailed, match="read by others"):
        admin_token(state_dir)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 43])
def test_a_broken_admin_token_is_refused(state_dir: Path, content: bytes) -> None:
    create_private(state_dir / "admin.token", content)
    with pytest.raises(StoreFailed, match="does not hold a token"):
        admin_token(state_dir)


def test_what_was_created_first_stays(tmp_path: Path) -> None:
    assert create_private(tmp_path / "x", b"first")
    assert not create_private(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_a_crash_before_the_end_leaves_the_old_file(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_credentials(state_dir, Credentials("key_1", "old"))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_file.os, "fsync", fail)
    with pytest.raises(StoreFailed, match="free some space"):
        save_credentials(state_dir, Credentials("key_2", "new"))
    assert load_credentials(state_dir) == Credentials("key_1", "old")
    assert [found.name for found in state_dir.iterdir()] == ["credentials.json"]
