"""API keys on disk: digests keyed with a pepper that lies beside the database, never the secrets themselves.

The functions take a Connection and are run by `Database.run` or `Database.call`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from ringfence.core.identity import Key
from ringfence.core.money import NO_BUDGET, USD_MICROS, Budget
from ringfence.store.failure import StoreFailed
from ringfence.store.keyring import KeyRing
from ringfence.store.private_file import create_private, read_private
from ringfence.store.tables import api_keys

__all__ = [
    "KeyAmbiguous",
    "KeyRing",
    "KeyUnknown",
    "all_keys",
    "create",
    "digest_of",
    "find_pepper",
    "get",
    "rebudget",
    "revoke",
    "rows",
]

PREFIX = "sk-rf-"
PEPPER = "pepper"
PEPPER_BYTES = 32
MOST_NAME_CHARACTERS = 100
MOST_USD_MICROS = 10_000_000 * USD_MICROS
BUDGETS = "a budget is $0 to $10,000,000, and its soft limit 1 to 100 percent of it"

KEY_COLUMNS = [column for column in api_keys.columns if column.name != "digest"]
BUDGET = {"budget_day": "day", "budget_week": "week", "budget_month": "month", "budget_call": "call",
          "soft_percent": "soft_percent"}  # fmt: skip
"""Columns that are a key's budget, and what they are there."""


class KeyUnknown(LookupError):
    """No key has this id, name or hint."""

    def __init__(self, which: str) -> None:
        super().__init__(f"there is no key '{which}'")
        self.which = which


class KeyAmbiguous(LookupError):
    """Several keys have this name or hint; nothing was changed."""

    def __init__(self, which: str, candidates: list[Key]) -> None:
        ids = ", ".join(key.id for key in candidates)
        super().__init__(f"'{which}' could be any of {ids}; say which by its id")
        self.which = which
        self.candidates = candidates


def find_pepper(connection: Connection, state_dir: Path) -> bytes:
    """The 32 bytes that digests are keyed with, from `<state_dir>/pepper`; made at the first start.

    Raises StoreFailed when the file is broken or readable by others, and when it is missing although there are
    keys: a new one would turn all of them away.
    """
    path = state_dir / PEPPER
    pepper = read_private(path, PEPPER_BYTES)
    if pepper is None:
        if connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_s.is_(None)).limit(1)).first():
            raise StoreFailed(
                path,
                "is missing, and without it no key is valid",
                "restore it from a backup, or revoke every key and create new ones",
            )
        create_private(path, secrets.token_bytes(PEPPER_BYTES))
        pepper = read_private(path, PEPPER_BYTES)  # another process may have been first: what lies there counts
    if pepper is None or len(pepper) != PEPPER_BYTES:
        raise StoreFailed(path, "is damaged", "restore it from a backup, or revoke every key and delete it")
    return pepper


def digest_of(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256, 32 bytes: what is stored of a secret."""
    return hmac.digest(pepper, secret.encode(), "sha256")


def create(
    connection: Connection,
    pepper: bytes,
    *,
    name: str,
    created_s: int,
    profile: str = "default",
    agent: str = "",
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    expires_s: int | None = None,
    budget: Budget = NO_BUDGET,
) -> tuple[Key, str]:
    """A new key and its secret, which can be read here and never again. Raises ValueError, saying what is wrong."""
    if not 1 <= len(name) <= MOST_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise ValueError(f"a name has 1 to {MOST_NAME_CHARACTERS} printable characters, and no space at its ends")
    if any(limit is not None and limit < 1 for limit in (requests_per_minute, tokens_per_minute)):
        raise ValueError("a limit is 1 or more; leave it out for none")
    if not profile and not agent:
        raise ValueError("a key is bound to a profile, to an agent, or to both")
    if expires_s is not None and expires_s <= created_s:
        raise ValueError("a key cannot expire before it is created")
    if not is_sound(budget):
        raise ValueError(BUDGETS)
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=f"key_{secrets.token_hex(6)}",
        name=name,
        profile=profile,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        created_s=created_s,
        expires_s=expires_s,
        hint=secret[-4:],
        agent=agent,
        budget=budget,
    )
    values = {
        name: getattr(key.budget, BUDGET[name]) if name in BUDGET else getattr(key, name)
        for name in (column.name for column in KEY_COLUMNS)
    }
    connection.execute(insert(api_keys).values(values | {"digest": digest_of(pepper, secret)}))
    return key, secret


def all_keys(connection: Connection) -> list[Key]:
    """Every key, revoked and expired ones included, oldest first."""
    found = connection.execute(select(*KEY_COLUMNS).order_by(api_keys.c.created_s, api_keys.c.id))
    return [_key(row) for row in found]


def rows(connection: Connection) -> list[tuple[bytes, Key]]:
    """Every key with the digest of its secret, for a KeyRing."""
    found = connection.execute(select(*KEY_COLUMNS, api_keys.c.digest))
    return [(bytes(row.digest), _key(row)) for row in found]


def get(connection: Connection, key_id: str) -> Key | None:
    """The key with this id."""
    row = connection.execute(select(*KEY_COLUMNS).where(api_keys.c.id == key_id)).first()
    return _key(row) if row is not None else None


def revoke(connection: Connection, which: str, now_s: int) -> Key:
    """Revokes the key with this id, or the only one with this name or hint; the key as it is afterwards.

    One that is revoked already stays as it is. Raises KeyUnknown and KeyAmbiguous.
    """
    key = get(connection, which) or _named(connection, which)
    if key.revoked_s is None:
        connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(revoked_s=now_s))
    revoked = get(connection, key.id)
    if revoked is None:
        raise KeyUnknown(which)
    return revoked


def rebudget(connection: Connection, which: str, changes: Mapping[str, int | None]) -> Key:
    """Other caps for the key with this id, or the only one with this name or hint: of `changes`, by their names in a
    Budget, None takes a cap away, and what is not there stays. The key as it is afterwards.

    Raises KeyUnknown, KeyAmbiguous and ValueError.
    """
    key = get(connection, which) or _named(connection, which)
    budget = replace(key.budget, **changes)
    if not is_sound(budget):
        raise ValueError(BUDGETS)
    values = {column: getattr(budget, name) for column, name in BUDGET.items()}
    connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(values))
    return replace(key, budget=budget)


def is_sound(budget: Budget) -> bool:
    caps = (budget.day, budget.week, budget.month, budget.call)
    return all(cap is None or 0 <= cap <= MOST_USD_MICROS for cap in caps) and 1 <= budget.soft_percent <= 100


def _named(connection: Connection, which: str) -> Key:
    """The only key with this name or hint; those still in use come before revoked ones."""
    matching = (api_keys.c.name == which) | (api_keys.c.hint == which)
    found = [_key(row) for row in connection.execute(select(*KEY_COLUMNS).where(matching).order_by(api_keys.c.id))]
    candidates = [key for key in found if key.revoked_s is None] or found
    if not candidates:
        raise KeyUnknown(which)
    if len(candidates) > 1:
        raise KeyAmbiguous(which, candidates)
    return candidates[0]


def _key(row: Row[Any]) -> Key:
    budget = Budget(**{name: getattr(row, column) for column, name in BUDGET.items()})
    fields = {column.name: getattr(row, column.name) for column in KEY_COLUMNS if column.name not in BUDGET}
    return Key(**fields, budget=budget)
