"""Secrets by reference: read when asked, refused when badly kept, never shown."""

from __future__ import annotations

import os

import pytest

from ringfence.config.problems import ConfigError
from ringfence.config.secret import SecretRef

MODEL = "models:\n  a:\n    url: http://127.0.0.1:1\n    api_key: {}\n"


def kept(path, content=b"CANARY-1\n", mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_each_kind_is_read_where_it_stands(read, tmp_path):
    file = kept(tmp_path / "key")
    env = {"KEY": "CANARY-1", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    for reference in ("env:KEY", f"file:{file}", "credential:key"):
        secret = read(MODEL.format(reference), env).models["a"].api_key
        assert secret.resolve(env) == "CANARY-1"
        assert (repr(secret), str(secret)) == (f"SecretRef('{reference}')", reference)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("env:GONE", "environment variable GONE is not set"),
        ("env:EMPTY", "environment variable EMPTY is empty"),
        ("env:LINES", "environment variable LINES holds spaces or characters that cannot be sent in a header"),
        ("credential:gone", "$CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential="),
        ("file:/nonexistent/key", "/nonexistent/key: No such file or directory"),
        ("file:/", "a secret is given by reference"),
        ("credential:../etc", "a secret is given by reference"),
    ],
)
def test_a_missing_secret_is_told_with_its_line(refused, reference, expected):
    (problem,) = refused(MODEL.format(reference), {"EMPTY": "", "LINES": "CANARY\nx"})
    assert (problem.file, problem.line, problem.column, problem.path) == ("ringfence.yaml", 4, 5, "models.a.api_key")
    assert problem.message.startswith(expected)
    assert "CANARY" not in str(problem)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_reach_is_refused(refused, tmp_path, mode):
    file = kept(tmp_path / "key", mode=mode)
    (problem,) = refused(MODEL.format(f"file:{file}"))
    assert problem.message == f"{file} can be read or written by others; run: chmod 600 {file}"


def test_pipes_folders_and_large_files_are_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path):
        with pytest.raises(ConfigError, match=r"is not a file|Is a directory"):
            SecretRef(f"file:{path}").resolve({})
    with pytest.raises(ConfigError, match="too large"):
        SecretRef(f"file:{kept(tmp_path / 'large', b'x' * 70_000)}").resolve({})
    with pytest.raises(ConfigError, match="cannot be sent"):
        SecretRef(f"file:{kept(tmp_path / 'binary', bytes(range(128, 256)))}").resolve({})


def test_a_secret_that_went_away_is_told_with_its_place(read):
    secret = read(MODEL.format("env:KEY"), {"KEY": "CANARY"}).models["a"].api_key
    with pytest.raises(ConfigError, match=r"ringfence\.yaml:4: environment variable KEY is not set"):
        secret.resolve({})


def test_secrets_need_not_be_there_when_not_asked_for(read):
    assert read(MODEL.format("env:GONE"), check_secrets=False).models["a"].api_key == SecretRef("env:GONE")


def test_no_repr_or_dump_of_the_configuration_shows_a_secret(read):
    config = read(MODEL.format("env:KEY"), {"KEY": "CANARY"})
    config.models["a"].api_key.resolve({"KEY": "CANARY"})
    assert "CANARY" not in f"{config!r}{config.model_dump_json()}{config.origin(('models',))}"
