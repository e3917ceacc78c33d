"""Fetching models from a hub, against a server on loopback that speaks its protocol and can break."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, HubAnswers

from ringfence.placement import hub
from ringfence.placement.hub_pick import HubError, RemoteFile, parse_source, pick

Q4 = bytes(range(256)) * 1200
Q8 = b"eight" * 1000


class Hub(FakeHub):
    """`cuts` is how many answers end early; `told` are hashes that it tells instead of the right ones."""

    def __init__(self) -> None:
        super().__init__(Answers)
        self.files = {"m-Q4_K_M.gguf": Q4, "m-Q8_0.gguf": Q8, "mmproj-f16.gguf": b"p", "README.md": b"r"}
        self.told: dict[str, str] = {}
        self.cuts = 0
        self.status = 0


class Answers(HubAnswers):
    server: Hub  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]

    def listed(self) -> list[dict[str, Any]]:
        return [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {
                    "sha256": self.server.told.get(name) or hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 1,
                },
            }
            for name, data in self.server.files.items()
        ]

    def send_file(self, name: str) -> None:
        data = self.server.files[name]
        if self.server.status:
            return self.say(self.server.status, b"")
        wanted = self.headers["Range"]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        part = data[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        self.wfile.write(part)
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    with server.serving(monkeypatch):
        yield server


def get(tmp_path: Path, source: str = "hf:owner/repo", token: str | None = None) -> tuple[Path, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    path = hub.resolve(source, tmp_path / "cache", token, lambda done, whole: told.append((done, whole)))
    return path, told


def test_the_usual_quantisation_is_fetched_with_progress(server: Hub, tmp_path: Path) -> None:
    path, told = get(tmp_path)
    assert path.read_bytes() == Q4
    assert path.name == "m-Q4_K_M.gguf"
    assert told[-1] == (len(Q4), len(Q4))
    assert told == sorted(told)
    assert not list(path.parent.glob("*.part"))


def test_a_cut_connection_is_gone_on_with_from_where_it_broke(server: Hub, tmp_path: Path) -> None:
    server.cuts = 2
    path, _told = get(tmp_path)
    assert path.read_bytes() == Q4
    ranges = [wanted for asked, wanted, _token in server.seen if asked.startswith("/cdn/")]
    assert ranges == [None, f"bytes={len(Q4) // 2}-", f"bytes={len(Q4) * 3 // 4}-"]


def test_a_partial_file_of_an_earlier_run_is_gone_on_with(server: Hub, tmp_path: Path) -> None:
    server.status = 500
    with pytest.raises(HubError, match="run it again to resume"):
        get(tmp_path)
    server.status = 0
    partial = tmp_path / "cache" / "owner--repo" / f"m-Q4_K_M.gguf.{hashlib.sha256(Q4).hexdigest()[:12]}.part"
    partial.write_bytes(Q4[:1000])
    server.seen.clear()
    assert get(tmp_path)[0].read_bytes() == Q4
    assert ("/cdn/m-Q4_K_M.gguf", "bytes=1000-", None) in server.seen


def test_a_wrong_checksum_is_refused_and_deleted(server: Hub, tmp_path: Path) -> None:
    server.told["m-Q4_K_M.gguf"] = "0" * 64
    with pytest.raises(HubError, match="not what the hub says"):
        get(tmp_path)
    assert not list((tmp_path / "cache").rglob("*.gguf*"))


def test_what_was_verified_is_used_without_the_hub(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _told = get(tmp_path)
    server.seen.clear()
    second, told = get(tmp_path)
    assert (second, told) == (first, [(len(Q4), len(Q4))])
    assert not any(asked.startswith("/cdn/") for asked, _range, _token in server.seen)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert get(tmp_path)[0] == first
    with pytest.raises(HubError, match=r"cannot reach http://127\.0\.0\.1:1"):
        get(tmp_path, "hf:owner/repo:Q8_0")
    first.write_bytes(b"touched")
    with pytest.raises(HubError, match="no verified copy"):
        get(tmp_path)


def test_a_file_that_was_touched_is_fetched_again(server: Hub, tmp_path: Path) -> None:
    path, _told = get(tmp_path)
    path.write_bytes(b"touched")
    assert get(tmp_path)[0].read_bytes() == Q4


def test_the_parts_of_a_split_model_come_together(server: Hub, tmp_path: Path) -> None:
    server.files = {f"b-{part:05}-of-00002.gguf": bytes([part]) * 3000 for part in (1, 2)}
    path, told = get(tmp_path)
    assert path.name == "b-00001-of-00002.gguf"
    assert (path.parent / "b-00002-of-00002.gguf").read_bytes() == b"\x02" * 3000
    assert told[-1] == (6000, 6000)


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(server: Hub, tmp_path: Path) -> None:
    get(tmp_path, token="hf_secret")
    tokens = {asked.split("/")[1]: token for asked, _range, token in server.seen}
    assert tokens == {"api": "Bearer hf_secret", "owner": "Bearer hf_secret", "cdn": None}


def test_what_cannot_be_had_is_told_with_what_to_do(server: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="there is no model owner/other"):
        get(tmp_path, "hf:owner/other")
    with pytest.raises(HubError, match=r"no file of owner/repo matches 'Q2_K'; it has: m-Q4_K_M.gguf, m-Q8_0.gguf"):
        get(tmp_path, "hf:owner/repo:Q2_K")
    server.gated = True
    with pytest.raises(HubError, match="HF_TOKEN"):
        get(tmp_path)


def test_a_full_disk_is_told(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub, "_append", full)
    with pytest.raises(HubError, match="disk is full"):
        get(tmp_path)
    monkeypatch.setattr(hub, "SPARE_BYTES", 10**18)
    with pytest.raises(HubError, match="make room"):
        get(tmp_path)


class TestPick:
    @staticmethod
    def names(wanted: str | None, *paths: str) -> list[str]:
        files = [RemoteFile(path, 1000 - len(path), None) for path in paths]
        return [file.path for file in pick("o/r", files, wanted)]

    def test_a_quantisation_is_a_whole_word_in_any_case(self) -> None:
        paths = ("m.IQ4_0.gguf", "m.q4_0.gguf", "m.Q4_K_M.gguf", "m.Q4_K.gguf")
        assert self.names("Q4_0", *paths) == ["m.q4_0.gguf"]
        assert self.names("q4_k", *paths) == ["m.Q4_K.gguf"]

    def test_preferences_then_the_smallest(self) -> None:
        assert self.names(None, "a-Q8_0.gguf", "a-Q4_0.gguf") == ["a-Q4_0.gguf"]
        assert self.names(None, "a-F16.gguf", "a-F16-longer.gguf") == ["a-F16-longer.gguf"]

    def test_several_matches_are_listed(self) -> None:
        with pytest.raises(HubError, match=r"several files of o/r match 'Q4_0': a-Q4_0.gguf, b-Q4_0.gguf; name one"):
            self.names("Q4_0", "a-Q4_0.gguf", "b-Q4_0.gguf")
        assert self.names("b-Q4_0.gguf", "a-Q4_0.gguf", "b-Q4_0.gguf") == ["b-Q4_0.gguf"]

    def test_a_split_model_that_lacks_a_part_is_no_model(self) -> None:
        with pytest.raises(HubError, match="no GGUF"):
            self.names(None, "a-00001-of-00002.gguf", "mmproj-Q8_0.gguf")

    @pytest.mark.parametrize("source", ["owner/repo", "hf:repo", "hf:a/b:../c", "hf:a/b/c", "hf:a/b:", "hf:a b/c"])
    def test_what_is_no_source(self, source: str) -> None:
        with pytest.raises(HubError, match="write hf:owner/repo"):
            parse_source(source)


# -- a whole repository -----------------------------------------------------------------------------------------------

WHOLE = {
    "model-00001-of-00002.safetensors": Q8, "model-00002-of-00002.safetensors": Q4[:5000],
    "model.safetensors.index.json": b"{}", "config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{ }",
    "tokenizer.model": b"sp", "merges.txt": b"a b", "chat_template.jinja": b"{{ x }}",
}  # fmt: skip
LEFT = {
    "consolidated.safetensors": Q8, "modeling_own.py": b"import os", "pytorch_model.bin": Q8, "README.md": b"r",
    "original/config.json": b"{}", "m-Q8_0.gguf": Q8, "notes.txt": b"n",
}  # fmt: skip


def test_of_a_whole_repository_weights_and_their_description_are_fetched_and_no_code(
    server: Hub, tmp_path: Path
) -> None:
    server.files = WHOLE | LEFT
    told: list[tuple[int, int]] = []
    folder = hub.resolve_folder("hf:owner/repo", tmp_path / "cache", None, lambda *both: told.append(both))
    found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.name != hub.RECORD}
    assert found == WHOLE
    assert told[-1] == (sum(map(len, WHOLE.values())),) * 2
    server.status = 500
    server.seen.clear()
    assert hub.resolve_folder("hf:owner/repo", tmp_path / "cache", None, lambda *_: None) == folder
    assert not [path for path, *_ in server.seen if path.startswith("/cdn/")], "what is verified is not fetched again"


def test_a_whole_repository_that_was_verified_serves_without_the_hub(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = dict(WHOLE)
    folder = hub.resolve_folder("hf:owner/repo", tmp_path / "cache", None, lambda *_: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub.resolve_folder("hf:owner/repo", tmp_path / "cache", None, lambda *_: None) == folder
    (folder / "config.json").write_text("{}  ")
    with pytest.raises(HubError, match="no verified copy"):
        hub.resolve_folder("hf:owner/repo", tmp_path / "cache", None, lambda *_: None)


@pytest.mark.parametrize(
    ("without", "source", "told"),
    [
        (".safetensors", "hf:owner/repo", "no weights as safetensors"),
        ("config.json", "hf:owner/repo", r"no config\.json"),
        ("-", "hf:owner/repo:Q8_0", "taken whole"),
    ],
)
def test_a_repository_that_no_such_engine_serves_is_refused(
    server: Hub, tmp_path: Path, without: str, source: str, told: str
) -> None:
    server.files = {name: data for name, data in (WHOLE | LEFT).items() if not name.endswith(without)}
    with pytest.raises(HubError, match=told):
        hub.resolve_folder(source, tmp_path / "cache", None, lambda *_: None)
