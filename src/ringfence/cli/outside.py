"""The way out as the command line starts it: it reads the providers' keys and hands them to the egress process alone.

Loads nothing heavy before the settings name a provider.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.settings import names_providers
from ringfence.egress.child import EgressNotStarted, EgressProcess

if TYPE_CHECKING:
    from ringfence.config.schema import Config
    from ringfence.config.secret import SecretRef


PLACES = ("socket", "journal", "log_file")


class Outside:
    """The egress process of one `ringfence up`: there as long as the configuration names providers."""

    def __init__(self, path: Path | None, overrides: Mapping[str, str], tell: Callable[[str], None]) -> None:
        """`tell` gets a line for people when the process ended unasked."""
        self._path = path
        self._overrides = overrides
        self._tell = tell
        self._settings: dict[str, Any] | None = None
        self._places: dict[str, Any] = {}
        self._process: EgressProcess | None = None
        self._read_at = _changed_at(path)
        self.renewed: list[str] = []
        """Providers that the last change gave another key, behind the reference that they had before."""

    def prepare(self) -> None:
        """Read what is configured. Raises ConfigError for a key that cannot be read, and StoreFailed.

        What is wrong with the configuration beyond that, the gateway says.
        """
        from ringfence.config.problems import ConfigInvalid

        try:
            config = self._configured()
        except ConfigInvalid:
            return
        if config is not None:
            self._settings = self._in_place(egress_settings(config))
            self._process = EgressProcess(self._settings, tell=self._tell)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the process, where it runs."""
        pid = self._process.pid if self._process is not None else None
        return (pid,) if pid is not None else ()

    def start(self) -> None:
        """Raises EgressNotStarted."""
        if self._process is not None:
            self._process.start()

    def stop(self) -> None:
        """May be called twice, and from another thread."""
        if self._process is not None:
            self._process.stop()

    def asked(self, what: str) -> str:
        """What the gateway wants to know before it changes its providers, or wants done: what is in the way, if
        anything."""
        from ringfence.config.problems import ConfigError
        from ringfence.store.failure import StoreFailed

        self.renewed = []
        try:
            self._read_at = _changed_at(self._path)
            config = self._configured()
            settings = self._in_place(egress_settings(config)) if config is not None else None
            if what == "change":
                self._change(settings)
        except EgressNotStarted as error:
            return f"the egress process: {error}"
        except (ConfigError, StoreFailed) as error:
            return str(error)
        return ""

    def catch_up(self) -> str:
        """Before another life of the gateway, which reads the configuration anew: what is in the way, if anything."""
        return self.asked("change") if _changed_at(self._path) != self._read_at else ""

    def _change(self, settings: dict[str, Any] | None) -> None:
        if settings == self._settings:
            return
        process = self._process
        if settings is None:
            self.stop()
            self._process = None
        elif process is not None:
            process.change(settings)
        else:
            self._process = EgressProcess(settings, tell=self._tell)
            try:
                self._process.start()
            except EgressNotStarted:
                self._process = None
                raise
        self.renewed = _other_keys(self._settings, settings)
        self._settings = settings

    def _in_place(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Where it listens and writes stays as it was first told: another state folder is for the next start."""
        self._places = self._places or {name: settings[name] for name in PLACES}
        return settings | self._places

    def _configured(self) -> Config | None:
        """The configuration when it names providers. ConfigError."""
        if not names_providers(self._path, self._overrides):
            return None
        from ringfence.config.load import load

        config = load(self._path, overrides=self._overrides, check_secrets=False)
        return config if config.providers else None


def _other_keys(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    before = {provider["name"]: provider["keys"] for provider in (old or {}).get("providers", ())}
    after = {provider["name"]: provider["keys"] for provider in (new or {}).get("providers", ())}
    return [name for name, keys in after.items() if before.get(name, keys) != keys]


def run_alone(path: Path | None, overrides: Mapping[str, str], tell: Callable[[dict[str, Any]], None]) -> int:
    """The egress process in this very process, until a signal ends it; the exit status. SIGHUP: other providers."""
    import asyncio

    from ringfence.config.load import load
    from ringfence.config.problems import ConfigError, ConfigInvalid
    from ringfence.egress.process import Change, run
    from ringfence.egress.settings import Settings, SettingsInvalid, read_settings
    from ringfence.store.failure import StoreFailed

    def read() -> Settings:
        try:
            config = load(path, overrides=overrides, check_secrets=False)
            row = egress_settings(config) | {"log_file": None, "log_level": config.logging.level}
        except ConfigInvalid as invalid:
            raise SettingsInvalid("; ".join(str(problem) for problem in invalid.problems)) from None
        except (ConfigError, StoreFailed) as error:
            raise SettingsInvalid(str(error)) from None
        return read_settings(json.dumps(row))

    def on_hangup(change: Change) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, change, read)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to change
    try:
        settings = read()
    except SettingsInvalid as error:
        tell({"failed": str(error)})
        return 2
    if not settings.providers:
        tell({"failed": "the configuration names no providers: nothing is to leave, so no egress process is needed"})
        return 2
    return run(settings, tell, on_hangup)


def egress_settings(config: Config) -> dict[str, Any]:
    """What the egress process is told. Raises ConfigInvalid with every key that cannot be read."""
    from ringfence.config.load import unreadable_provider_keys
    from ringfence.config.problems import ConfigInvalid
    from ringfence.config.schema import state_dir
    from ringfence.runtime.instances import egress_socket
    from ringfence.store.private_file import make_private_folder, refuse_writable

    if problems := unreadable_provider_keys(config):
        raise ConfigInvalid(problems)
    folder = state_dir(config)
    socket = egress_socket(folder)
    make_private_folder(folder)
    refuse_writable(folder)
    make_private_folder(socket.parent)
    return {
        "socket": str(socket),
        "journal": str(folder / "journal"),
        "log_file": str(socket.parent / "egress.log"),
        "providers": [
            {
                "name": name, "dialect": provider.dialect, "url": provider.url,
                "keys": [{"key": key.resolve(os.environ), **_file_of_key(key)} for key in provider.keys],
                "calls_per_day": provider.calls_per_day, "max_tokens": provider.max_tokens, "batch": provider.batch,
            }
            for name, provider in config.providers.items()
        ],
    }  # fmt: skip


def _file_of_key(key: SecretRef) -> dict[str, str]:
    """The egress process may read it again when the key is refused. A credential of systemd stays as it was."""
    kind, _, name = key.reference.partition(":")
    return {"key_file": name} if kind == "file" else {}


def _changed_at(path: Path | None) -> tuple[int, int, int]:
    """Differs once the file is another one."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else (0, 0, 0)
