"""Every refusal: its file, line, column, words and suggestion."""

# ruff: noqa: E501 - the table reads best with one case per line
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from ringfence.config.changes import scalar
from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid

REFUSALS = [
    ("models:\n  demo:\n    windw: 3\n", "3:5: models.demo.windw: unknown key; did you mean 'window'?"),
    ("servr:\n", "1:1: servr: unknown key; did you mean 'server'?"),
    ("port: 1\n", "1:1: port: unknown key; did you mean 'server.port'?"),
    ("zzzzzz: 1\n", "1:1: zzzzzz: unknown key"),
    ("server:\n  max-body-bytes: 1\n", "2:3: server.max-body-bytes: unknown key; did you mean 'max_body_bytes'?"),
    ("profiles:\n  p:\n    bondary: host\n", "3:5: profiles.p.bondary: unknown key; did you mean 'boundary'?"),
    ("server:\n  port: '80'\n", "2:3: server.port: expected a whole number, given the text '80'; did you mean '80'?"),
    ("server:\n  port: true\n", "2:3: server.port: expected a whole number, given true"),
    ("server:\n  port: 1.5\n", "2:3: server.port: expected a whole number, given 1.5"),
    ("server:\n  port: 70000\n", "2:3: server.port: must be at most 65535, given 70000"),
    (f"profiles:\n  {'p' * 101}: {{boundary: host}}\n", f"2:3: profiles.{'p' * 101}: must be text of at most this many characters: 100, given 101"),
    (f"agents:\n  {'a' * 101}: {{profile: default}}\n", f"2:3: agents.{'a' * 101}: must be text of at most this many characters: 100, given 101"),
    ("server: 3\n", "1:1: server: expected a mapping of settings, given 3"),
    ("server: [1]\n", "1:1: server: expected a mapping of settings, given a list"),
    ("server: text\n", "1:1: server: expected a mapping of settings, given text"),
    ("mesh: 10.0.0.0/8\n", "1:1: mesh: expected a list, given text"),
    ("models: []\n", "1:1: models: expected a mapping, given a list"),
    ("discovery:\n  adopt: yes\n", "2:3: discovery.adopt: expected true or false, given the text 'yes'; did you mean 'true'?"),
    ("logging:\n  level: inf\n", "2:3: logging.level: expected 'debug', 'info', 'warning' or 'error', given the text 'inf'; did you mean 'info'?"),
    ("server:\n  keys: of\n", "2:3: server.keys: expected 'required' or 'off', given the text 'of'; did you mean 'off'?"),
    ("timeouts:\n  connect_s: -1\n", "2:3: timeouts.connect_s: must be more than 0, given -1"),
    ("timeouts:\n  connect_s: .nan\n", "2:3: timeouts.connect_s: expected a finite number, given nan"),
    ("timeouts:\n  connect_s: -.inf\n", "2:3: timeouts.connect_s: expected a finite number, given -inf"),
    ("timeouts:\n  connect_s: 1e400\n", "2:3: timeouts.connect_s: expected a finite number, given inf"),
    (f"server:\n  port: {'9' * 5000}\n", "2:3: server.port: not a usable whole number"),
    ("server:\n  port: null\n", "2:3: server.port: expected a whole number, given nothing"),
    ("server:\n  host: 0.0.0.0\n  keys: 'off'\n", "3:3: server.keys: listening beyond loopback without keys is refused"),
    ("server:\n  keys: off\n  host: '::ffff:10.0.0.1'\n", "2:3: server.keys: listening beyond loopback without keys is refused"),
    ("server:\n  keys: off\n  host: box.example\n", "2:3: server.keys: listening beyond loopback without keys is refused"),
    ("server:\n  host: '127.1'\n", "2:3: server.host: expected an IP address or a host name, without port"),
    ("server:\n  allowed_hosts: ['*']\n", "2:19: server.allowed_hosts[0]: expected a host name or an IP address, without scheme, port or '*'"),
    ("server:\n  max_body_bytes: 5 apples\n", "2:3: server.max_body_bytes: expected bytes as a number or with a unit, such as 32MiB or 16 GB"),
    ("server:\n  max_body_bytes: 200MiB\n", "1:1: server.body_memory_bytes: must hold at least one body of max_body_bytes"),
    ("server:\n  port: 1\n  port: 2\n", "3:3: server.port: written twice: in line 2 and in line 3"),
    ("models:\n  demo:\n    source: demo\n  demo:\n    source: demo\n", "4:3: models.demo: written twice: in line 2 and in line 4"),
    ("models:\n  a:\n    source: demo\n  b:\n    source: demo\n    aliases: [c, a]\n", "6:18: models.b.aliases[1]: the alias 'a' is already the model 'a'"),
    ("models:\n  a:\n    source: demo\n    aliases: [x]\n  b:\n    source: demo\n    aliases: [x]\n", "7:15: models.b.aliases[0]: the alias 'x' is already an alias of 'a'"),
    ("models:\n  a/:\n    source: demo\n", "2:3: models.a/: a model is named by 1 to 128 of A-Z a-z 0-9 . _ : / - and neither begins nor ends with '/'"),
    ("models:\n  a: {}\n", "2:3: models.a: a model has exactly one of source, url, urls, provider; none is here"),
    ("models:\n  a: {source: demo, url: 'http://127.0.0.1:1'}\n", "2:3: models.a: a model has exactly one of source, url, urls, provider; source and url are here"),
    ("models:\n  a: {source: demo, engine_model: x}\n", "2:21: models.a.engine_model: goes with url only"),
    ("models:\n  a: {threads: 2, url: 'http://127.0.0.1:1'}\n", "2:7: models.a.threads: goes with source only"),
    ("models:\n  a: {source: model.bin}\n", "2:7: models.a.source: expected 'demo', the path of a .gguf file, or hf:owner/repo[:quant or file]"),
    ("models:\n  a: {source: 'hf:repo'}\n", "2:7: models.a.source: expected hf:owner/repo, hf:owner/repo:QUANT or hf:owner/repo:FILE.gguf"),
    ("models:\n  a: {url: 'https://h:1'}\n", "2:7: models.a.url: engines are reached over http, on this machine or your own network; a rented cloud, reached over https, goes under providers"),
    ("models:\n  a: {url: 'http://h'}\n", "2:7: models.a.url: the port is missing: expected http://ADDRESS:PORT, such as http://127.0.0.1:8000"),
    ("models:\n  a: {url: 'http://h:99999'}\n", "2:7: models.a.url: expected http://ADDRESS:PORT, such as http://127.0.0.1:8000"),
    ("models:\n  a: {url: 'http://h:1/x?y=1'}\n", "2:7: models.a.url: a url may end in a path such as /engine, and in nothing else"),
    ("mesh:\n  - 10.0.0.1/8\n", "2:5: mesh[0]: '10.0.0.1/8' is an address with a mask, not a network; write 10.0.0.0/8"),
    ("mesh: [127.0.0.0/8]\n", "1:8: mesh[0]: loopback is this machine already; list only networks of other machines of yours"),
    ("mesh: [x]\n", "1:8: mesh[0]: expected a network such as 10.0.0.0/8 or fd00::/8"),
    ("server:\n\tport: 1\n", "2:1: a tab where YAML wants spaces; indent with spaces"),
    ("rules:\n  - {name: a, when: {effort: >6}}\n", "2:30: not valid YAML: a comparison stands in quotes, such as \">6\""),
    ("server:\n  port: [1\n", "3:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ("server: a: b\n", "1:10: not valid YAML: a second ':' on this line, or wrong indentation; quote text that holds ': '"),
    ("mesh: *nowhere\n", "1:7: not valid YAML: found undefined alias 'nowhere'"),
    ("mesh: []\n---\nmesh: []\n", "2:1: a second document ('---') begins here; a configuration is one document"),
    ("- a\n", "expected settings, such as 'server:', at the top of the file"),
    ("mesh: !!python/object:os.system []\n", "1:1: mesh: the tag !!python/object:os.system is not allowed here"),
    ("? [a]\n: 1\n", "1:3: a key must be text"),
    (b"server:\n  host: \xff\n", "2:9: not UTF-8 text"),
    ("server:\n  host: \x01\n", "2:9: a character that YAML does not allow"),
    ('logging:\n  file: "\\uD800"\n', "2:3: logging.file: half of a character (a lone surrogate)"),
    ("mesh: &a [*a]\n", "1:7: mesh[0]: an alias (*name) refers to something that it is part of"),
    ("mesh: &a []\nmodels: &a {}\n", "2:9: an anchor (&name) is defined twice"),
    ("[" * 3000, "nested too deeply"),
    (b" " * (1024 * 1024 + 1), "larger than 1 MiB; this is not a configuration"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REFUSALS, ids=[line[:60] for _, line in REFUSALS])
def test_refusal_names_place_fault_and_mend(refused, text, expected):
    sep = ":" if expected[0].isdigit() else ": "
    assert f"ringfence.yaml{sep}{expected}" in [str(problem) for problem in refused(text)]


def test_all_problems_are_told_at_once_in_order_of_place(refused):
    text = "server:\n  prot: 1\n  port: x\nmesh: [8.8.8.0/24]\nmodels:\n  a: {}\n  a: {}\nlogging:\n  level: loud\n"
    found = refused(text)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert {problem.path for problem in found} == {
        "server.prot", "server.port", "mesh[0]", "models.a", "logging.level",
    }  # fmt: skip


def test_a_wrong_type_of_models_is_told_beside_other_problems(refused):
    assert {problem.path for problem in refused("models: 3\nprot: 1\n")} == {"models", "prot"}


def test_a_clash_of_names_is_told_once(refused):
    (problem,) = refused("models:\n  a: {source: demo}\n  b: {source: demo, aliases: [a]}\n")
    assert problem.path == "models.b.aliases[0]"


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "8.8.8.0/24", "10.0.0.0/7", "169.254.0.0/16", "100.0.0.0/8", "2001:db8::/32"]
)
def test_mesh_refuses_whatever_holds_public_addresses(refused, network):
    (problem,) = refused(f"mesh: ['{network}']\n")
    assert problem.path == "mesh[0]"
    assert f"{network} is not private address space" in problem.message


def test_aliases_that_expand_too_far_are_refused_quickly(refused):
    layers = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
    )
    (problem,) = refused(layers)
    assert problem.message == "its aliases expand to more than 10,000 nodes"


def test_merged_keys_can_be_overridden_and_keep_their_places(read, refused):
    text = "models:\n  a: &a\n    source: demo\n    parallel: {}\n  b:\n    <<: *a\n    window: 512\n"
    config = read(text.replace("{}", "2"))
    assert (config.models["b"].parallel, config.models["b"].window) == (2, 512)
    assert read(text.replace("{}", "2").replace("window: 512", "parallel: 7")).models["b"].parallel == 7
    found = refused(text.replace("{}", "x"))
    assert [(problem.path, problem.line) for problem in found] == [("models.a.parallel", 4), ("models.b.parallel", 4)]


@pytest.mark.parametrize(
    "text",
    [
        "models:\n  a: {url: 'http://127.0.0.1:1', api_key: CANARY}\n",
        "models:\n  a: {url: 'http://127.0.0.1:1', api_key: [CANARY]}\n",
        "models:\n  a: {url: 'http://127.0.0.1:1', api_key: {k: CANARY}}\n",
        "models:\n  a: {url: 'http://127.0.0.1:1', api_key: 'env:CANARY-4-x'}\n",
        "models:\n  a: {url: 'http://user:CANARY@127.0.0.1:1'}\n",
        "models:\n  a: {url: 'http://127.0.0.1:CANARY'}\n",
        "models:\n  a: CANARY\n",
        "models:\n  a: {url: 'http://127.0.0.1:1', api_kye: CANARY}\n",
        "models:\n  a: {url: &x 'http://127.0.0.1:1', api_key: &x CANARY}\n",
        "models:\n  a: {url: 'http://127.0.0.1:1', api_key: CANARY: b}\n",
    ],
)
def test_no_refusal_repeats_a_secret(refused, text):
    found = refused(text, {})
    assert found
    assert "CANARY" not in str([problem.as_dict() for problem in found])


def test_unknown_engine_kinds_are_told_with_the_nearest(refused, read):
    text = "discovery:\n  ports: {olama: [1]}\nmodels:\n  a:\n    source: demo\n    engine: lamacpp\n"
    found = refused(text, kinds={"llamacpp", "ollama"})
    assert [(problem.line, problem.path, problem.suggestion) for problem in found] == [
        (2, "discovery.ports.olama", "ollama"),
        (6, "models.a.engine", "llamacpp"),
    ]
    assert "unknown engine kind 'lamacpp'; known are llamacpp, ollama" in found[1].message
    assert read(text).models["a"].engine == "lamacpp"


@pytest.mark.parametrize("name", ["vllm", "vllm-8000", "vllm/a", "a/b"])
def test_a_provider_is_not_named_as_engines_are(refused, read, name):
    text = f"""providers:
  {name}: {{url: https://a.example, api_key: env:K, calls_per_day: 1, max_tokens: 1}}
"""
    (problem,) = refused(text, kinds={"vllm", "llamacpp"})
    assert (problem.line, problem.path) == (2, f"providers.{name}")
    assert "vllm" not in name or "vllm" in problem.message
    assert list(read(text.replace(name, "vllm-cloud"), kinds={"vllm"}).providers) == ["vllm-cloud"]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@rules(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(words.map(lambda key: f"{key}?"), plain, min_size=1, max_size=5))
def test_unknown_keys_are_refused_and_never_crash(tmp_path, unknown):
    file = tmp_path / "ringfence.yaml"
    file.write_bytes(scalar({**unknown, "server": {**unknown}}).encode())
    with pytest.raises(ConfigInvalid) as caught:
        load(file, {})
    assert any("unknown key" in problem.message for problem in caught.value.problems)


@rules(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@` \n\t<?,0.", max_size=60).map(str.encode))
def test_any_bytes_load_or_are_refused(tmp_path, content):
    file = tmp_path / "ringfence.yaml"
    file.write_bytes(content)
    try:
        load(file, {})
    except ConfigInvalid as error:
        assert error.problems
