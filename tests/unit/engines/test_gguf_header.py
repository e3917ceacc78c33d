"""Reading a model's own facts, and refusing what is no model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.engines.gguf_header import NotAModel, read_facts, read_header
from ringfence.testing.tiny_model import WINDOW, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.getbasetemp())


def test_a_real_model(model: Path) -> None:
    header = read_header(model)
    assert (header.architecture, header.trained_window, header.is_causal) == ("llama", WINDOW, True)
    assert 300 < header.vocabulary < 1000
    assert header.pooling is None


@pytest.mark.parametrize(("content", "said"), [(b"hello", "not a GGUF"), (b"", "not a"), (b"GGUF\x03", "early")])
def test_what_is_no_model(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(NotAModel, match=said):
        read_header(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="No such file"):
        read_header(tmp_path / "none.gguf")


@settings(max_examples=60, deadline=None)
@given(at=st.integers(4, 3000), value=st.integers(0, 255), cut=st.integers(4, 5000))
def test_a_damaged_header_is_told_and_never_raises_otherwise(
    tmp_path_factory: pytest.TempPathFactory, model: Path, at: int, value: int, cut: int
) -> None:
    data = bytearray(model.read_bytes()[:cut])
    if at < len(data):
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(data)
    for read in (read_header, read_facts):
        try:
            read(path)
        except NotAModel as error:
            assert str(path) in str(error)
