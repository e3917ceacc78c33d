"""What follows from packets: held, allowed, leak, blind, or nothing at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.prove.house import Said
from ringfence.prove.packets import Packet, Reach
from ringfence.prove.proof import ProfileProof, Proof
from ringfence.prove.report import report_html
from ringfence.prove.verdict import Row, Verdict, Weighed, judge, merged
from ringfence.prove.way import Tried


def weighed(*reaches: Reach) -> list[Weighed]:
    return [Weighed(Packet("11.0.0.1", "tcp", 4000, 443, "", 100), 2, reach) for reach in reaches]


def judged(
    *reaches: Reach, allowed: Reach, tried: bool = True, must: bool = False, arrived: bool = False, serve: bool = False
) -> Row:
    return judge(
        "way", "text", "200", weighed(*reaches), allowed, is_tried=tried, must_reach=must, text_arrived=arrived,
        must_serve=serve,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "is_tried"),
    [
        (Said(200, target="vllm/fast"), True),
        (Said(403, "boundary_refused", kind="permission_error"), True),
        (Said(400, "remote_media_refused", kind="invalid_request_error"), True),
        (Said(403, "host_not_allowed", kind="other_error"), False),
        (Said(401, "invalid_api_key"), False),
        (Said(404, "model_not_found"), False),
        (Said(503, "target_unavailable"), False),
        (Said(0), False),
    ],
)
def test_a_call_that_was_neither_answered_nor_refused_was_not_tried(said: Said, is_tried: bool) -> None:
    assert Tried.by(said).is_tried is is_tried


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (judged(allowed=Reach.HOST), Verdict.HELD),
        (judged(Reach.HOST, allowed=Reach.HOST), Verdict.HELD),
        (judged(Reach.MESH, allowed=Reach.HOST), Verdict.LEAK),
        (judged(Reach.MESH, allowed=Reach.MESH, arrived=True), Verdict.ALLOWED),
        (judged(Reach.CLOUD, allowed=Reach.MESH), Verdict.LEAK),
        (judged(Reach.CLOUD, allowed=Reach.CLOUD), Verdict.ALLOWED),
        (judged(Reach.ELSEWHERE, allowed=Reach.CLOUD), Verdict.LEAK),
        (judged(allowed=Reach.HOST, tried=False), Verdict.NOT_TRIED),
        (judged(allowed=Reach.HOST, tried=False, serve=True), Verdict.BLIND),
        (judged(allowed=Reach.HOST, serve=True), Verdict.HELD),
        (judged(Reach.CLOUD, allowed=Reach.HOST, tried=False), Verdict.LEAK),
        (judged(allowed=Reach.CLOUD, must=True), Verdict.BLIND),
        (judged(Reach.CLOUD, allowed=Reach.CLOUD, must=True), Verdict.BLIND),
        (judged(Reach.CLOUD, allowed=Reach.CLOUD, must=True, arrived=True), Verdict.ALLOWED),
        (judged(allowed=Reach.HOST, arrived=True), Verdict.LEAK),
    ],
)
def test_the_verdict_follows_from_what_was_seen(row: Row, verdict: Verdict) -> None:
    assert row.verdict is verdict


def test_packets_are_counted_without_looks_at_own_engines() -> None:
    row = judged(Reach.HOST, Reach.MESH, Reach.CLOUD, allowed=Reach.MESH)
    assert (row.packets, row.bytes, row.beyond_packets, row.beyond_bytes) == (4, 400, 2, 200)
    assert row.to == ("tcp 11.0.0.1:443 (cloud)", "tcp 11.0.0.1:443 (mesh)")


def proof(*rows: Row, failed: str = "") -> Proof:
    one = ProfileProof("<b>", "host", [row.as_row() for row in rows], failed)
    return Proof("now", "1", "rf.yaml", "", [one], [])


def test_several_attempts_of_one_way_are_as_good_as_the_worst() -> None:
    held, allowed = judged(allowed=Reach.HOST), judged(Reach.CLOUD, allowed=Reach.CLOUD)
    assert merged([held, allowed]).verdict is Verdict.ALLOWED
    assert merged([held, judged(allowed=Reach.HOST, tried=False)]).verdict is Verdict.NOT_TRIED
    leak = merged([judged(Reach.CLOUD, allowed=Reach.HOST), allowed])
    assert (leak.verdict, leak.packets, leak.beyond_packets) == (Verdict.LEAK, 4, 2)


def test_what_keys_of_a_coordinator_may_do_as_others_is_said() -> None:
    row = replace(judged(Reach.CLOUD, allowed=Reach.CLOUD), way="delegates").as_row()
    held = judged(allowed=Reach.HOST).as_row()
    reaches = {"personal": "cloud", "private": "host"}
    said = ProfileProof("conductor", "host", [held, row], delegates=reaches).in_words
    assert said.startswith("Nothing left for conductor") and "in its own name" in said
    assert said.endswith("But its keys may call as personal (cloud), and did.")
    assert ProfileProof("conductor", "host", [held], delegates=reaches).in_words.endswith("that was not tried.")
    allowed = judged(Reach.CLOUD, allowed=Reach.CLOUD).as_row()
    assert "(cloud: api.example)" in ProfileProof("p", "cloud", [allowed], clouds=["api.example"]).in_words


def test_a_proof_is_as_good_as_its_worst_row() -> None:
    held, leak = judged(allowed=Reach.HOST), judged(Reach.CLOUD, allowed=Reach.HOST)
    assert proof(held).is_proven
    assert not proof(held, leak).is_proven
    assert not proof(held, judged(allowed=Reach.HOST, tried=False)).is_proven
    assert not proof(held, failed="it did not start").is_proven
    assert not proof().is_proven
    assert "leaks by: way" in proof(held, leak).profiles[0].in_words


def test_a_report_names_a_leak_and_quotes_nothing_unescaped() -> None:
    page = report_html(proof(judged(Reach.CLOUD, allowed=Reach.HOST)))
    assert "The data fence is not proven" in page
    assert "&lt;b&gt; leaks by: way" in page and "<b> leaks" not in page
    assert "tcp 11.0.0.1:443 (cloud)" in page
