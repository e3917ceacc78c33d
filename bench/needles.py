#!/usr/bin/env python3
"""Made documents with one fact each, and a question for it: what is left of the fact when the document is compressed?

    python bench/needles.py --seed 1 [--documents 240] [--out needles.json]

Ours beside three others, at four ratios of document to budget: beginning and end, BM25, and the bare weights of lines
(heading +5, signature +3, key-value +2, +2 for each term of the question). All get the same pieces and the same marks.
Half of the questions share at most one word with the fact (paraphrase). The rows are per cent of facts that survived.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from made_documents import KINDS, Made, documents

from ringfence.gateway.compress import compress
from ringfence.gateway.compress.choose import fitted, joined, size_of
from ringfence.gateway.compress.pieces import pieces
from ringfence.gateway.compress.score import OVERLAP, form_worth
from ringfence.gateway.compress.stems import STOP, UNSPACED

RATIOS = (1.5, 3.0, 8.0, 10.0)
WORD = re.compile(r"[^\W_]+")
Method = Callable[[str, int, str], str]


def count(text: str) -> int:
    """Four bytes a token."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def ours(text: str, budget: int, query: str) -> str:
    return compress(text, budget, count, query).text


def head_and_tail(text: str, budget: int, query: str) -> str:
    low, high = 0, len(text) // 2
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle] + text[-middle:]) <= budget:
            low = middle
        else:
            high = middle - 1
    return text[:low] + text[len(text) - low :]


def terms(text: str) -> list[str]:
    """Words and parts of identifiers without stop words; pairs of characters where words are not parted."""
    found: list[str] = []
    for word in WORD.findall(text.lower()):
        if UNSPACED.match(word):
            found += [word[at : at + 2] for at in range(len(word) - 1)]
        elif word not in STOP:
            found.append(word)
    return found


def bm25(text: str, budget: int, query: str) -> str:
    spans = pieces(text)
    told = [Counter(terms(text[start:end])) for start, end in spans]
    asked = set(terms(query))
    usual = sum(sum(words.values()) for words in told) / max(1, len(told)) or 1.0
    seen = {term: sum(1 for words in told if term in words) for term in asked}
    idf = {term: log(1 + (len(told) - many + 0.5) / (many + 0.5)) for term, many in seen.items()}

    def score(words: Counter[str]) -> float:
        length = 1.2 * (0.25 + 0.75 * sum(words.values()) / usual)
        return sum(idf[term] * words[term] * 2.2 / (words[term] + length) for term in asked if term in words)

    return best_first(text, spans, [score(words) for words in told], budget)


def bare_weights(text: str, budget: int, query: str) -> str:
    spans = pieces(text)
    asked = set(terms(query))
    scores = [form_worth(text[start:end]) + OVERLAP * len(asked & set(terms(text[start:end]))) for start, end in spans]
    return best_first(text, spans, scores, budget)


def best_first(text: str, spans: list[tuple[int, int]], scores: list[float], budget: int) -> str:
    order = sorted(range(len(spans)), key=lambda at: (-scores[at], at))
    costs = [size_of(text[start:end]) + 3 for start, end in spans]
    whole = 0, len(text)
    found = fitted(order, costs, lambda taken: joined(text, [spans[at] for at in taken], whole, 1), budget, count)
    return found[1] if found else ""


METHODS: dict[str, Method] = {
    "ours": ours, "head and tail": head_and_tail, "BM25": bm25, "bare weights": bare_weights,
}  # fmt: skip


def judged(made: list[Made]) -> list[dict[str, Any]]:
    """One row for each document, ratio and method."""
    rows: list[dict[str, Any]] = []
    for document in made:
        tokens = count(document.text)
        for ratio in RATIOS:
            budget = int(tokens / ratio)
            for name, method in METHODS.items():
                kept = method(document.text, budget, document.question)
                assert count(kept) <= budget, (name, ratio)
                rows.append({
                    "kind": document.kind, "paraphrase": document.paraphrase, "language": document.language,
                    "ratio": ratio, "method": name, "kept": document.survives(kept),
                })  # fmt: skip
    return rows


def share(rows: list[dict[str, Any]], **wanted: Any) -> float:
    """Per cent of facts that survived, of the rows that are as wanted."""
    chosen = [row["kept"] for row in rows if all(row[name] == value for name, value in wanted.items())]
    return 100.0 * sum(chosen) / len(chosen) if chosen else float("nan")


def table(rows: list[dict[str, Any]]) -> str:
    groups: list[tuple[str, dict[str, Any]]] = [
        ("**all**", {}), ("sharing terms", {"paraphrase": False}), ("paraphrase", {"paraphrase": True}),
    ]  # fmt: skip
    groups += [(kind, {"kind": kind}) for kind in KINDS]
    groups += [("not English", {"language": "other"})]
    lines = [
        "| | " + " | ".join(f"{ratio:g}× {name}" for ratio in RATIOS for name in METHODS) + " |",
        "|---|" + "--:|" * (len(RATIOS) * len(METHODS)),
    ]
    for name, wanted in groups:
        cells = [f"{share(rows, ratio=ratio, method=method, **wanted):.1f}" for ratio in RATIOS for method in METHODS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lost(made: list[Made], ratio: float, *, paraphrase: bool) -> dict[str, list[Made]]:
    """Facts of ours that did not survive, for a look."""
    found: dict[str, list[Made]] = defaultdict(list)
    for one in made:
        if one.paraphrase == paraphrase and not one.survives(
            ours(one.text, int(count(one.text) / ratio), one.question)
        ):
            found[one.kind].append(one)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--documents", type=int, default=240, help="for each seed")
    parser.add_argument("--lost", type=float, help="show the facts that ours loses at this ratio")
    parser.add_argument("--out", type=Path, help="write the rows here as JSON")
    args = parser.parse_args()
    made = [one for seed in args.seed for one in documents(seed, args.documents)]
    if args.lost:
        for paraphrase in (False, True):
            for kind, those in lost(made, args.lost, paraphrase=paraphrase).items():
                for one in those:
                    print(f"{kind} {'paraphrase' if paraphrase else 'shared'}: {one.question!r} <- {one.needle!r}")
        return 0
    rows = judged(made)
    sizes = sorted(count(one.text) for one in made)
    print(f"{len(made)} documents of {sizes[0]:,} to {sizes[-1]:,} tokens, in the middle {sizes[len(sizes) // 2]:,}\n")
    print(table(rows))
    if args.out:
        args.out.write_text(json.dumps(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
