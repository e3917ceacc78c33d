"""Rules and chains are checked when they are loaded: what is wrong is told with its line."""

# ruff: noqa: E501 - the table reads best with one case per line
from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.config.changes import difference, show
from ringfence.config.conditions import NAMES, parse
from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid
from ringfence.config.regions import contradictions, unreachable
from ringfence.config.routing import ALIASES, default_rules
from ringfence.config.schema import Config
from ringfence.runtime.settings import ruleset

MODELS = """\
discovery: {adopt: false}
providers: {rented: {url: "https://api.example.com/v1", api_key: "env:K", calls_per_day: 1, max_tokens: 9}}
models:
  small: {url: "http://127.0.0.1:1", aliases: [local/fast]}
  large: {provider: rented, aliases: [cloud/frontier]}
"""
"""Five lines; what is tested begins in the sixth."""


def written(folder: Path, text: str) -> Path:
    file = folder / "ringfence.yaml"
    file.write_text(MODELS + text)
    return file


def loaded(folder: Path, text: str) -> Config:
    return load(written(folder, text), {})


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("rules:\n  - {name: a, use: [smal]}\n", 7, "there is no model, alias or chain 'smal'; did you mean 'small'?"),
        ("rules:\n  - {name: a, when: {effort: '>10'}, use: [small]}\n", 7, "it means; effort goes from 0 to 10"),
        ("rules:\n  - {name: a, use: [cloud/mid]}\n", 7, "no model has the alias 'cloud/mid'"),
        ("rules:\n  - {name: a, use: []}\n", 7, "a rule needs something to use"),
        ("rules:\n  - {name: a}\n", 7, "needed here, and missing"),
        ("rules:\n  - name: a\n    use: [small]\n    els: queue\n", 9, "unknown key; did you mean 'else'?"),
        ("rules:\n  - name: a\n    use: [small]\n    else: wait\n", 9, "expected 'error', 'queue' or 'next'"),
        ("rules:\n  - name: a\n    when:\n      efort: 3\n    use: [small]\n", 9, "no such signal; did you mean 'effort'?"),
        ("rules:\n  - name: a\n    when:\n      effort: '>3 <2'\n    use: [small]\n", 9, "contradicts itself"),
        ("rules:\n  - name: a\n    when:\n      effort: '>10'\n    use: [small]\n", 9, "contradicts itself"),
        ("rules:\n  - name: a\n    when:\n      task: []\n    use: [small]\n", 9, "contradicts itself"),
        ("rules:\n  - {name: a, use: [small]}\n  - {name: b, use: [large]}\n", 8, "is never reached: 'a' takes all"),
        (
            "rules:\n  - {name: a, when: {effort: '<5'}, use: [small]}\n  - {name: b, when: {effort: '>=5'}, use: [small]}\n"
            "  - {name: c, when: {task: code}, use: [small]}\n",
            9, "is never reached: 'a', 'b' take all that it would match",
        ),
        ("rules:\n  - {name: a, when: {tools: true}, use: [small]}\n  - {name: a, use: [small]}\n", 8, "a rule 'a' already"),
        ("rules:\n  - {name: a, when: {caller: {profile: defalt}}, use: [small]}\n", 7, "did you mean 'default'?"),
        ("rules:\n  - {name: a, when: {caller: {agent: x}}, use: [small]}\n", 7, "there is no agent 'x'"),
        ("rules:\n  - {name: a, use: [large]}\n", 6, "no rule can serve profile 'default': it stops at HOST"),
        (
            "profiles:\n  mine: {boundary: host}\nrules:\n  - {name: a, when: {caller: {profile: default}}, use: [small]}\n",
            7, "no rule can serve profile 'mine': none is for its calls",
        ),
        ("chains:\n  ways: {models: [smal]}\n", 7, "did you mean 'small'?"),
        ("chains:\n  ways: {models: []}\n", 7, "a chain needs a model"),
        ("chains:\n  small: {models: [large]}\n", 7, "is a model's name or an alias already"),
        ("chains:\n  local/long: {models: [large]}\n", 7, "is a model's name or an alias already"),
        ("chains:\n  a: {models: [small, b]}\n  b: {models: [c]}\n  c: {models: [a]}\n", 7, "leads back to itself: a → b → c → a"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        load(written(tmp_path, text), {})
    found = [(problem.line, str(problem)) for problem in refused.value.problems]
    assert any(at == line and told in words for at, words in found), found


@pytest.mark.parametrize(
    "text",
    [
        "rules: []\n",
        "rules:\n  - {name: a, use: [local/quality, cloud/frontier]}\n",
        "rules:\n  - {name: a, when: {tools: true}, use: [large], else: next}\n  - {name: b, use: [small]}\n",
        "rules:\n  - {name: a, use: [large], else: next}\n  - {name: b, use: [small]}\n",
        "profiles:\n  default: {chain: [small]}\nrules:\n  - {name: a, use: [large]}\n",
        "rules:\n  - {name: a, when: {model: '*', tools: true}, use: [small]}\n  - {name: b, when: {model: small}, use: [small]}\n"
        "  - {name: c, use: [small]}\n",
        "chains:\n  a: {models: [b, small], else: queue}\n  b: {models: [large]}\nrules:\n  - {name: x, use: [a]}\n",
    ],
)
def test_what_is_right(tmp_path: Path, text: str) -> None:
    loaded(tmp_path, text)


def test_a_change_of_rules_and_chains_takes_effect_at_once(tmp_path: Path) -> None:
    old = loaded(tmp_path, "chains:\n  ways: {models: [small]}\nrules:\n  - {name: a, use: [small]}\n")
    new = loaded(tmp_path, "chains:\n  ways: {models: [small], else: queue}\nrules:\n  - {name: b, use: [ways]}\n")
    changes = {change.path: change.reload for change in difference(old, new)}
    assert changes == {"chains.ways.else": "hot", "rules": "hot"}
    shown = show(new)
    assert "[{name: b, when: {}, use: [ways], else: error}]" in shown
    assert f"{tmp_path / 'ringfence.yaml'}:7" in next(line for line in shown.splitlines() if "else: queue" in line)


def test_a_rule_ends_as_its_last_chain_does(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "chains:\n  ways: {models: [small], else: queue}\nrules:\n  - {name: a, when: {tools: true}, use: [ways]}\n"
        "  - {name: b, use: [ways, small]}\n",
    )
    assert [rule.ending for rule in ruleset(config).rules] == ["queue", "error"]


def test_the_default_rules_are_short_and_each_is_reached() -> None:
    rules = default_rules()
    conditions = [rule.conditions for rule in rules]
    assert unreachable(conditions, [rule.ending != "next" for rule in rules]) == {}
    assert [found for one in conditions for found in contradictions(one)] == []
    assert len({rule.name for rule in rules}) == len(rules)
    assert {name for rule in rules for name in rule.use} <= set(ALIASES)
    assert rules[-1].when == {}, "there is always one that matches"
    root = Path(__file__).resolve().parents[3]
    text = (root / "src/ringfence/routing/default_rules.yaml").read_text()
    assert len(text.splitlines()) <= 40
    assert text in (root / "docs/routing.md").read_text(), "the page shows all of them"


def test_without_rules_the_default_ones_hold() -> None:
    rules = ruleset(Config())
    assert [rule.name for rule in rules.rules] == [rule.name for rule in default_rules()]
    assert rules.names == {"auto"}
    assert all(list(parse(name, given)) for rule in default_rules() for name, given in rule.when.items())
    assert {name for rule in default_rules() for name in rule.when} <= set(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "rules:\n  - {name: a, use: [smal]}\n",
        "rules:\n  - {name: a, use: [one]}\nchains:\n  one: {models: [one]}\n",
        "rules:\n  - {name: a, when: {caller: {profile: defalt}}, use: [small]}\n",
    ],
)
def test_a_mistyped_name_is_told_alone_and_not_as_a_profile_that_nothing_serves(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        loaded(tmp_path, text)
    assert len(refused.value.problems) == 1
    assert "no rule can serve" not in str(refused.value.problems[0])
