"""Tokenizers of models, from the files that the configuration names; they need the extra `ringfence[tokenizers]`.

What cannot be had is told and done without: prompts are then counted as where no file is named.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ringfence.config.schema import Config
from ringfence.gateway.count import Count
from ringfence.gateway.meters import Meters

log = logging.getLogger("ringfence.tokenizers")
PACKAGE = "tokenizers"
NOT_INSTALLED = "the package tokenizers is not installed: pip install 'ringfence[tokenizers]'"
MOST_FILE_BYTES = 256 * 1024 * 1024


class NoTokenizer(Exception):
    """The message says why, and what to do."""


def load(path: str) -> Count:
    """Tokens of a text by the tokenizer in this file. Takes a second for a large vocabulary. Raises NoTokenizer."""
    if find_spec(PACKAGE) is None:
        raise NoTokenizer(NOT_INSTALLED)
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise NoTokenizer(f"{path} is too large for a tokenizer.json")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NoTokenizer(f"cannot read {path}: {reason or error}") from None
    try:
        tokenizer = import_module(PACKAGE).Tokenizer.from_str(text)
    except Exception as error:  # the package has no class of its own for what it cannot read
        raise NoTokenizer(f"{path} is no tokenizer.json that the package can read: {str(error)[:200]}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # a text with the name of one may be cut into its letters

    def count(text: str) -> int:
        return len(tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids)

    return count


def load_all(config: Config) -> tuple[dict[str, Count], tuple[str, ...]]:
    """By file, those that the models of `config` name; and what could not be had, in words."""
    counts: dict[str, Count] = {}
    problems: list[str] = []
    for name, model in config.models.items():
        path = model.tokenizer
        if not path or path in counts:
            continue
        try:
            counts[path] = load(path)
        except NoTokenizer as error:
            problems.append(f"models.{name}.tokenizer: {error}")
    return counts, tuple(problems)


async def put_into(meters: Meters, config: Config) -> tuple[str, ...]:
    """Read anew, off the loop; what could not be had, in words."""
    meters.tokenizers, problems = await asyncio.to_thread(load_all, config)
    for problem in problems:
        log.error("%s; prompts of this model are counted as if it named none", problem)
    return problems
