"""What can be wrong with a configuration, and how it is told: every problem with its place and, where known, the mend.

ConfigError               one thing is wrong (a secret that cannot be read, a file that cannot be written)
└── ConfigInvalid         the configuration is refused; `.problems` holds everything that was found
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches

OVERRIDE = "--set"
"""The `file` of a problem in a value that came from the command line."""

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of the configuration."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` and `column` count from 1; None where there is no place in the file."""

    file: str
    line: int | None
    column: int | None
    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        mend = f"; did you mean '{self.suggestion}'?" if self.suggestion else ""
        return ": ".join(part for part in (place, self.path, self.message + mend) if part)

    def as_dict(self) -> dict[str, str | int | None]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting was set. `file` is OVERRIDE for the command line."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line is not None else self.file


class ConfigError(Exception):
    """Something in the configuration cannot be used; the message names file and line where there are any."""


class ConfigInvalid(ConfigError):
    """The configuration is refused. The text of the exception is one line per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most likely meant, or None."""
    by_folded = {name.casefold().replace("-", "_"): name for name in known}
    found = get_close_matches(word.casefold().replace("-", "_"), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def not_configured(what: str, name: str, known: Iterable[str]) -> str:
    """Of a profile or an agent that was asked for and is not there."""
    known = list(known)
    listed = f"he configuration has: {', '.join(known) or 'none'}."
    close = nearest(name, known)
    return f"There is no {what} '{name}'; " + (f"did you mean '{close}'? T{listed}" if close else f"t{listed}")


def dotted(path: KeyPath) -> str:
    """A path as people write it: `models.demo.window`, `mesh[0]`, `models."llama3.1".window`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = f'"{part}"' if "." in part or "[" in part or not part else part
        text += f".{name}" if text else name
    return text
