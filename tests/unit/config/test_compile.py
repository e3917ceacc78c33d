"""Profiles that lead beyond their boundary do not load, and the message names both."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid
from ringfence.core.boundary import Boundary
from ringfence.core.route import Ending, Exact, Tier

MODELS = """
mesh: [10.0.0.0/8]
models:
  here: {source: demo}
  near: {url: "http://10.0.0.7:8000", engine: vllm}
  named: {url: "http://gpu.lan:8000", engine: vllm}
  local: {url: "http://localhost:8000", engine: vllm}
"""


RENTED = 'providers:\n  cloud: {{url: "{}", api_key: "env:K", calls_per_day: 9, max_tokens: 9}}\n'


def problems(tmp_path: Path, text: str) -> str:
    file = tmp_path / "ringfence.yaml"
    file.write_text(MODELS + text)
    with pytest.raises(ConfigInvalid) as refused:
        load(file, {})
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "profiles:\n  private: {chain: [here, near]}\n",
            9,
            "profiles.private.chain[1]: profile 'private' stops at HOST, and model 'near' reaches MESH",
        ),
        ("profiles:\n  private: {chain: [named]}\n", 9, "model 'named' reaches MESH"),
        ("profiles:\n  client: {exact: {model: near}}\n", 9, "profiles.client.exact.model: profile 'client' stops at"),
        ("profiles:\n  p: {chain: [hear]}\n", 9, "there is no model 'hear'; did you mean 'near'?"),
        ("profiles:\n  lead: {tier: T4, delegates: [gone]}\n", 9, "there is no profile 'gone'"),
        ("profiles:\n  a: {tier: T4}\n  b: {tier: T4, delegates: [a]}\n", 10, "is of tier T4 itself"),
        ("agents:\n  coder: {profile: gone}\n", 9, "agents.coder.profile: there is no profile 'gone'"),
        ("tools:\n  search: {profile: gone}\n", 9, "tools.search.profile: there is no profile 'gone'"),
        ("profiles:\n  p: {tier: T1, boundary: cloud}\n", 9, "tier T1 never reaches a cloud"),
        ("profiles:\n  p: {tier: T2, delegates: [default]}\n", 9, "only a profile of tier T4"),
        ("profiles:\n  p: {exact: {model: here}, chain: [here]}\n", 9, "has no chain"),
        ('  far: {url: "http://8.8.8.8:80"}\n', 8, "models.far.url: 8.8.8.8 is a public address"),
        ('  far: {url: "http://8.8.8.8:80"}\n', 8, "a rented cloud goes under providers"),
        ('  far: {url: "http://192.168.0.9:80"}\n', 8, "192.168.0.9 is neither this machine nor in a network listed"),
        ('  far: {url: "http://169.254.1.1:80"}\n', 8, "nor in private address space"),
        (RENTED.format("https://127.0.0.1:99"), 9, "providers.cloud.url: 127.0.0.1 is no public address"),
        (RENTED.format("https://10.0.0.7/v1"), 9, "10.0.0.7 is no public address"),
        ('  far: {url: "https://api.cloud.example"}\n', 8, "a rented cloud, reached over https, goes under providers"),
        ("profiles:\n  p: {agents: [a]}\n", 9, "profiles.p.agents: unknown key; agents is a section of its own"),
        (
            "profiles:\n  p: {exact: {model: here, quantization: Q8_0}}\n",
            9,
            "profiles.p.exact.quantization: unknown key; did you mean 'quantisation'?",
        ),
        ("agents:\n  c: {}\n", 9, "agents.c.profile: an agent is bound to a profile; its name is needed here"),
        (
            'providers:\n  c: {url: "https://a.example", api_key: "env:K", max_tokens: 9}\n',
            9,
            "providers.c.calls_per_day: a provider needs calls_per_day and max_tokens, or it is not used",
        ),
        ('providers:\n  c: {calls_per_day: 9, max_tokens: 9, api_key: "env:K"}\n', 9, "url: needed here, and missing"),
        ("profiles:\n  p: {exact: {model: here, digest: XYZ}}\n", 9, "64 hexadecimal digits"),
        ("profiles:\n  p: {exact: {model: here, digest: XYZ}}\n", 9, "profiles.p.exact.digest"),
    ],
)
def test_what_does_not_load(tmp_path: Path, text: str, line: int, message: str) -> None:
    told = problems(tmp_path, text)
    assert message in told
    assert f"ringfence.yaml:{line}:" in told


def test_everything_that_lies_too_far_is_told_at_once(tmp_path: Path) -> None:
    text = '  far: {url: "http://8.8.8.8:80"}\nprofiles:\n  p: {chain: [near, hear]}\nagents: {a: {profile: gone}}\n'
    told = problems(tmp_path, text).splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "models.far.url", "profiles.p.chain[0]", "profiles.p.chain[1]", "agents.a.profile",
    ]  # fmt: skip
    assert [line.split(":")[1] for line in told] == ["8", "10", "10", "11"]
    assert "mesh" not in told[0]


def test_a_public_address_or_a_name_is_a_provider_s(tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    for url in ("https://8.8.8.8/v1", "https://api.cloud.example"):
        file.write_text(MODELS + RENTED.format(url))
        assert load(file, {}).providers["cloud"].url == url


def test_a_provider_s_key_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    rented = RENTED.format("https://api.cloud.example")
    file.write_text(MODELS + rented + rented.splitlines()[1].replace("cloud:", "other:").replace("env:K", "env:L"))
    assert len(load(file, {}).providers) == 2  # the gateway has none of these keys
    with pytest.raises(ConfigInvalid) as refused:
        load(file, {}, check_provider_keys=True)
    first, second = str(refused.value).splitlines()
    assert "ringfence.yaml:9:" in first
    assert "providers.cloud.api_key: environment variable K is not set" in first
    assert "providers.other.api_key: environment variable L is not set" in second
    assert load(file, {"K": "k", "L": "l"}, check_provider_keys=True).providers


def test_what_loads_and_what_it_means(tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text(
        MODELS + "profiles:\n"
        "  personal: {tier: T2, chain: [here, near]}\n"
        "  private: {boundary: mesh, chain: [near, local], ending: park}\n"
        "  client: {exact: {model: here, window: 4096}}\n"
        "  lead: {tier: T4, delegates: [personal]}\n"
    )
    profiles = {name: settings.profile(name) for name, settings in load(file, {}).profiles.items()}
    assert {name: (p.tier, p.boundary) for name, p in profiles.items()} == {
        "default": (Tier.SOVEREIGN, Boundary.HOST),
        "personal": (Tier.SPEED_OPTIONAL, Boundary.CLOUD),
        "private": (Tier.SOVEREIGN, Boundary.MESH),
        "client": (Tier.SOVEREIGN, Boundary.HOST),
        "lead": (Tier.COORDINATION, Boundary.HOST),
    }
    assert profiles["private"].ending is Ending.PARK
    assert profiles["client"].exact == Exact("here", window=4096)
