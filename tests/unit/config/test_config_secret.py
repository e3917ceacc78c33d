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
        ("env:LINES", "environment variable LINES holds more than one line"),
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"CANARY-1\nCANARY-2\n", "holds more than one line"),
        (b"Bearer CANARY-1", "holds spaces"),
        (b'"CANARY-1"\n', "holds quotes around the key"),
        (b"'CANARY-1", "holds quotes around the key"),
        (b"OPENAI_API_KEY=CANARY-1", "holds NAME=KEY"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(tmp_path, content, expected):
    file = kept(tmp_path / "key", content)
    look = SecretRef(f"file:{file}").look({})
    assert look.problem.startswith(f"file {file} {expected}")
    assert (look.mode, look.owner, look.length) == (0o600, os.geteuid(), 0)
    assert "CANARY" not in repr(look)


@pytest.mark.parametrize("key", ["CANARY=b64==", "can'ary", "a", "api_key=x"])
def test_what_may_be_a_key_is_one(tmp_path, key):
    file = kept(tmp_path / "key", key.encode())
    assert SecretRef(f"file:{file}").resolve({}) == key
    look = SecretRef(f"file:{file}").look({})
    assert (look.file, look.length, look.problem) == (file, len(key), "")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o775, 0o720])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "open"
    (folder / "inner").mkdir(parents=True)
    file = kept(folder / "inner" / "key")
    reference = SecretRef(f"file:{file}")
    assert reference.resolve({}) == "CANARY-1"
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=rf"they may write to {folder}; run: chmod go-w {folder}$"):
        reference.resolve({})
    folder.chmod(mode | 0o1000)  # sticky, as /tmp: nobody replaces what is another's
    assert reference.resolve({}) == "CANARY-1"


def test_the_folders_to_which_a_link_leads_count_too(tmp_path):
    (tmp_path / "open").mkdir()
    kept(tmp_path / "open" / "key")
    (tmp_path / "key").symlink_to(tmp_path / "open" / "key")
    reference = SecretRef(f"file:{tmp_path}/key")
    assert reference.resolve({}) == "CANARY-1"
    (tmp_path / "open").chmod(0o777)
    assert str(tmp_path / "open") in reference.look({}).problem


PASTED = ("sk-proj-CANARYab12", "gsk_CANARY1234", "AIzaCANARY1234", "CANARYAb3dEf5hIj7kLm9nOp1", "env:sk-CANARY-1234")


@pytest.mark.parametrize(
    "pasted", [*PASTED, "env:sk_CANARY_ab12cd34ef56gh78ij", "credential:sk-CANARY-ab12cd34ef56gh78"]
)
def test_a_key_in_the_place_of_a_reference_is_refused_with_what_to_do(refused, pasted):
    (problem,) = refused(MODEL.format(pasted))
    assert (problem.line, problem.path) == (4, "models.a.api_key")
    assert "put it into a file that only its reader can read (chmod 600) and write file:/path here" in problem.message
    assert "CANARY" not in str(problem)


@pytest.mark.parametrize(
    "name", ["env:OPENAI_API_KEY_FOR_PRODUCTION_2", "credential:openai-production-key-2026", "env:sk"]
)
def test_a_long_name_is_no_key(read, name):
    assert read(MODEL.format(name), check_secrets=False).models["a"].api_key == SecretRef(name)


@pytest.mark.parametrize("pasted", PASTED[:4])
@pytest.mark.parametrize("place", ["server: {port: KEY}", "logging: {level: KEY}", "models: {a: {url: KEY}}", "KEY: 1"])
def test_a_key_pasted_elsewhere_is_not_repeated(refused, pasted, place):
    for problem in refused(place.replace("KEY", pasted)):
        assert "CANARY" not in problem.message


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
