"""Files as they are sent, and as they are cut to be sealed."""

from __future__ import annotations

import random

import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.batches.upload import SLICE_BYTES, parts_of, read_upload

HEAD = b"multipart/form-data; boundary=edge"


def form(*parts: tuple[str, bytes]) -> bytes:
    said = [
        f"--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + text + b"\r\n" for head, text in parts
    ]
    return b"".join(said) + b"--edge--\r\n"


async def test_a_form_is_read() -> None:
    text = b'{"a": 1}\r\n--edg\n' * 200_000  # more than one slice, with what nearly is a boundary
    upload = await read_upload(HEAD, form(('name="purpose"', b"batch"), ('name="file"; filename="in.jsonl"', text)))
    assert upload.fields == {"purpose": "batch"} and upload.filename == "in.jsonl"
    assert upload.text == text
    assert "a" not in repr(upload).replace("Upload", "").replace("filename", "").replace("in.jsonl", "")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("/etc/passwd", "passwd"),
        ("C:\\\\x\\\\y.jsonl", "y.jsonl"),
        ("a\x1b[31m.jsonl", "a[31m.jsonl"),
        ("n" * 300, "n" * 255),
    ],
)
async def test_names_of_files_are_names(given: str, plain: str) -> None:
    upload = await read_upload(HEAD, form((f'name="file"; filename="{given}"', b"x")))
    assert upload.filename == plain


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"", b""), (b"application/json", b"{}"), (b"multipart/form-data", form(('name="file"', b"x"))),
        (HEAD, b""), (HEAD, b"nothing of that"), (HEAD, form(('name="file"', b"x"))[:-8]),
        (HEAD, form(*((f'name="f{n}"', b"x") for n in range(17)))),
        (HEAD, form(('name="file"', b"x"), ('name="file"', b"y"))), (HEAD, form(('name="purpose"', b"\xff"))),
        (HEAD, form(('name="purpose"', b"p" * 5000))),
    ],
)  # fmt: skip
async def test_forms_that_are_refused(head: bytes, body: bytes) -> None:
    with pytest.raises(BadRequest):
        await read_upload(head, body)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_files_are_cut_behind_lines(ending: bytes) -> None:
    chance = random.Random(3)
    lines = [b"x" * chance.randrange(3) * chance.choice((1, 1000, 700_000)) for _ in range(40)]
    text = b"\n".join(lines) + ending
    parts = parts_of(bytearray(text))
    assert b"".join(parts) == text and len(parts) > 3
    assert all(part.endswith(b"\n") for part in parts[:-1])
    assert all(len(part) >= SLICE_BYTES for part in parts[:-1])


def test_an_empty_file_has_no_parts() -> None:
    assert parts_of(bytearray()) == []
