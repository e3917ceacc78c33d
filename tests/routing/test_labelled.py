"""The labelled requests are what their guideline says; no rule is looked at here."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from labelled import BYTES_PER_TOKEN, FILE, Labelled, filler, load, texts, words

TASKS = words(
    "chat classification extraction summary rewrite rag code reasoning architecture creative agent title embedding"
)
EFFORT_GIVEN = {"none": 1, "minimal": 1, "low": 3, "medium": 5, "high": 8, "xhigh": 10}
KINDS_HELD = {"secret", "card", "iban", "id_number"}


@pytest.fixture(scope="module")
def requests() -> list[Labelled]:
    return load()


def passes_luhn(text: str) -> bool:
    digits = [int(one) for one in unicodedata.normalize("NFKC", text) if one.isdigit()]
    doubled = [one * 2 - 9 * (one > 4) if place % 2 else one for place, one in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def passes_modulo_97(text: str) -> bool:
    plain = "".join(one for one in unicodedata.normalize("NFKC", text).upper() if one.isalnum())
    return int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1


def test_there_are_enough_of_each_sort(requests: list[Labelled]) -> None:
    assert len(requests) >= 420
    assert sum(one.adversarial for one in requests) >= 90
    assert {one.task for one in requests} == set(TASKS)
    assert min(Counter(one.task for one in requests).values()) >= 15
    assert sum(one.private for one in requests) >= 60
    assert sum(one.private and one.adversarial for one in requests) >= 25
    assert sum(bool(one.resembles) and one.adversarial and not one.private for one in requests) >= 20


def test_both_parts_hold_the_same_mix(requests: list[Labelled]) -> None:
    for task in TASKS:
        parts = Counter(one.part for one in requests if one.task == task)
        assert set(parts) == {"open", "held"}
        assert abs(parts["open"] - parts["held"]) <= max(1, 0.1 * parts.total()), task
    for chosen in ([one for one in requests if one.adversarial], [one for one in requests if one.private]):
        parts = Counter(one.part for one in chosen)
        assert abs(parts["open"] - parts["held"]) <= 0.1 * parts.total()


def test_ids_and_requests_are_unique(requests: list[Labelled]) -> None:
    assert len({one.id for one in requests}) == len(requests)
    assert len({json.dumps([one.body, one.headers], sort_keys=True) for one in requests}) == len(requests)


def test_values_are_those_of_the_guideline(requests: list[Labelled]) -> None:
    for one in requests:
        assert one.part in {"open", "held"}
        assert 1 <= one.effort <= 10
        assert one.goes
        assert set(one.goes) <= {"local", "quality", "frontier", "cloud", "long"}, one.id
        assert {kind for kind, _ in one.holds} <= KINDS_HELD
        assert "model" not in one.body
        fields = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
        assert fields[one.route] in one.body, one.id
        assert (one.task == "embedding") == (one.route == "embeddings")
        if "reasoning_effort" in one.body:
            assert one.effort == EFFORT_GIVEN[one.body["reasoning_effort"]], one.id


def test_what_is_private_says_why_and_stays(requests: list[Labelled]) -> None:
    for one in requests:
        assert one.private == bool(one.holds or "x-ringfence-label" in one.headers), one.id
        if one.private:
            assert set(one.goes) <= {"local", "quality"}, one.id
        said = "\n".join(texts(one.body))
        for _, text in (*one.holds, *one.resembles):
            assert text in said, one.id


def test_cards_and_accounts_are_valid_and_what_resembles_them_is_not(requests: list[Labelled]) -> None:
    checks = {"card": passes_luhn, "iban": passes_modulo_97}
    held = [(one.id, kind, text) for one in requests for kind, text in one.holds if kind in checks]
    alike = [(one.id, kind, text) for one in requests for kind, text in one.resembles if kind in checks]
    assert len(held) >= 20
    assert len(alike) >= 5
    for name, kind, text in held:
        assert checks[kind](text), name
    for name, kind, text in alike:
        assert not checks[kind](text), name


def test_agents_have_tools_and_used_them(requests: list[Labelled]) -> None:
    for one in requests:
        used = any(message.get("tool_calls") for message in one.body.get("messages", ()))
        assert (one.task == "agent") == bool(used and one.body.get("tools")), one.id


def test_length_is_the_band_of_what_is_said(requests: list[Labelled]) -> None:
    for one in requests:
        tokens = len("\n".join(texts(one.body)).encode()) / BYTES_PER_TOKEN
        assert one.length == ("short" if tokens < 2000 else "medium" if tokens <= 16000 else "long"), one.id


def test_padding_has_the_size_it_claims() -> None:
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    padded = [(row["id"], row["request"]["pad"]) for row in rows if "pad" in row["request"]]
    assert {pad["kind"] for _, pad in padded} == {"prose", "code", "log"}
    for name, pad in padded:
        text = filler(name, pad["kind"], pad["tokens"])
        assert abs(len(text.encode()) / BYTES_PER_TOKEN - pad["tokens"]) <= 0.15 * pad["tokens"], name
        assert text == filler(name, pad["kind"], pad["tokens"])


def test_the_file_stays_small() -> None:
    assert FILE.stat().st_size < 600_000
