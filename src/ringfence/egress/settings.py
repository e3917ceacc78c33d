"""What the egress process is told when it starts: one line of JSON, read strictly. It alone ever holds the keys."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ringfence.core.boundary import Boundary, boundary_of
from ringfence.egress.caps import Cap

MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), with its closing zero
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"(/[A-Za-z0-9._~@:-]+)*/?")


class SettingsInvalid(Exception):
    """The line cannot be acted on. The text names the place, never a value."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `answer_s` bounds an answer that is not streamed, `call_s` any call from its first byte to its last."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    between_bytes_s: float = 60.0
    answer_s: float = 600.0
    call_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. `file` is where it stands, if in one: another one may stand there by now."""

    secret: str = field(repr=False)
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A rented cloud, with what its URL says."""

    name: str
    dialect: str
    host: str
    port: int
    is_tls: bool
    url: str
    keys: tuple[ApiKey, ...]
    cap: Cap
    batch: bool = False
    """Lines that nobody waits for may go there as a batch."""

    @property
    def authority(self) -> str:
        """As its Host header says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. `allow_insecure_loopback` is for tests: a cloud may be on loopback, with or without TLS."""

    socket: Path
    journal: Path
    providers: Mapping[str, Provider]
    parent_pid: int = 0
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_file: Path | None = None
    log_file: Path | None = None
    log_level: str = "INFO"
    allow_insecure_loopback: bool = False


def read_settings(line: str) -> Settings:
    """Raises SettingsInvalid."""
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise SettingsInvalid("the settings are not a JSON object")
    _only(row, {one.name for one in fields(Settings)}, "the settings")
    is_insecure_allowed = row.get("allow_insecure_loopback", False) is True
    socket = Path(_text(row, "socket"))
    if not socket.is_absolute() or len(str(socket).encode()) > MAX_SOCKET_PATH_BYTES:
        raise SettingsInvalid(
            f"the path of the socket must be absolute and {MAX_SOCKET_PATH_BYTES} bytes long at most; "
            "choose a shorter state folder"
        )
    listed = row.get("providers")
    if not isinstance(listed, list):
        raise SettingsInvalid("'providers' is not a list")
    providers = [_provider(one, allow_insecure=is_insecure_allowed) for one in listed]
    by_name = {provider.name: provider for provider in providers}
    if len(by_name) != len(providers):
        raise SettingsInvalid("two providers have one name")
    return Settings(
        socket=socket,
        journal=Path(_text(row, "journal")),
        providers=by_name,
        parent_pid=_count(row, "parent_pid", least=0) if "parent_pid" in row else 0,
        timeouts=_timeouts(row.get("timeouts", {})),
        ca_file=_path(row, "ca_file"),
        log_file=_path(row, "log_file"),
        log_level=_text(row, "log_level") if "log_level" in row else "INFO",
        allow_insecure_loopback=is_insecure_allowed,
    )


def _provider(row: Any, *, allow_insecure: bool) -> Provider:
    if not isinstance(row, dict):
        raise SettingsInvalid("a provider is not an object")
    _only(
        row, {"name", "dialect", "url", "key", "key_file", "keys", "calls_per_day", "max_tokens", "batch"}, "a provider"
    )
    name = _text(row, "name")
    if not _NAME.fullmatch(name):
        raise SettingsInvalid("the name of a provider holds other characters than letters, digits and ._-")
    keys = _keys(row, name)
    url = _text(row, "url")
    host, port, is_tls = _split(url, name, allow_insecure=allow_insecure)
    cap = Cap(_count(row, "calls_per_day"), _count(row, "max_tokens"))
    return Provider(name, _text(row, "dialect"), host, port, is_tls, url, keys, cap, row.get("batch") is True)


def _keys(row: Mapping[str, Any], name: str) -> tuple[ApiKey, ...]:
    """One, as `key`, or several."""
    if "keys" in row:
        listed: Any = row["keys"]
        if not isinstance(listed, list) or not listed or "key" in row or "key_file" in row:
            raise SettingsInvalid(f"'{name}' has either 'key', or 'keys' with at least one")
        given: list[Any] = listed
    else:
        given = [{part: row[part] for part in ("key", "key_file") if part in row}]
    keys: list[ApiKey] = []
    for one in given:
        if not isinstance(one, dict):
            raise SettingsInvalid(f"a key of '{name}' is not an object")
        _only(one, {"key", "key_file"}, "a key")
        key = ApiKey(_text(one, "key"), _path(one, "key_file"))
        if not _SENDABLE.fullmatch(key.secret):
            raise SettingsInvalid(f"the key of '{name}' holds characters that cannot be sent in a header")
        keys.append(key)
    return tuple(keys)


def _split(url: str, name: str, *, allow_insecure: bool) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SettingsInvalid(f"the url of '{name}' cannot be read") from None
    if parts.username or parts.password or parts.query or parts.fragment or not _SENDABLE.fullmatch(host):
        raise SettingsInvalid(f"the url of '{name}' holds more, or less, than a host, a port and a path")
    if not _PATH.fullmatch(parts.path):
        raise SettingsInvalid(f"the path of the url of '{name}' cannot be used")
    if parts.scheme == "http" and not (allow_insecure and loopback_of(host)):
        raise SettingsInvalid(f"the url of '{name}' must begin with https://")
    if parts.scheme not in ("http", "https"):
        raise SettingsInvalid(f"the url of '{name}' must begin with https://")
    is_tls = parts.scheme == "https"
    return host, port or (443 if is_tls else 80), is_tls


def loopback_of(host: str) -> str | None:
    """The address, for a literal loopback address or the name that RFC 6761 keeps for one; None for any other."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return host if boundary_of(host) is Boundary.HOST else None
    except ValueError:
        return None


def _timeouts(row: Any) -> Timeouts:
    known = {one.name for one in fields(Timeouts)}
    if not isinstance(row, dict):
        raise SettingsInvalid("'timeouts' is not an object")
    _only(row, known, "'timeouts'")
    for name, value in row.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise SettingsInvalid(f"'{name}' is not a number of seconds above zero")
    return Timeouts(**row)


def _only(row: Mapping[Any, Any], known: set[str], place: str) -> None:
    """Strict: a cap that is spelt wrong must not be a cap that is not there."""
    if unknown := row.keys() - known:
        raise SettingsInvalid(f"unknown in {place}: {', '.join(sorted(map(str, unknown)))}")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise SettingsInvalid(f"'{name}' is not a text")
    return value


def _count(row: Mapping[str, Any], name: str, least: int = 1) -> int:
    value = row.get(name)
    if type(value) is not int or value < least:
        raise SettingsInvalid(f"'{name}' is not a whole number of {least} or more")
    return value


def _path(row: Mapping[str, Any], name: str) -> Path | None:
    return Path(_text(row, name)) if row.get(name) is not None else None
