"""Leaving things out of JSON so that it stays JSON: members of objects, elements of lists, parts of long strings."""

from __future__ import annotations

import json
from bisect import bisect_right

from ringfence.gateway.compress.choose import fitted, merged, size_of
from ringfence.gateway.compress.json_tree import DEEPEST, Node, NotJson, lines_of, tree_of, value
from ringfence.gateway.compress.kept import Count, Kind, Span
from ringfence.gateway.compress.pieces import LONG, sentences
from ringfence.gateway.compress.rank import ranked
from ringfence.gateway.compress.relevance import Question
from ringfence.gateway.compress.sift import MOST_CHARACTERS, MOST_LINES, sifted

MOST_SIFTED = 1_000_000
SHALLOW = 4
"""How deep objects of a long text are looked into at first; its lists are not."""
SHOWN = 2000
"""Characters of a value that are read."""


class Unit:
    """What is kept or left out as a whole: a value, or a part of a long string."""

    __slots__ = ("end", "index", "node", "start")

    def __init__(self, node: Node, start: int, end: int, index: int) -> None:
        self.node = node
        self.start = start
        self.end = end
        self.index = index
        """Which part of its string; -1 for a whole value."""


def pruned(
    text: str, budget: int, count: Count, question: Question, characters: int, kind: Kind
) -> tuple[str, tuple[Span, ...]] | None:
    """JSON with what matters most, and where it stood. None when it is not JSON, or when no piece of it fits."""
    try:
        units = units_of(text, kind, characters, question)
    except NotJson:
        return None
    if not units:
        return None
    whole = _Writer(text, 0).write(units)
    if count(whole) <= budget and len(text) <= MOST_CHARACTERS:
        return whole, ((0, len(text)),)
    order = ranked([shown_as(text, unit) for unit in units], question, kind, [id(record_of(unit)) for unit in units])
    costs = [_cost(text, unit) for unit in units]
    for marks in (1, 0):
        writer = _Writer(text, marks)
        found = fitted(order, costs, lambda taken, w=writer: w.write([units[at] for at in taken]), budget, count)
        if found:
            break
    else:
        return None
    taken = [units[at] for at in found[0]]
    longer = _Writer(text, 2).write(taken) if marks else ""
    result = longer if longer and count(longer) <= budget else found[1]
    return result, merged([_place(unit) for unit in taken])


def units_of(text: str, kind: Kind, characters: int, question: Question) -> list[Unit]:
    """What is kept or left out: all of it, or where that is too much, what a first pass keeps. NotJson."""
    is_long = len(text) > MOST_CHARACTERS
    if kind is Kind.JSON_LINES:
        spans = sifted(text, characters, question, MOST_SIFTED) if is_long else [(0, len(text))]
        units = _units(text, lines_of(text, spans))
    elif is_long:
        spans = sifted(text, characters, question, MOST_SIFTED)
        return _looked_into(text, _units(text, tree_of(text, SHALLOW, spans), spans))
    else:
        units = _units(text, tree_of(text))
    if len(units) > MOST_LINES:
        units = _touching(units, sifted(text, characters, question, MOST_SIFTED // 4))
    return units


def _units(text: str, root: Node, spans: list[Span] | None = None) -> list[Unit]:
    """All of them, in order; or those that touch the spans."""
    found: list[Unit] = []
    todo = [root]
    starts = [start for start, _ in spans] if spans else []
    while todo:
        node = todo.pop()
        if spans:
            at = bisect_right(starts, node.end - 1) - 1
            if at < 0 or spans[at][1] <= node.start:
                continue
        if node.children:
            todo.extend(reversed(node.children))
        elif node.form == '"' and node.end - node.start > LONG + 2:
            found += _string_units(text, node, spans)
        else:
            found.append(Unit(node, node.start, node.end, -1))
    return found


def _string_units(text: str, node: Node, spans: list[Span] | None) -> list[Unit]:
    """The parts of a long string; or those of some stretches of it."""
    first, last = node.start + 1, node.end - 1
    found: list[Unit] = []
    at = index = 0
    for start, end in spans or [(first, last)]:
        start = _before_escape(text, max(start, first, at), first)  # noqa: PLW2901
        if start >= min(end, last):
            continue
        index += start > at  # a gap counts as one that is missing
        for part in _string_parts(text, start, min(end, last), last):
            found.append(Unit(node, *part, index))
            index += 1
            at = part[1]
    return found


def _string_parts(text: str, first: int, end: int, last: int) -> list[Span]:
    """A stretch of a string that ends at `last`; no escape is torn, and no pair that stands for one character."""
    end = _before_escape(text, end, first) if end < last else last
    cuts = [first]
    for _, stop in sentences(text, first, end):
        cut = _before_escape(text, stop, cuts[-1])
        if cuts[-1] < cut < end:
            cuts.append(cut)
    return list(zip(cuts, [*cuts[1:], end], strict=True)) if first < end else []


def _before_escape(text: str, at: int, least: int) -> int:
    for start in range(max(least, at - 11), at):
        if text[start] != "\\":
            continue
        slashes = start
        while slashes > least and text[slashes - 1] == "\\":
            slashes -= 1
        if (start - slashes) % 2:
            continue
        length = 6 if text[start + 1] == "u" else 2
        if (
            length == 6
            and text[start + 2 : start + 4].lower() in ("d8", "d9", "da", "db")
            and text[start + 6 : start + 8] == "\\u"
        ):
            length = 12
        if start + length > at:
            return start
    return at


def _touching(units: list[Unit], spans: list[Span]) -> list[Unit]:
    starts = [start for start, _ in spans]
    places = [bisect_right(starts, unit.end - 1) - 1 for unit in units]
    return [unit for unit, at in zip(units, places, strict=True) if at >= 0 and spans[at][1] > unit.start]


def _looked_into(text: str, units: list[Unit]) -> list[Unit]:
    """Values that were passed over in a long text, now that they are few."""
    found: list[Unit] = []
    for unit in units:
        if unit.node.form in "{[" and unit.end - unit.start > LONG and unit.node.children is None:
            if unit.end - unit.start > MOST_SIFTED:
                return []
            deeper = value(text, unit.start, unit.node.parent, unit.node.key, DEEPEST)
            deeper.index = unit.node.index
            found += _units(text, deeper)
        else:
            found.append(unit)
    return found


def _cost(text: str, unit: Unit) -> int:
    key = unit.node.key if unit.index < 0 else None
    return size_of(text[unit.start : unit.end]) + (key[1] - key[0] + 2 if key else 1)


def _place(unit: Unit) -> Span:
    return (unit.node.key[0] if unit.node.key and unit.index < 0 else unit.start), unit.end


def record_of(unit: Unit) -> Node:
    """The object or list that a unit is a direct part of; for a part of a string, the string."""
    return unit.node if unit.index >= 0 or unit.node.parent is None else unit.node.parent


def shown_as(text: str, unit: Unit) -> str:
    """A unit as it is compared: the two names above it, and its beginning."""
    keys: list[str] = []
    node: Node | None = unit.node
    while node and len(keys) < 2:
        if node.key:
            keys.append(text[node.key[0] + 1 : node.key[1] - 1])
        node = node.parent
    raw = text[unit.start : min(unit.end, unit.start + SHOWN)]
    if "\\" in raw:
        raw = _unescaped(raw)
    return f"{' '.join(reversed(keys))}: {raw}" if keys else raw


def _unescaped(raw: str) -> str:
    try:
        return str(json.loads(f'"{raw.strip(chr(34))}"'))
    except ValueError:
        return raw.replace("\\n", "\n").replace("\\", "")


class _Writer:
    """Writes chosen units, in order, as JSON. Marks: none (0), short ones in lists and strings (1), numbers (2)."""

    def __init__(self, text: str, marks: int) -> None:
        self.text = text
        self.marks = marks

    def write(self, units: list[Unit]) -> str:
        self.out: list[str] = []
        self.open: list[Node] = []
        self.last: list[int] = []
        """For each open value, the position in it of what was written last."""
        for unit in units:
            path = _path(unit)
            shared = 0
            while shared < min(len(path), len(self.open)) and path[shared] is self.open[shared]:
                shared += 1
            while len(self.open) > shared:
                self._close()
            for node in path[shared:]:
                self._enter(node, node.index)
                self.out.append("" if node.form == "lines" else node.form)
                self.open.append(node)
                self.last.append(-1)
            if unit.index < 0:
                self._enter(unit.node, unit.node.index)
            else:
                self._part(unit)
            self.out.append(self.text[unit.start : unit.end] if unit.index >= 0 else _compact(self.text, unit))
        while self.open:
            self._close()
        return "".join(self.out)

    def _enter(self, node: Node, index: int) -> None:
        """What stands before a value: comma, mark of a gap, key."""
        if not self.open:
            return
        holder, last = self.open[-1], self.last[-1]
        between = "\n" if holder.form == "lines" else ","
        if last >= 0:
            self.out.append(between)
        if index > last + 1:
            mark = self._mark(holder, index - last - 1)
            self.out.append(mark + between if mark else "")
        self.last[-1] = index
        if node.key:
            self.out.append(self.text[node.key[0] : node.key[1]] + ":")

    def _part(self, unit: Unit) -> None:
        if unit.index > self.last[-1] + 1 and self.marks:
            self.out.append(" […] " if self.last[-1] >= 0 else "[…] ")
        self.last[-1] = unit.index

    def _close(self) -> None:
        node, last = self.open.pop(), self.last.pop()
        if node.form == '"':
            gap = self.marks and self._string_end(node) and last >= 0
            self.out.append(' […]"' if gap else '"')
            return
        missing = node.size - 1 - last
        mark = self._mark(node, missing) if missing else ""
        if mark:
            self.out.append(("\n" if node.form == "lines" else ",") + mark)
        self.out.append({"{": "}", "[": "]"}.get(node.form, ""))

    def _string_end(self, node: Node) -> bool:
        """Whether the end of a string is left out: what was written last does not end where it ends."""
        return not self.text.endswith(self.out[-1], node.start, node.end - 1)

    def _mark(self, holder: Node, missing: int) -> str:
        if holder.form == "{":
            return f'"…":"{missing} left out"' if self.marks > 1 else ""
        return "" if not self.marks else f'"… {missing} left out"' if self.marks > 1 else '"…"'


def _path(unit: Unit) -> list[Node]:
    path: list[Node] = []
    node = unit.node if unit.index >= 0 else unit.node.parent
    while node:
        path.append(node)
        node = node.parent
    return path[::-1]


def _compact(text: str, unit: Unit) -> str:
    """A value as it stands; one that was not looked into, without its white space."""
    raw = text[unit.start : unit.end]
    if unit.node.form in "{[" and unit.node.children is None and "\n" in raw:
        return json.dumps(json.loads(raw), ensure_ascii=False, separators=(",", ":"))
    return raw
