"""Sizing a model of a hub: a server on loopback that fails the test when it is asked for more than headers."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, HubAnswers

from ringfence.engines.gguf_header import facts_in
from ringfence.placement.hub_headers import model_on_hub
from ringfence.placement.hub_pick import HubError, from_url
from ringfence.placement.sizing.architecture import NotSized
from ringfence.placement.sizing.read import read_model
from ringfence.placement.sizing.weights import Weights
from ringfence.testing.made_models import made_model

FIRST_PIECE = 64 * 1024
CONFIG = (Path(__file__).parent / "sizing/configs/llama-3.1-8b.json").read_bytes()


class Hub(FakeHub):
    """`files` are (bytes at the begin, whole size); what lies behind the bytes is weights, which nobody may ask for.

    A GGUF file does not tell how long its header is: there the piece that holds its end may be asked for.
    """

    def __init__(self) -> None:
        super().__init__(Answers)
        self.files: dict[str, tuple[bytes, int]] = {}
        self.asked_too_much: list[str] = []
        self.sent: dict[str, int] = {}
        self.sends_parts = True
        self.failures = 0


class Answers(HubAnswers):
    server: Hub  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

    def listed(self) -> list[dict[str, Any]]:
        return [{"rfilename": name, "size": size} for name, (_, size) in self.server.files.items()]

    def send_file(self, name: str) -> None:
        known, size = self.server.files[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if self.server.failures:
            self.server.failures -= 1
            return self.say(503, b"")
        if wanted is None or not self.server.sends_parts:
            if wanted is None:
                self.server.asked_too_much.append(f"all of {name}")
            return self.say(200, known)
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, size)
        spare = max(FIRST_PIECE, len(known)) if name.endswith(".gguf") else 0
        if start >= len(known) or end > len(known) + spare:
            self.server.asked_too_much.append(f"{start} to {end} of {name}, whose header has {len(known)}")
        self.server.sent[name] = self.server.sent.get(name, 0) + end - start
        return self.say(206, known[start:end] + bytes(max(0, end - max(start, len(known)))))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    with server.serving(monkeypatch):
        yield server
    assert server.asked_too_much == []


def safetensors(**sizes: int) -> tuple[bytes, int]:
    """The header of a file with tensors of so many bytes, and the size of all of it."""
    header, at = {}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, 8 + len(text) + at


def gguf_file(path: Path, vocabulary: int) -> tuple[bytes, int]:
    """The header of a real file, and the size of all of it."""
    own = {
        "block_count": 2, "embedding_length": 256, "context_length": 4096, "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }  # fmt: skip
    names = {"attn_q": 256, "attn_k": 128, "attn_v": 128, "attn_output": 256, "ffn_up": 8192}
    shapes = {f"blk.{layer}.{name}.weight": (rows, 256) for layer in (0, 1) for name, rows in names.items()}
    made_model(path, "llama", own, {"token_embd.weight": (vocabulary, 256)} | shapes, vocabulary=vocabulary)
    with path.open("rb") as file:
        end = facts_in(file)[1]
    content = path.read_bytes()
    return content[:end], len(content)


@pytest.mark.parametrize("vocabulary", [700, 60_000])
def test_a_gguf_file_is_sized_from_its_header(server: Hub, tmp_path: Path, vocabulary: int) -> None:
    path = tmp_path / "m-Q8_0.gguf"
    server.files = {path.name: gguf_file(path, vocabulary)}
    found = model_on_hub("hf:owner/repo", None)
    here = read_model(path)
    assert (found.architecture, found.weights, found.widths) == (here.architecture, here.weights, here.widths)
    assert str(found.path) == "owner/repo/m-Q8_0.gguf"
    assert server.sent[path.name] < 2 * len(server.files[path.name][0]) + FIRST_PIECE < server.files[path.name][1]


def test_of_safetensors_nothing_but_the_headers_is_fetched(server: Hub) -> None:
    parts = {
        "one.safetensors": safetensors(**{"model.layers.0.mlp.up_proj.weight": 10**9}),
        "two.safetensors": safetensors(**{"lm_head.weight": 10**8}),
    }
    index = json.dumps({"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    server.files = {"config.json": (CONFIG, len(CONFIG)), "model.safetensors.index.json": (index, len(index)), **parts}
    found = model_on_hub("owner/repo", None)
    assert found.weights == Weights(1_100_000_000)
    assert (found.architecture.name, str(found.path)) == ("llama", "owner/repo/config.json")
    assert {name: server.sent[name] for name in parts} == {name: len(header) for name, (header, _) in parts.items()}


def test_the_quantisation_that_is_named_is_taken_before_the_configuration(server: Hub, tmp_path: Path) -> None:
    path = tmp_path / "m-Q4_K_M.gguf"
    server.files = {path.name: gguf_file(path, 700), "config.json": (CONFIG, len(CONFIG))}
    assert model_on_hub("hf:owner/repo:Q4_K_M", None).path.name == path.name
    assert model_on_hub(f"{server.url}/owner/repo/blob/main/{path.name}?x=1", None).path.name == path.name
    assert model_on_hub(f"{server.url}/owner/repo", None).path.name == "config.json"


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(server: Hub) -> None:
    server.files = {"config.json": (CONFIG, len(CONFIG))}
    model_on_hub("owner/repo", "hf_secret")
    tokens = {asked.split("/")[1]: token for asked, _range, token in server.seen}
    assert tokens == {"api": "Bearer hf_secret", "owner": "Bearer hf_secret", "cdn": None}


def test_what_failed_for_a_moment_is_asked_again(server: Hub) -> None:
    server.files = {"config.json": (CONFIG, len(CONFIG))}
    server.failures = 2
    assert model_on_hub("owner/repo", None).architecture.layers == 32


def test_a_hub_that_sends_no_parts_is_not_asked_for_the_whole(server: Hub) -> None:
    server.files = {"config.json": (CONFIG, len(CONFIG))}
    server.sends_parts = False
    with pytest.raises(HubError, match="sends no parts of files"):
        model_on_hub("owner/repo", None)


def test_what_cannot_be_sized_is_told(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {"README.md": (b"hello", 5)}
    with pytest.raises(HubError, match=r"neither config\.json nor a GGUF file"):
        model_on_hub("owner/repo", None)
    server.files = {"config.json": (b"{}", 2)}
    with pytest.raises(NotSized, match=r"owner/repo: config\.json does not tell how many layers"):
        model_on_hub("owner/repo", None)
    with pytest.raises(HubError, match="there is no model owner/other"):
        model_on_hub("owner/other", None)
    server.files_are_gated = True
    with pytest.raises(HubError, match="HF_TOKEN"):
        model_on_hub("owner/repo", None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubError, match=r"cannot reach http://127\.0\.0\.1:1"):
        model_on_hub("owner/repo", None)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("hf:a/b:Q8_0", "hf:a/b:Q8_0"), ("a/b", "hf:a/b"), ("a/b:Q8_0", "hf:a/b:Q8_0"),
        ("https://hub.example/a/b", "hf:a/b"), ("https://hub.example/a/b/", "hf:a/b"),
        ("https://hub.example/a/b/tree/main", "hf:a/b"),
        ("https://hub.example/a/b/resolve/main/x/m.gguf?download=true", "hf:a/b:x/m.gguf"),
    ],
)  # fmt: skip
def test_addresses_of_pages(source: str, found: str) -> None:
    assert from_url(source, "https://hub.example") == found


@pytest.mark.parametrize(
    "source", ["https://other.example/a/b", "https://hub.example.evil/a/b", "https://hub.example/a"]
)
def test_pages_of_other_hubs_are_refused(source: str) -> None:
    with pytest.raises(HubError, match="set HF_ENDPOINT"):
        from_url(source, "https://hub.example")
