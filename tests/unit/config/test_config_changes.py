"""What differs between two configurations, and what is in force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ringfence.config.changes import Change, difference, scalar, show

BASE = "models:\n  a: {source: demo}\n"


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (BASE, []),
        (BASE + "# comment\nserver: {port: 7464}\n", []),
        (BASE + "server: {port: 1}\n", [Change("server.port", "restart")]),
        (BASE + "mesh: [10.0.0.0/8]\n", [Change("mesh", "drain")]),
        (BASE + "  b.c: {source: demo}\n", [Change('models."b.c"', "hot")]),
        (
            BASE + "profiles: {p: {}}\nlogging: {level: debug}\n",
            [Change("logging.level", "hot"), Change("profiles.p", "hot")],
        ),
        (
            BASE + "providers: {c: {url: 'https://c.example', api_key: 'env:K', calls_per_day: 1, max_tokens: 1}}\n"
            "agents: {x: {profile: default}}\ntools: {y: {profile: default}}\n",
            [Change("agents.x", "hot"), Change("providers.c", "hot"), Change("tools.y", "hot")],
        ),
        ("models:\n  a: {source: demo, window: 512}\n", [Change("models.a.window", "drain")]),
        ("models:\n  b: {source: demo}\n", [Change("models.a", "drain"), Change("models.b", "hot")]),
    ],
)
def test_difference_names_each_setting_and_how_it_takes_effect(read, text, changes):
    assert difference(read(BASE), read(text)) == changes


def test_show_reads_back_as_what_it_shows_with_origins(read):
    text = (
        "server: {port: 1, allowed_hosts: [box]}\ndiscovery: {ports: {ollama: [1, 2]}}\nmodels:\n"
        "  'no': {url: 'http://127.0.0.1:1', engine_model: 'a: #b', api_key: 'env:KEY', aliases: ['3.5', 'x:y']}\n"
    )
    config = read(text, {"KEY": "CANARY"}, overrides={"admission.queue": "9"})
    shown = show(config)
    assert "CANARY" not in shown
    by_line = {line.split(":")[0].strip(): line for line in shown.splitlines()}
    assert by_line["port"].endswith("# ringfence.yaml:1")
    assert by_line["queue"].endswith("# --set")
    assert by_line["wait_s"].endswith("# default")
    assert read(shown, {"KEY": "CANARY"}).model_dump() == config.model_dump()


@given(st.recursive(st.none() | st.booleans() | st.integers(-9999, 9999) | st.text(), st.lists, max_leaves=5))
def test_a_scalar_reads_back(value):
    assert YAML(typ="safe", pure=True).load(f"x: {scalar(value)}\n") == {"x": value}
