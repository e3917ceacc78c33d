"""Which files of a model repository are meant by 'hf:owner/repo[:quant-or-file]'. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFERRED = ("Q4_K_M", "Q4_0", "Q8_0")
SPLIT = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<whole>\d{5})\.gguf$", re.I)
SOURCE = re.compile(r"^hf:(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<wanted>[\w./ -]+))?$")
WEIGHTS = re.compile(r"^(?!consolidated).+\.safetensors$", re.I)
"""Consolidated ones are the same weights a second time, for another program."""
BESIDE_WEIGHTS = re.compile(r"\.(?:json|jinja|model|tiktoken)$|^(?:merges|vocab)\.txt$", re.I)
PAGE = re.compile(r"^/(?P<repo>[\w.-]+/[\w.-]+)(?:/(?:blob|resolve|tree)/[^/?]+(?:/(?P<file>[^?]+))?)?/?(?:\?.*)?$")


class HubError(Exception):
    """A model cannot be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository. `sha256` is hexadecimal, None where the hub does not tell."""

    path: str
    size_bytes: int
    sha256: str | None


def parse_source(source: str) -> tuple[str, str | None]:
    """(owner/repo, what of it or None). Raises HubError."""
    found = SOURCE.match(source)
    if found is None or ".." in source:
        raise HubError(f"'{source}' is not a model source; write hf:owner/repo or hf:owner/repo:Q4_K_M")
    return found["repo"], found["wanted"]


def from_url(source: str, endpoint: str) -> str:
    """'hf:owner/repo[:file]' of the address of a page on this hub, or of 'owner/repo'. Raises HubError."""
    if not source.startswith(("http://", "https://")):
        return source if source.startswith("hf:") else f"hf:{source}"
    found = PAGE.match(source.removeprefix(endpoint)) if source.startswith(f"{endpoint}/") else None
    if found is None:
        raise HubError(f"{source} is not a model's page on {endpoint}; for another hub set HF_ENDPOINT")
    return f"hf:{found['repo']}:{found['file']}" if found["file"] else f"hf:{found['repo']}"


def pick(repo: str, files: Sequence[RemoteFile], wanted: str | None) -> list[RemoteFile]:
    """The files of one model, the first to be opened first. Raises HubError when none or several match."""
    models = _models([file for file in files if _is_model(file.path)])
    if not models:
        raise HubError(f"{repo} has no GGUF file; look for a repository of the same model whose name ends in -GGUF")
    if wanted is not None:
        matching = [name for name in models if _matches(name, wanted)]
        exact = [name for name in matching if wanted.lower() in (name.lower(), name.lower().removesuffix(".gguf"))]
        return models[_only(repo, wanted, exact or matching, list(models))]
    for quant in PREFERRED:
        matching = [name for name in models if _matches(name, quant)]
        if matching:
            return models[_only(repo, quant, matching, list(models))]
    return min(models.values(), key=lambda parts: sum(part.size_bytes for part in parts))


def pick_folder(repo: str, files: Sequence[RemoteFile], wanted: str | None) -> list[RemoteFile]:
    """What an engine needs that reads a whole repository: weights as safetensors, configuration and tokenizer. Never
    code, and no pickled weights, which are code as well. Raises HubError."""
    if wanted is not None:
        raise HubError(f"a folder of a hub is taken whole: write hf:{repo}")
    weights = [file for file in files if "/" not in file.path and WEIGHTS.search(file.path)]
    if not weights:
        raise HubError(f"{repo} has no weights as safetensors; vLLM is given no others")
    if not any(file.path == "config.json" for file in files):
        raise HubError(f"{repo} has no config.json, so that it is no model that vLLM serves")
    beside = [file for file in files if "/" not in file.path and BESIDE_WEIGHTS.search(file.path) and file.size_bytes]
    return [*weights, *beside]


def _is_model(path: str) -> bool:
    """Projectors for images and importance matrices have the same ending."""
    name = path.rpartition("/")[2].lower()
    return name.endswith(".gguf") and "mmproj" not in name and "imatrix" not in name


def _models(files: Sequence[RemoteFile]) -> dict[str, list[RemoteFile]]:
    """Files by the name of the model; the parts of a split one are together, and complete or left out."""
    models: dict[str, list[RemoteFile]] = {}
    whole: dict[str, int] = {}
    for file in sorted(files, key=lambda file: file.path):
        split = SPLIT.match(file.path)
        name = f"{split['stem']}.gguf" if split else file.path
        whole[name] = int(split["whole"]) if split else 1
        models.setdefault(name, []).append(file)
    return {name: parts for name, parts in models.items() if len(parts) == whole[name]}


def _matches(name: str, wanted: str) -> bool:
    """As a whole word: Q4_K must not find Q4_K_M, nor Q4_0 IQ4_0."""
    if name.lower() == wanted.lower():
        return True
    return re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])", name, re.I) is not None


def _only(repo: str, wanted: str, matching: Sequence[str], every: Sequence[str]) -> str:
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(sorted(matching or every))
    if matching:
        raise HubError(f"several files of {repo} match '{wanted}': {listed}; name one of them")
    raise HubError(f"no file of {repo} matches '{wanted}'; it has: {listed}")
