"""What a reload leaves alone: settings that take a restart."""

from __future__ import annotations

import pytest

from ringfence.config.changes import difference, settings
from ringfence.config.load import load
from ringfence.config.problems import ConfigError
from ringfence.config.schema import Config
from ringfence.runtime.settings import until_restart


def _config(**overrides: str) -> Config:
    return load(None, {}, {name.replace("__", "."): text for name, text in overrides.items()})


def test_these_and_no_others_take_a_restart() -> None:
    """A new one needs a place in `until_restart`."""
    found = {setting.path for setting in settings(Config()) if setting.reload == "restart"}
    assert found == {("server", "host"), ("server", "port"), ("state_dir",), ("money", "zone"), ("database", "url"),
                     ("database", "password")}  # fmt: skip


def test_they_stay_as_they_are_and_are_told_again() -> None:
    running = _config(server__port="0")
    fresh = _config(server__port="9", server__host="127.0.0.2", state_dir="/x", admission__queue="3",
                    money__zone="Asia/Tokyo", money__house__month="7")  # fmt: skip
    in_force = until_restart(fresh, running)
    assert (in_force.server.host, in_force.server.port, in_force.state_dir) == ("127.0.0.1", 0, None)
    assert in_force.admission.queue == 3
    assert (in_force.money.zone, in_force.money.house.month) == ("UTC", 7)
    told = {change.path: change.reload for change in difference(in_force, fresh)}
    assert told == {"server.host": "restart", "server.port": "restart", "state_dir": "restart", "money.zone": "restart"}


def test_keys_are_not_switched_off_while_others_can_reach_it() -> None:
    running = _config(server__host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"still listens on 0\.0\.0\.0"):
        until_restart(_config(server__keys="off"), running)
    assert until_restart(_config(server__keys="off"), _config()).server.keys == "off"
