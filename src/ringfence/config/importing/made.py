"""[pure] The configuration that an import makes, as the text of a file, with comments for its owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

from ringfence.config.changes import scalar
from ringfence.config.importing.taking import Remark

WIDTH = 100
SECTIONS = {
    "server": "Where callers reach the gateway.",
    "timeouts": "How long an engine may take, and how often another try is made.",
    "mesh": "Machines of yours beside this one, which engines above or below are reached on. Text of profiles with "
    "boundary mesh may go there: take out what is not yours.",
    "profiles": "What decides how far text may travel. Keys without a profile of their own are bound to 'default'. "
    "`ringfence keys create NAME --profile PROFILE` makes keys for the others.",
    "providers": "Rented clouds. Nothing goes there but calls of profiles whose boundary is cloud. Both caps are "
    "needed, and yours to decide: calls_per_day, and max_tokens of one answer.",
    "models": "Models by the names that callers use.",
    "chains": "Names behind which several models stand: the first that can serve answers, the next where it fails.",
}


@dataclass(slots=True)
class Made:
    """Sections by name, and what is said of their entries, by section and entry."""

    sections: dict[str, Any] = field(default_factory=dict[str, Any])
    comments: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])

    def put(self, section: str, name: str, value: Any, comment: str = "") -> None:
        """An entry of a section."""
        self.sections.setdefault(section, {})[name] = value
        if comment:
            self.comments.setdefault((section, name), []).append(comment)

    def text(self, title: str, remarks: Iterable[Remark]) -> str:
        """The whole file."""
        lines = [*_commented(title), "#"]
        lines += ["# `ringfence config check` says whether it can be used, `ringfence up` starts it."]
        for section, about in SECTIONS.items():
            found = self.sections.get(section)
            if not found:
                continue
            lines += ["", *_commented(about)]
            if isinstance(found, Mapping):
                lines.append(f"{section}:")
                for name, value in found.items():
                    lines += self._entry(section, str(name), value)
            else:
                lines.append(f"{section}: {scalar(found)}")
        told = list(remarks)
        if told:
            lines += ["", "# What was not taken as it stood, and what is to be decided:"]
            for one in told:
                lines += _commented(f"{one.path}: {one.why}" + (f" {one.do}" if one.do else ""), "#   ", "#     ")
        return "\n".join(lines) + "\n"

    def _entry(self, section: str, name: str, value: Any) -> list[str]:
        about = [line for comment in self.comments.get((section, name), ()) for line in _commented(comment, "  # ")]
        if not isinstance(value, Mapping):
            return [*about, f"  {scalar(name)}: {scalar(value)}"]
        inner = [f"    {scalar(key)}: {scalar(one)}" for key, one in value.items()]
        return [*about, f"  {scalar(name)}:", *inner]


def _commented(text: str, first: str = "# ", then: str = "") -> list[str]:
    """Text of another file stands in it: one line of it stays in the comment."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return wrap(plain, WIDTH, initial_indent=first, subsequent_indent=then or first, break_long_words=False) or [first]
