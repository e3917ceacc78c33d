"""Keys: made, found, revoked, and never readable from the disk."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from pathlib import Path

import pytest

from ringfence.core.identity import Key
from ringfence.core.money import Budget
from ringfence.store import keys
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.keyring import MOST_SESSIONS, KeyRing

PEPPER = bytes(range(32))


def make(db: Database, name: str, created_s: int = 1000, expires_s: int | None = None) -> tuple[Key, str]:
    return db.call(lambda c: keys.create(c, PEPPER, name=name, created_s=created_s, expires_s=expires_s))


def ring_of(db: Database, now_s: float = 2000.0) -> KeyRing:
    return KeyRing(PEPPER, db.call(keys.rows), now=lambda: now_s)


class TestTable:
    def test_a_new_key_reads_back_as_it_was_made(self, db: Database) -> None:
        key, secret = db.call(
            lambda c: keys.create(
                c,
                PEPPER,
                name="laptop",
                created_s=1000,
                profile="work",
                agent="coder",
                requests_per_minute=60,
                tokens_per_minute=10_000,
                expires_s=9000,
            )
        )
        assert re.fullmatch(r"sk-rf-[A-Za-z0-9_-]{43}", secret)
        assert re.fullmatch(r"key_[0-9a-f]{12}", key.id)
        assert key == Key(key.id, "laptop", "work", 60, 10_000, 1000, 9000, None, secret[-4:], "coder")
        assert db.call(lambda c: keys.get(c, key.id)) == key
        assert db.call(keys.all_keys) == [key]
        digest = hmac.new(PEPPER, secret.encode(), hashlib.sha256).digest()
        assert db.call(keys.rows) == [(digest, key)]

    def test_a_key_is_bound_to_something(self, db: Database) -> None:
        with pytest.raises(ValueError, match="a profile, to an agent, or to both"):
            db.call(lambda c: keys.create(c, PEPPER, name="a", created_s=1, profile=""))
        key, _ = db.call(lambda c: keys.create(c, PEPPER, name="a", created_s=1, profile="", agent="coder"))
        assert db.call(keys.all_keys) == [key]

    def test_keys_come_oldest_first(self, db: Database) -> None:
        for created_s, name in ((30, "c"), (10, "a"), (20, "b")):
            make(db, name, created_s)
        assert [key.name for key in db.call(keys.all_keys)] == ["a", "b", "c"]

    @pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "x" * 101, "a\0b"])
    def test_odd_names_are_refused(self, db: Database, name: str) -> None:
        with pytest.raises(ValueError, match="printable"):
            make(db, name)

    def test_odd_limits_and_times_are_refused(self, db: Database) -> None:
        with pytest.raises(ValueError, match="1 or more"):
            db.call(lambda c: keys.create(c, PEPPER, name="a", created_s=1, requests_per_minute=0))
        with pytest.raises(ValueError, match="before it is created"):
            make(db, "a", created_s=10, expires_s=10)
        assert db.call(keys.all_keys) == []

    @pytest.mark.parametrize("attribute", ["id", "name", "hint"])
    def test_revoked_by_id_name_or_hint(self, db: Database, attribute: str) -> None:
        key, _ = make(db, "laptop")
        other, _ = make(db, "phone")
        revoked = db.call(lambda c: keys.revoke(c, getattr(key, attribute), 1500))
        assert (revoked.id, revoked.revoked_s) == (key.id, 1500)
        assert db.call(lambda c: keys.get(c, other.id)) == other

    def test_revoking_again_keeps_the_first_time(self, db: Database) -> None:
        make(db, "laptop")
        assert db.call(lambda c: keys.revoke(c, "laptop", 1500)).revoked_s == 1500
        assert db.call(lambda c: keys.revoke(c, "laptop", 1600)).revoked_s == 1500

    def test_an_unknown_key(self, db: Database) -> None:
        with pytest.raises(keys.KeyUnknown, match="no key 'nobody'"):
            db.call(lambda c: keys.revoke(c, "nobody", 1))

    def test_an_ambiguous_name_changes_nothing(self, db: Database) -> None:
        first, _ = make(db, "laptop")
        second, _ = make(db, "laptop")
        with pytest.raises(keys.KeyAmbiguous) as caught:
            db.call(lambda c: keys.revoke(c, "laptop", 1))
        assert first.id in str(caught.value)
        assert second.id in str(caught.value)
        assert all(key.revoked_s is None for key in db.call(keys.all_keys))

    def test_a_revoked_namesake_does_not_stand_in_the_way(self, db: Database) -> None:
        old, _ = make(db, "laptop")
        db.call(lambda c: keys.revoke(c, old.id, 1))
        new, _ = make(db, "laptop")
        assert db.call(lambda c: keys.revoke(c, "laptop", 2)).id == new.id


class TestPepper:
    def test_made_once_for_the_owner_only(self, db: Database, state_dir: Path) -> None:
        pepper = db.call(lambda c: keys.find_pepper(c, state_dir))
        assert len(pepper) == 32
        assert (state_dir / "pepper").stat().st_mode & 0o777 == 0o600
        assert db.call(lambda c: keys.find_pepper(c, state_dir)) == pepper
        assert not list(state_dir.glob(".pepper*"))

    def test_missing_while_there_are_keys(self, db: Database, state_dir: Path) -> None:
        make(db, "laptop")
        with pytest.raises(StoreFailed, match="no key is valid; restore it from a backup"):
            db.call(lambda c: keys.find_pepper(c, state_dir))
        assert not (state_dir / "pepper").exists()
        db.call(lambda c: keys.revoke(c, "laptop", 1))
        assert len(db.call(lambda c: keys.find_pepper(c, state_dir))) == 32

    def test_readable_by_others(self, db: Database, state_dir: Path) -> None:
        db.call(lambda c: keys.find_pepper(c, state_dir))
        (state_dir / "pepper").chmod(0o640)
        with pytest.raises(StoreFailed, match=r"read by others \(mode 0640\)"):
            db.call(lambda c: keys.find_pepper(c, state_dir))

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_damaged(self, db: Database, state_dir: Path, content: bytes) -> None:
        path = state_dir / "pepper"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(StoreFailed, match="backup"):
            db.call(lambda c: keys.find_pepper(c, state_dir))


class TestRing:
    def test_finds_the_key_of_a_secret(self, db: Database) -> None:
        key, secret = make(db, "laptop")
        other, other_secret = make(db, "phone")
        ring = ring_of(db)
        assert ring.find(secret.encode()) == key
        assert ring.find(other_secret.encode()) == other
        for wrong in (b"", b"sk-rf-", secret[:-1].encode(), secret.encode() + b" ", secret.upper().encode(), b"\xff"):
            assert ring.find(wrong) is None

    def test_another_pepper_finds_nothing(self, db: Database) -> None:
        _, secret = make(db, "laptop")
        assert KeyRing(bytes(32), db.call(keys.rows), now=lambda: 2000.0).find(secret.encode()) is None

    def test_revoked_and_expired_keys_are_found_only_to_say_so(self, db: Database) -> None:
        revoked, revoked_secret = make(db, "old")
        db.call(lambda c: keys.revoke(c, "old", 1500))
        expiring, expiring_secret = make(db, "guest", expires_s=3000)
        ring = ring_of(db)
        assert ring.find(revoked_secret.encode()) is None
        found = ring.find_any(revoked_secret.encode())
        assert found is not None
        assert (found.id, found.revoked_s) == (revoked.id, 1500)
        assert ring.find(expiring_secret.encode()) == expiring
        late = ring_of(db, 3000.0)
        assert late.find(expiring_secret.encode()) is None
        assert late.find_any(expiring_secret.encode()) == expiring

    def test_replace_takes_effect_and_counts(self, db: Database) -> None:
        ring = ring_of(db)
        before = ring.version
        key, secret = make(db, "laptop")
        assert ring.find(secret.encode()) is None
        ring.replace(db.call(keys.rows))
        assert ring.find(secret.encode()) == key
        assert ring.version > before

    def test_sessions_end_in_time_and_outlive_a_replacement(self) -> None:
        now = [100.0]
        ring = KeyRing(PEPPER, now=lambda: now[0])
        before = ring.version
        session = ring.add_session(Key("session_1", "console"), b"cookie", ttl_s=60)
        assert (session.id, session.expires_s) == ("session_1", 160)
        assert ring.version > before
        ring.replace([])
        assert ring.find(b"cookie") == session == ring.by_id("session_1")  # what the console parks is its own
        now[0] = 160.0
        assert ring.find(b"cookie") is None and ring.by_id("session_1") is None
        ring.replace([])
        assert ring.find_any(b"cookie") is None

    def test_a_session_can_be_ended(self) -> None:
        ring = KeyRing(PEPPER, now=lambda: 100.0)
        ring.add_session(Key("session_1", "console"), b"cookie", ttl_s=60)
        ring.end_session(b"cookie")
        ring.end_session(b"cookie")
        assert ring.find(b"cookie") is None

    def test_sessions_are_bounded_and_the_newest_stay(self) -> None:
        ring = KeyRing(PEPPER, now=lambda: 100.0)
        for number in range(MOST_SESSIONS + 5):
            ring.add_session(Key(f"s{number}", "console"), f"cookie{number}".encode(), ttl_s=60)
        assert ring.find(b"cookie4") is None
        assert ring.find(b"cookie5") is not None
        assert ring.find(f"cookie{MOST_SESSIONS + 4}".encode()) is not None

    def test_finding_is_quick(self) -> None:
        """The budget is 2.5 us; ten times that here, so that a busy machine does not fail the test."""
        rows = [(keys.digest_of(PEPPER, f"s{number}"), Key(f"k{number}", "n")) for number in range(100)]
        ring = KeyRing(PEPPER, rows)
        best_s = 1.0
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(2000):
                ring.find(b"s50")
            best_s = min(best_s, (time.perf_counter() - start) / 2000)
        assert ring.find(b"s50") is not None
        assert best_s < 25e-6


def test_a_budget_is_made_and_changed(db: Database) -> None:
    made = Budget(day=5_000_000, call=100_000, soft_percent=50)
    key, _ = db.call(lambda c: keys.create(c, PEPPER, name="laptop", created_s=1000, budget=made))
    assert db.call(keys.all_keys)[0].budget == made
    changed = db.call(lambda c: keys.rebudget(c, "laptop", {"day": None, "month": 0}))
    assert changed.budget == Budget(month=0, call=100_000, soft_percent=50)
    assert ring_of(db).by_id(key.id) == db.call(lambda c: keys.get(c, key.id)) == changed
    for wrong in ({"day": -1}, {"week": 10**13 + 1}, {"soft_percent": 0}):
        with pytest.raises(ValueError, match="a budget is"):
            db.call(lambda c, wrong=wrong: keys.rebudget(c, "laptop", wrong))
    with pytest.raises(keys.KeyUnknown):
        db.call(lambda c: keys.rebudget(c, "nobody", {"day": 1}))
    assert db.call(lambda c: keys.get(c, key.id)) == changed


def test_no_secret_on_disk_or_in_reprs(db: Database, state_dir: Path) -> None:
    pepper = db.call(lambda c: keys.find_pepper(c, state_dir))
    key, secret = db.call(lambda c: keys.create(c, pepper, name="laptop", created_s=1))
    ring = KeyRing(pepper, db.call(keys.rows))
    ring.add_session(Key("session_1", "console"), b"sk-canary-session", ttl_s=60)
    assert ring.find(secret.encode()) == key
    with pytest.raises(keys.KeyUnknown) as unknown:
        db.call(lambda c: keys.revoke(c, "nobody", 1))
    shown = "".join(f"{thing!r}{thing}" for thing in (db, key, ring, unknown.value, vars(ring), db.call(keys.rows)))
    shown += "".join(repr(getattr(held, "__dict__", held)) for held in vars(ring).values())
    secrets_ = [secret, secret[6:], "sk-canary-session"]
    for canary in secrets_:
        assert canary not in shown
    assert repr(pepper) not in shown
    files = b"".join(path.read_bytes() for path in state_dir.iterdir() if path.name != "pepper")
    db.close()
    if db.path is not None:
        files += db.path.read_bytes()
        assert b"laptop" in files
    for canary in [*map(str.encode, secrets_), pepper]:
        assert canary not in files
