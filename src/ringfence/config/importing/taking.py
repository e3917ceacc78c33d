"""[pure] A configuration of another gateway as it is taken: what was used, and what has to be said of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ringfence.config.problems import KeyPath, dotted

State = Literal["left_out", "changed", "note"]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the owner is to know. `note`: it was taken as it stood, and there is something to decide."""

    at: KeyPath
    state: State
    why: str
    do: str
    line: int | None = None

    @property
    def path(self) -> str:
        """As people write it."""
        return dotted(self.at)

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "line": self.line, "state": self.state, "why": self.why, "do": self.do}


class Taking:
    """Plain data, and which of it was looked at."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.remarks: list[Remark] = []
        self._seen: set[KeyPath] = set()

    def look(self, *path: str | int) -> Any:
        """What stands there; None where nothing does."""
        found: Any = self.data
        for part in path:
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and isinstance(part, int) and part < len(found):
                found = found[part]
            else:
                return None
        return found

    def take(self, *path: str | int) -> Any:
        """The same, and it needs no remark any more."""
        self._seen.add(path)
        return self.look(*path)

    def say(self, state: State, path: KeyPath, why: str, do: str = "") -> None:
        """A remark about what stands there."""
        self._seen.add(path)
        self.remarks.append(Remark(path, state, why, do))

    def untouched(self) -> Iterator[tuple[KeyPath, Any]]:
        """What nobody looked at, each as large as it is: a whole section, or one key of it."""
        for name, value in self.data.items():
            yield from self._untouched((name,), value)

    def _untouched(self, path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
        if path in self._seen:
            return
        if not any(seen[: len(path)] == path for seen in self._seen):
            yield path, value
            return
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in entries:
            yield from self._untouched((*path, key), inner)
