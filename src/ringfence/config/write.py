"""Starts a `ringfence.yaml`, and adds to one what newer versions brought, without touching what is there."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ringfence.config.changes import scalar
from ringfence.config.document import Document, read_document
from ringfence.config.load import load
from ringfence.config.problems import ConfigError, ConfigInvalid
from ringfence.config.schema import Config, schema_json

SCHEMA_NAME = "ringfence.schema.json"
_TEMPLATE = Path(__file__).with_name("ringfence.example.yaml")
_SECTION = re.compile(r"^#?([a-z_]+):", re.MULTILINE)
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._:/-]+")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of an engine that runs already, to be written into a new file. `url` is http://ADDRESS:PORT."""

    engine: str
    url: str
    engine_model: str


def init(path: Path, found: Sequence[FoundModel] = (), schema_path: Path | None = None) -> Path:
    """Write a commented file to start from, and its JSON Schema for editors; the path of the schema.

    The schema goes to `schema_path`, or beside the file. Raises ConfigError when `path` exists: nothing is overwritten.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists and is not overwritten; --merge adds what is missing in it")
    schema_path = (schema_path or path.with_name(SCHEMA_NAME)).absolute()
    text = f"# yaml-language-server: $schema={schema_path.as_uri()}\n{template()}"
    text = text.replace("\n# Swap slots:", f"{_entries(found)}\n# Swap slots:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        write_schema(schema_path)
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: {error.strerror}") from None
    return schema_path


def merge(path: Path) -> list[str]:
    """Append the sections that `path` lacks, as in the template; their names. What is there stays byte for byte.

    Raises ConfigInvalid when the file is bad and ConfigError when it cannot be added to; it is then left alone.
    """
    before = load(path, check_secrets=False).model_dump()
    content = path.read_bytes()
    present = _sections_in(content, path)
    missing = {name: block for name, block in _blocks().items() if name not in present}
    if not missing:
        return []
    newline = "\r\n" if b"\r\n" in content else "\n"
    text = content.decode("utf-8")
    start = text if not text or text.endswith("\n") else text + newline
    added = "".join(f"\n{block}" for block in missing.values()).replace("\n", newline)
    merged = (start + added).encode()
    if not _keeps(read_document(content, str(path)), merged, path):
        raise ConfigError(
            f"{path}: nothing can be added to a file written in this style; write each section as 'name:'"
        )

    def means_the_same(written: Path) -> None:
        # Secrets need not be at hand where a file is edited.
        if load(written, check_secrets=False).model_dump() != before:
            raise ConfigError(f"{path}: adding the missing sections would change its meaning; it is left as it was")

    _replace(path, merged, means_the_same)
    return list(missing)


def append(path: Path, text: str, section: str) -> None:
    """Add a section that a file lacks; what is there stays byte for byte. Raises ConfigError: nothing is added then."""
    try:
        content = path.read_bytes()
        newline = "\r\n" if b"\r\n" in content else "\n"
        start = content if not content or content.endswith(b"\n") else content + newline.encode()
        merged = start + text.replace("\n", newline).encode()
        if not _keeps(read_document(content, str(path)), merged, path):
            raise ConfigError(f"{path}: a file written in this style cannot be added to; write '{section}:' into it")
        _replace(path, merged, _loads)
    except OSError as error:
        raise ConfigError(f"{path}: {section} cannot be written into it: {error.strerror}") from None


def append_within(path: Path, line: str, section: str) -> None:
    """Add a line to a section that a file has, before what stands in it; what is there stays byte for byte. Raises
    ConfigError: nothing is added then."""
    try:
        text = path.read_bytes().decode("utf-8")
        empty = r"[ \t]*(?:#.*)?\r?\n"
        head = re.search(rf"^{section}:{empty}(?:{empty})*?(?=([ \t]+)[^\s#])", text, re.MULTILINE)
        merged = f"{text[: head.end()]}{head[1]}{line}{_newline(head[0])}{text[head.end() :]}" if head else ""
        before = read_document(text.encode(), str(path)).data or {}
        after = read_document(merged.encode(), str(path)).data or {}
        if not head or {**after, section: before[section]} != before or not _within(before[section], after[section]):
            raise ConfigError(
                f"{path}: a file written in this style cannot be added to; write '{line}' under '{section}:'"
            )
        _replace(path, merged.encode(), _loads)
    except OSError as error:
        raise ConfigError(f"{path}: {section} cannot be written into it: {error.strerror}") from None


def _newline(text: str) -> str:
    return "\r\n" if text.endswith("\r\n") else "\n"


def _within(before: object, after: object) -> bool:
    """Whether one mapping still says all that the other did."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return False
    return all(key in after and after[key] == value for key, value in before.items())


def _loads(path: Path) -> None:
    load(path, check_secrets=False)


def write_schema(path: Path) -> None:
    """Write the JSON Schema, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, (json.dumps(schema_json(), indent=2) + "\n").encode())


def template() -> str:
    """The commented example: every section, every setting with its default."""
    return _TEMPLATE.read_text(encoding="utf-8")


def _entries(found: Sequence[FoundModel]) -> str:
    """Entries under `models:`. Names that a model cannot have are bent into ones it can, and made unique."""
    lines: list[str] = []
    taken = {"demo", "local/fast", "auto"}
    for model in found:
        bent = _NOT_IN_A_NAME.sub("-", model.engine_model).strip("/")[:120].strip("/") or model.engine
        name = next(name for name in (bent, *(f"{bent}-{count}" for count in range(2, 10_000))) if name not in taken)
        taken.add(name)
        lines += [f"  {scalar(name)}:", f"    engine: {scalar(model.engine)}", f"    url: {scalar(model.url)}"]
        if name != model.engine_model:
            lines.append(f"    engine_model: {scalar(model.engine_model)}")
    return "".join(f"{line}\n" for line in lines)


def _blocks() -> dict[str, str]:
    """The sections of the template by name, each with the comment above it."""
    blocks = [block.strip("\n") + "\n" for block in re.split(r"\n{2,}", template())]
    named = {found[1]: block for block in blocks if (found := _SECTION.search(block))}
    return {name: block for name, block in named.items() if name in Config.model_fields}


def _sections_in(content: bytes, path: Path) -> set[str]:
    """The sections that are there, also those that stand there as a comment only."""
    document = read_document(content, str(path))
    commented = _SECTION.findall(content.decode("utf-8-sig"))
    return set(document.data or {}) | set(commented)


def _keeps(old: Document, merged: bytes, path: Path) -> bool:
    try:
        new = read_document(merged, str(path))
    except ConfigInvalid:
        return False
    kept: dict[str, object] = old.data or {}
    return not new.problems and all(key in new.data and new.data[key] == value for key, value in kept.items())


def _replace(path: Path, content: bytes, verify: Callable[[Path], None] = lambda _: None) -> None:
    """Put `content` in place of `path` in one step that survives a crash; a link stays a link.

    `verify` may look at what was written, and raise, before it takes the place.
    """
    path = path.resolve()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _keep_access(file.fileno(), path)
            os.fsync(file.fileno())
        verify(Path(temporary))
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(path)


def _keep_access(descriptor: int, path: Path) -> None:
    """Give the new file the mode, and where allowed the owner, of the one it replaces; else that of a public file."""
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)
        return
    os.fchmod(descriptor, old.st_mode & 0o7777)
    with suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
