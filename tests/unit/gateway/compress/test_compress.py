"""What is kept of texts of each kind, by example."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence.gateway.compress import Kind, compress, kind_of
from ringfence.gateway.compress.json_tree import NotJson, tree_of
from ringfence.gateway.compress.pieces import pieces
from ringfence.gateway.compress.relevance import Likeness, Question
from ringfence.gateway.compress.score import form_of
from ringfence.gateway.compress.sift import KEPT_BUDGETS, MOST_LINES, needs_sifting, sifted


def in_bytes(text: str) -> int:
    return len(text.encode())


FILLER = "The committee met again and talked about the weather of the past weeks.\n"
LOG = "".join(f"2026-11-03 10:{at // 60:02}:{at % 60:02} INFO [poll] nothing new in {at * 7} ms\n" for at in range(300))
PYTHON = "import os\n\n\ndef first(a: int) -> int:\n    b = a + 1\n    return b\n\n\nclass Second:\n    x = 1\n" * 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (FILLER * 20, Kind.PROSE),
        (LOG, Kind.LOG),
        ("Nov  3 10:00:01 node1 sshd[22]: accepted\n" * 20, Kind.LOG),
        (PYTHON, Kind.CODE),
        ("a,b,c\n1,2,3\n4,5,6\n7,8,9\n10,11,12\n", Kind.TABLE),
        ('{"a": [1, 2]}', Kind.JSON),
        ('\n[{"a": 1}]\n', Kind.JSON),
        ('{"a": 1}\n{"a": 2}\n{"a": 3}\n', Kind.JSON_LINES),
        ("", Kind.PROSE),
        ("{ not json", Kind.PROSE),
        (Path(kind_of.__code__.co_filename).read_text(encoding="utf-8"), Kind.CODE),
        ('"""What it is."""\n\nSIZE = 3\nNAME = "x"', Kind.CODE),
        ("{% extends 'base' %}\n{% block a %}\n<p>Text of a page.</p>\n{% endblock %}", Kind.PROSE),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("## Setting up", "heading"), ("2.1 Scope of the Contract", "heading"), ("第三章 结论", "heading"),
        ("GENERAL TERMS", "heading"),
        ("def run(self) -> None:", "signature"), ("export async function run() {", "signature"),
        ("static int run(char *name) {", "signature"), ("pub(crate) fn run()", "signature"),
        ("CREATE TABLE users (", "signature"), ("timeout: 30", "key_value"), ("  max-retries = 4", "key_value"),
        ('"port": 80,', "key_value"), ("- owner: Ada", "key_value"), ("端口：8080", "key_value"),
        ("It rained, and nobody came.", ""), ("", ""), ("}", ""), ("a == b", ""),
    ],
)  # fmt: skip
def test_forms(line: str, form: str) -> None:
    assert form_of(line) == form


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("when are the backups encrypted", "encryption"), ("the retry policy", "retries"),
        ("maximum size", "maximumUploadSize"),
        ("maximum size", "max_size"), ("the password", "pwd"),
        ("its configuration", "cfg"), ("time to live", "TTL"), ("连接池多大", "数据库连接池"),
        ("المهلة", "مهلة"), ("error 4117", "4117"), ("the 🚀", "🚀"),
    ],
)  # fmt: skip
def test_words_that_count_for_a_question(question: str, word: str) -> None:
    assert Likeness(Question(question)).of(word)


@pytest.mark.parametrize(
    ("question", "word"), [("the port", "report"), ("a cat", "catalogue"), ("the lease", "please")]
)
def test_words_that_do_not(question: str, word: str) -> None:
    assert all(sure < 0.8 for _, sure in Likeness(Question(question)).of(word))


@pytest.mark.parametrize(
    ("needle", "query"),
    [
        ("# Rules for the night shift\n", "what are the rules for the night shift?"),
        ("lease_timeout = 4117\n", "what is the lease timeout?"),
        ("数据库连接池的上限设为四千个。\n", "连接池的上限是多少？"),
        ("مهلة الجلسة هي ألف ثانية.\n", "كم مهلة الجلسة؟"),
        ("🚀 liftoff went well\n", "🚀"),
    ],
)
def test_what_is_asked_for_is_kept(needle: str, query: str) -> None:
    kept = compress(FILLER * 40 + needle + FILLER * 40, 300, in_bytes, query)
    assert needle in kept.text
    assert "[…" in kept.text
    assert kept.text.startswith("The committee")


def test_a_log_keeps_what_is_rare() -> None:
    rare = "2026-11-03 10:03:00 ERROR [disk] volume is read only\n"
    lines = LOG.splitlines(keepends=True)
    kept = compress("".join([*lines[:180], rare, *lines[180:]]), 400, in_bytes)
    assert rare in kept.text and kept.kind is Kind.LOG


def test_the_gaps_are_told_where_there_is_room() -> None:
    kept = compress(FILLER * 100, 400, in_bytes)
    missing = 100 - kept.text.count("committee")
    assert kept.text.count(" lines left out]") == 1 and f"[… {missing} lines left out]" in kept.text


def test_ends_come_first_when_asked_for() -> None:
    text = "".join(f"line {at} about rivers\n" for at in range(200))
    kept = compress(text, 400, in_bytes, "line 100", ends=0.5)
    assert (
        kept.text.startswith("line 0 ") and kept.text.endswith("line 199 about rivers\n") and "line 100 " in kept.text
    )


def records(**more: Any) -> str:
    rows = [
        {"id": at, "name": f"svc-{at}", "timeout_s": at * 7 % 91, "note": "nothing to see here " * 3}
        for at in range(200)
    ]
    return json.dumps({"results": rows, **more})


def test_a_record_is_found_and_stays_json() -> None:
    kept = compress(records(next=None), 400, in_bytes, "What is the timeout of svc-177?")
    rows = json.loads(kept.text)["results"]
    assert any(isinstance(row, dict) and row.get("name") == "svc-177" and row.get("timeout_s") == 56 for row in rows)
    assert "…" in kept.text


def test_a_long_string_within_json_is_shortened() -> None:
    body = FILLER * 50 + "The lease of the harbour ends on 3 May.\n" + FILLER * 50
    kept = compress(
        json.dumps({"url": "http://a.example", "body": body}), 500, in_bytes, "When does the lease of the harbour end?"
    )
    told = json.loads(kept.text)
    assert "The lease of the harbour ends on 3 May." in told["body"] and told["url"] == "http://a.example"
    assert "[…]" in told["body"]


def test_white_space_of_json_goes_first() -> None:
    value = {"a": [1, 2, {"b": "c d"}], "e": None}
    text = json.dumps(value, indent=8)
    kept = compress(text, len(json.dumps(value)), in_bytes)
    assert json.loads(kept.text) == value and len(kept.text) < len(text)


def test_each_line_of_json_lines_stays_json() -> None:
    text = "".join(json.dumps({"n": at, "msg": f"poll {at} done"}) + "\n" for at in range(500))
    kept = compress(text, 600, in_bytes, "poll 321")
    rows = [json.loads(line) for line in kept.text.splitlines()]
    assert {"n": 321, "msg": "poll 321 done"} in rows


@pytest.mark.parametrize(
    "text", ["[1,2", '{"a":}', "[1 2]", '{"a" 1}', "[tru]", "[" * 5000 + "]" * 5000, '["a\n"]', "[1]x", ""]
)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(NotJson):
        tree_of(text)
    kept = compress(text + "\nmore text here" * 20, 50, in_bytes, kind=Kind.JSON)
    assert 0 < in_bytes(kept.text) <= 50


def test_pieces_cover_the_text() -> None:
    text = "a\n\n\nb" + "word " * 200 + "\n" + "x" * 1000 + "日本語。" * 200
    spans = pieces(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert max(end - start for start, end in spans) <= 330


@pytest.mark.parametrize("one", ["👩\u200d💻", "e\u0301\u0327", "👍🏽", "🇳🇿", "☎\ufe0f"])
def test_no_character_is_torn(one: str) -> None:
    text = one * 500
    assert all((end - start) % len(one) == 0 for start, end in pieces(text) if end - start < 1000)
    kept = compress(text, 50, in_bytes)
    assert kept.text and kept.text.replace(one, "") == ""


def test_a_first_pass_keeps_head_tail_and_hits_of_at_most_eight_budgets() -> None:
    text = "".join(f"row {at} of a long table that nobody reads\n" for at in range(40_000))
    text = text.replace("row 23456 of", "harbour lease 4117 of")
    assert needs_sifting(text, (0, len(text))) and text.count("\n") > MOST_LINES
    spans = sifted(text, 4000, Question("what is the harbour lease"))
    assert spans[0][0] == 0 and spans[-1][1] == len(text)
    assert sum(end - start for start, end in spans) <= KEPT_BUDGETS * 4000
    assert any("harbour lease 4117" in text[start:end] for start, end in spans)
    kept = compress(text, 4000, in_bytes, "what is the harbour lease")
    assert "harbour lease 4117" in kept.text and kept.is_estimate


@pytest.mark.parametrize("make", [
    lambda: "x" * 5_000_000,
    lambda: "\n" * 5_000_000,
    lambda: "a\n" * 2_500_000,
    lambda: "[" + ",".join(f'{{"id":{at},"a":"b c d"}}' for at in range(250_000)) + "]",
    lambda: "\n".join(f'{{"id":{at},"a":"b c d"}}' for at in range(250_000)),
    lambda: '{"text":"' + "word " * 1_000_000 + '"}',
], ids=["one line", "empty lines", "short lines", "json", "json lines", "a long string"])  # fmt: skip
def test_long_texts(make: Any) -> None:
    text = make()
    kept = compress(text, 20_000, in_bytes, "what is 123456?")
    assert 0 < in_bytes(kept.text) <= 20_000
    if kept.kind is Kind.JSON:
        json.loads(kept.text)
    if "123456" in text:
        assert "123456" in kept.text


def test_the_order_of_hashes_changes_nothing() -> None:
    program = (
        "from pathlib import Path; import hashlib\n"
        "from ringfence.gateway.compress import compress\n"
        "text = Path(compress.__code__.co_filename).read_text()\n"
        "kept = compress(text, 900, len, 'which counts are estimates when a text is long?')\n"
        "print(hashlib.sha256(kept.text.encode()).hexdigest())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(told) == 1


def test_a_part_of_a_text_is_as_a_text_of_its_own() -> None:
    texts = [
        "".join(f"line {at} says {at * at}\n" for at in range(900)),
        json.dumps([{"name": f"svc-{at}", "port": at} for at in range(200)]),
        "alpha beta. " * 200_000,
    ]
    for text in texts:
        around = f"{'before ' * 50}{text}{' after' * 50}"
        part = around.index(text), around.index(text) + len(text)
        alone = compress(text, 500, in_bytes, "what does line 77 say, and svc-77?")
        kept = compress(around, 500, in_bytes, "what does line 77 say, and svc-77?", part=part)
        assert (kept.text.strip(), kept.before, kept.kind) == (alone.text.strip(), alone.before, alone.kind)
        assert [(start - part[0], end - part[0]) for start, end in kept.spans] == list(alone.spans)


@pytest.mark.parametrize(("filler", "needle", "query"), [
    ("第{}行没有什么特别的内容，只是普通的文字。\n", "仓库的门禁密码是四七一一九。\n", "门禁密码是什么？"),
    ("السطر رقم {} لا يقول شيئا مهما على الإطلاق\n", "مفتاح المستودع هو النخلة الزرقاء\n", "ما هو مفتاح المستودع؟"),
    ("строка {} ничего важного не говорит\n", "Пароль от склада: синяя пальма\n", "какой пароль от склада?"),
    ("😀 line {} with a face and nothing else 🎉\n", "🔑 the Harbour lease is 4117\n", "what is the harbour lease?"),
    ("café {} déjà vu, rien de spécial\n", "La clé de l'ÉCURIE: sous la pierre\n", "Où est la clé de l'écurie ?"),
    ("İstanbul {} hiçbir şey yok\n", "the harbour lease İ is 4117\n", "what is the harbour lease?"),
], ids=["Chinese", "Arabic", "Russian", "emoji", "French", "Turkish"])  # fmt: skip
@pytest.mark.parametrize("lines", [300, MOST_LINES + 5000])
def test_what_is_asked_for_is_kept_in_other_languages(filler: str, needle: str, query: str, lines: int) -> None:
    half = "".join(filler.format(at) for at in range(lines // 2))
    text = half + needle + half
    kept = compress(text, in_bytes(text) // (10 if lines == 300 else 100), in_bytes, query)
    assert needle.strip() in kept.text
    assert all(text[start:end] in text for start, end in kept.spans)
    assert not kept.text.encode().decode().count("\ufffd")
