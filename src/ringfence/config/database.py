"""Where state is kept: a file in the state folder, or a PostgreSQL."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from ringfence.config.secret import SecretRef
from ringfence.config.section import Section, setting
from ringfence.config.values import Text, refused

ASKED = frozenset(("host", "sslmode", "sslrootcert"))
MODES = ("disable", "require", "verify-ca", "verify-full")


def _address(given: str) -> str:
    try:
        parts = urlsplit(given)
        has_password, _ = parts.password is not None, parts.port
    except ValueError:
        raise refused("expected an address such as postgresql://ringfence@db.lan/ringfence") from None
    if has_password:
        raise refused("a password does not stand in an address; give database.password; this one was not kept")
    if parts.scheme not in ("postgresql", "postgres") or len(parts.path) < 2 or not parts.username:
        raise refused("expected an address such as postgresql://ringfence@db.lan/ringfence")
    asked = dict(parse_qsl(parts.query))
    if unknown := sorted(asked.keys() - ASKED):
        raise refused(f"'{unknown[0]}' is not known; {', '.join(sorted(ASKED))} are")
    if asked.get("sslmode", "disable") not in MODES:
        raise refused(f"sslmode is one of {', '.join(MODES)}")
    return given


PostgresUrl = Annotated[Text, AfterValidator(_address), Field(examples=["postgresql://ringfence@db.lan/ringfence"])]


class DatabaseSettings(Section):
    """The database. One gateway uses it at a time."""

    url: PostgresUrl | None = setting(
        None,
        "restart",
        "A PostgreSQL, such as postgresql://ringfence@db.lan/ringfence; needs the extra postgres; null: SQLite, in the "
        "state folder.",
    )
    password: SecretRef | None = setting(
        None, "restart", "Its password: env:NAME, file:/path or credential:NAME; null: the server asks for none."
    )

    @model_validator(mode="after")
    def _is_for_something(self) -> DatabaseSettings:
        if self.password is not None and self.url is None:
            raise refused("a password without a database; give database.url", at="password")
        return self
