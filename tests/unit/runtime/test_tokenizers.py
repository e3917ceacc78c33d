"""Tokenizers from files: what they count, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ringfence.cli import doctor
from ringfence.config.models import ModelSettings
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import ContextLengthExceeded
from ringfence.core.identity import Key
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.fitting import surely, weigh
from ringfence.gateway.meters import Meters
from ringfence.gateway.reported import By
from ringfence.runtime.tokenizers import NOT_INSTALLED, NoTokenizer, load, load_all
from ringfence.testing.tiny_model import tiny_tokenizer

PROSE = "The night watch walks from gate to gate. "


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With a limit and with padding, as many of those at the hub have them."""
    tokenizer: Tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens(["<|im_end|>"])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    path = tmp_path_factory.mktemp("model") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def test_a_text_is_counted_whole_and_without_padding(file: str) -> None:
    count, whole = load(file), tiny_tokenizer()
    assert count("") == 0
    assert count(PROSE * 50) == len(whole.encode(PROSE * 50, add_special_tokens=False).ids) > 64
    assert count("<|im_end|>") > 1, "the letters of a mark, as an engine may read them"
    assert count("\ud83d") >= 1, "half a character, as JSON can have it"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.text(max_size=60), other=st.text(max_size=60))
def test_never_more_than_the_bytes(file: str, one: str, other: str) -> None:
    count = COUNTS.setdefault(file, load(file)) if file not in COUNTS else COUNTS[file]
    assert count(one) <= len(one.encode("utf-8", "surrogatepass"))
    assert count(one + other) <= count(one) + count(other) + 4


COUNTS: dict[str, Any] = {}


def test_what_cannot_be_had_is_told(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"model": {"type": "None"}}')
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in ((tmp_path / "none.json", "No such file"), (tmp_path, "directory"), (binary, "not text")):
        with pytest.raises(NoTokenizer, match=reason):
            load(str(path))
    with pytest.raises(NoTokenizer, match=r"no tokenizer\.json that the package can read"):
        load(str(odd))
    config = Config(
        models={
            "good": ModelSettings(url="http://127.0.0.1:1", tokenizer=file),
            "bad": ModelSettings(url="http://127.0.0.1:2", tokenizer=str(odd)),
            "none": ModelSettings(url="http://127.0.0.1:3"),
        }
    )
    counts, [problem] = load_all(config)
    assert list(counts) == [file]
    assert problem.startswith("models.bad.tokenizer: ")
    monkeypatch.setattr("ringfence.runtime.tokenizers.PACKAGE", "no_such_package")
    with pytest.raises(NoTokenizer, match=r"ringfence\[tokenizers\]"):
        load(file)
    assert load_all(config) == (
        {},
        (f"models.good.tokenizer: {NOT_INSTALLED}", f"models.bad.tokenizer: {NOT_INSTALLED}"),
    )


def test_the_doctor_tries_them(tmp_path: Path, file: str) -> None:
    lab = tmp_path / "lab.yaml"
    models = {
        "a": {"url": "http://127.0.0.1:1", "tokenizer": file},
        "b": {"url": "http://127.0.0.1:2", "tokenizer": "x"},
    }
    lab.write_text(json.dumps({"models": models}))
    found = doctor._tokenizers(lab)  # pyright: ignore[reportPrivateUsage]
    assert [one["state"] for one in found] == ["ok", "wrong"]
    assert "models.b.tokenizer" in found[1]["what"]
    lab.write_text("models: {}")
    assert doctor._tokenizers(lab) == []  # pyright: ignore[reportPrivateUsage]


class TestFitting:
    """An engine that counts nothing, and may cut what is too long."""

    target = Target("ollama/m", "m", "ollama", "m", Boundary.HOST, window=4096)

    async def fitted(self, content: str, file: str | None, *, refuses: bool = False, tokenizer: str = "") -> Any:
        body = {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 256}
        call = Call("c", Key("k", "t"), DIALECT, "m", body, len(content) + 90, False, 0.0, output=256)
        meters = Meters(lambda: 0.0)
        meters.tokenizers = {file: load(file)} if file else {}
        target = Target(*(getattr(self.target, name) for name in NAMES), tokenizer=tokenizer or file or "")
        assert surely(call, target, meters, refuses=refuses) is None

        async def silent(_body: Any) -> int | None:
            return None

        return call, await weigh(call, target, silent, 0.3, meters, refuses=refuses, is_cut=True)

    async def test_much_more_stays_than_by_the_bound(self, file: str) -> None:
        _, by_bound = await self.fitted(PROSE * 400, None)
        call, exact = await self.fitted(PROSE * 400, file)
        kept, least = (len(one.body["messages"][0]["content"]) for one in (exact, by_bound))
        assert kept > 1.5 * least
        assert call.counted is not None
        assert call.counted.by is By.TOKENIZER
        assert exact.after + exact.output <= 4096
        assert load(file)(exact.body["messages"][0]["content"]) <= exact.after

    async def test_what_fits_by_it_is_whole(self, file: str) -> None:
        content = PROSE * 100
        assert len(content) > 4096
        _, exact = await self.fitted(content, file)
        assert (exact.state, exact.body["messages"][0]["content"]) == ("fit", content)
        with pytest.raises(ContextLengthExceeded):
            await self.fitted(content, None, refuses=True)
        assert (await self.fitted(content, file, refuses=True))[1].state == "fit"

    async def test_without_its_file_the_bound_counts(self, file: str) -> None:
        call, fitted = await self.fitted(PROSE * 400, None, tokenizer="/no/such/tokenizer.json")
        assert fitted.state == "compressed"
        assert call.counted is None


NAMES = ("name", "model", "engine", "engine_model", "boundary", "window")
