"""Requests wait, on disk and on the line, for an engine that is away."""

from __future__ import annotations

import json
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_rows import rows
from parked import TICKET, Engine, House
from whole import Reply, command, control, kill, open_request, question, until

pytestmark = pytest.mark.slow

CANARY = "canary-of-a-parked-request-7c1e"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> Iterator[House]:
    house = House(tmp_path, engine)
    house.start()
    yield house
    house.stop()


def answered(house: House, ticket: str, within_s: float = 20.0) -> Reply:
    def look() -> Reply | None:
        reply = house.look(ticket)
        return reply if reply.status != 202 else None

    return until(look, within_s, "an answer for a ticket")


def states(house: House) -> dict[str, str]:
    return dict(rows(house.folder / "ringfence.db", "SELECT id, state FROM parked"))


def asked(engine: Engine) -> list[str]:
    return [json.dumps(each.body) for each in engine.fake.requests if each.path.endswith("completions")]


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(work()), daemon=True)
    thread.start()
    return thread, got


def test_a_ticket_survives_a_killed_gateway_and_is_answered(house: House, engine: Engine) -> None:
    ticket = house.park(CANARY)
    waiting = house.look(ticket)
    assert (waiting.status, waiting.headers["retry-after"]) == (202, "5")
    told = waiting.json
    assert (told["object"], told["status"], told["position"], told["id"]) == ("parked", "waiting", 1, ticket)
    pid = house.pid()
    kill(pid)
    until(lambda: house.pid() != pid and house.look(ticket).status == 202, 20, "the gateway again")
    engine.come()
    reply = answered(house, ticket)
    assert reply.status == 200 and reply.text and reply.json["model"] == "near"
    assert reply.headers["x-ringfence-boundary"] == "HOST"
    assert house.look(ticket).body == reply.body
    assert len([text for text in asked(engine) if CANARY in text]) == 1
    assert states(house) == {ticket: "done"}


@pytest.mark.sqlite("its log, and the pages that it does not use any more")
def test_the_state_folder_holds_no_text(house: House, engine: Engine) -> None:
    """Neither of who has a ticket nor of who waits; not while they wait, not in pages that are free again, and not in
    the log of a gateway that tells much."""
    house.change("discovery:", "logging: {level: debug, requests: true}\ndiscovery:")
    tickets = [house.park(CANARY, {"x-ringfence-label": "canary-label"}), house.park(CANARY * 1000)]
    body = question(CANARY + " on the line")
    thread, got = in_thread(lambda: house.ask("POST", "/v1/chat/completions", body))
    until(lambda: list(states(house).values()) == ["waiting"] * 3, 25, "three parked requests")
    kept = everything(house)
    assert "ringfence.db-wal" in kept and len(kept["ringfence.db-wal"]) > 25_000
    engine.come()
    house.ask_impatiently()
    answers = [answered(house, ticket).text for ticket in tickets]
    thread.join(20)
    assert got[0].status == 200
    until(lambda: list(states(house).values()) == ["done"] * 3, 25, "their ends in the record")
    kept |= {f"after {name}": data for name, data in everything(house).items()}
    with sqlite3.connect(house.folder / "ringfence.db") as database:  # all of the log goes into the file
        assert database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
        assert database.execute("PRAGMA freelist_count").fetchone()[0] > 5
    house.stop()
    kept |= {f"in the end {name}": data for name, data in everything(house).items()}
    assert len(kept["in the end ringfence.db"]) > 25_000
    words = [CANARY, "canary-label", *answers]
    forms = {form for word in words for form in written_as(word)}
    assert [(name, form) for name, data in kept.items() for form in forms if form in data] == []
    assert (house.folder / "parking.key").stat().st_mode & 0o777 == 0o600
    key = kept["parking.key"]
    assert [name for name, data in kept.items() if key in data and "parking.key" not in name] == []


def everything(house: House) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in house.folder.rglob("*") if path.is_file()}


def written_as(word: str) -> Iterator[bytes]:
    """A word in the ways in which it could be found again."""
    raw = word.encode()
    yield raw
    yield raw.hex().encode()
    yield word.encode("utf-16-le")
    for before in range(3):  # wherever in a text it stands
        yield b64encode(b"x" * before + raw)[4 if before else 0 : -4]


def test_a_caller_that_waits_is_served_when_the_engine_comes(house: House, engine: Engine) -> None:
    thread, got = in_thread(lambda: house.ask("POST", "/v1/chat/completions", question("plain")))
    until(lambda: list(states(house).values()) == ["waiting"], 25, "a parked request")
    engine.come()
    thread.join(20)
    assert got[0].status == 200 and got[0].text
    until(lambda: list(states(house).values()) == ["done"], 25, "its end in the record")


def test_a_stream_is_kept_alive_and_then_answered(house: House, engine: Engine) -> None:
    body = question("streamed", stream=True)
    with open_request(house.root_url, "POST", "/v1/chat/completions", body, house.key) as response:
        assert response.status == 200 and response.headers["content-type"].startswith("text/event-stream")
        assert response.readline() == b": parked position=1 estimate_s=unknown\n"
        engine.come()
        house.ask_impatiently()
        rest = response.read()
    assert rest.endswith(b"data: [DONE]\n\n") and b"chat.completion.chunk" in rest


def test_who_goes_away_is_cancelled(house: House) -> None:
    body = question("gone", stream=True)
    response = open_request(house.root_url, "POST", "/v1/chat/completions", body, house.key)
    response.readline()
    response.close()
    until(lambda: list(states(house).values()) == ["cancelled"], 25, "its end in the record")


def test_who_waited_when_the_gateway_was_killed_is_cancelled(house: House) -> None:
    body = question("gone", stream=True)
    response = open_request(house.root_url, "POST", "/v1/chat/completions", body, house.key)
    response.readline()
    pid = house.pid()
    kill(pid)
    until(lambda: list(states(house).values()) == ["cancelled"], 30, "its end in the record")
    response.close()


def test_a_deadline_ends_it(house: House) -> None:
    soon = {"x-ringfence-deadline-s": "1"}
    ticket = house.park("late", soon)
    with open_request(
        house.root_url, "POST", "/v1/chat/completions", question("late", stream=True), house.key, more_headers=soon
    ) as response:
        reply = house.ask("POST", "/v1/chat/completions", question("late"), soon)
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "deadline_passed", "15")
        assert b'"code":"deadline_passed"' in response.read()
    late = answered(house, ticket)
    assert (late.status, late.code, late.headers["retry-after"]) == (503, "deadline_passed", "15")
    refused = house.ask("POST", "/v1/chat/completions", question("x"), {"x-ringfence-deadline-s": "soon"})
    assert (refused.status, refused.code) == (400, "invalid_value")
    until(lambda: set(states(house).values()) == {"expired"}, 25, "their end in the record")


def test_a_ticket_is_for_its_own_key(house: House) -> None:
    ticket, other = house.park("mine"), house.make_key("other")
    assert house.ask("GET", f"/v1/parked/{ticket}", key=other).code == "not_found"
    assert house.ask("DELETE", f"/v1/parked/{ticket}", key=other).status == 404
    assert house.ask("POST", f"/v1/parked/{ticket}").status == 405
    assert house.look("parked-nobody").status == 404
    gone = house.ask("DELETE", f"/v1/parked/{ticket}")
    assert (gone.status, gone.json["status"]) == (200, "cancelled")
    assert (house.look(ticket).status, house.look(ticket).code) == (410, "parked_cancelled")


def test_a_revoked_key_cancels_what_it_parked(house: House) -> None:
    ticket = house.park("revoked")
    [key_id] = [key["id"] for key in control(house, "/keys")["keys"] if key["name"] == "private"]  # type: ignore[arg-type]
    control(house, f"/keys/{key_id}", "DELETE")  # type: ignore[arg-type]
    until(lambda: states(house) == {ticket: "cancelled"}, 25, "its end in the record")


def test_a_ticket_can_be_followed_on_a_stream(house: House, engine: Engine) -> None:
    ticket = house.park("follow me")
    with open_request(house.root_url, "GET", f"/v1/parked/{ticket}?stream=true", None, house.key) as response:
        assert response.readline().startswith(b": parked position=1")
        engine.come()
        rest = response.read()
    event = json.loads(rest.split(b"data: ")[1])
    assert event["choices"][0]["message"]["content"] and rest.endswith(b"data: [DONE]\n\n")
    engine.go()
    streamed = house.park("a stream, kept", stream=True)
    engine.come()
    kept = answered(house, streamed)
    assert kept.headers["content-type"].startswith("text/event-stream") and kept.body.endswith(b"data: [DONE]\n\n")
    followed = house.ask("GET", f"/v1/parked/{streamed}?stream=true")
    assert followed.body == kept.body


def test_a_full_queue_is_told(house: House) -> None:
    house.change("deadline_s: 60", "deadline_s: 60, most: 2")
    house.park("one"), house.park("two")
    full = house.ask("POST", "/v1/chat/completions", question("three"), TICKET)
    assert (full.status, full.code, full.headers["retry-after"]) == (503, "queue_full", "15")


def test_the_order_is_by_class_and_then_by_age(house: House, engine: Engine) -> None:
    house.change("aliases: [auto]", "aliases: [auto], parallel: 1")
    words = [
        ("background", "b1"),
        ("agent", "a1"),
        ("user", "u1"),
        ("background", "b2"),
        ("user", "u2"),
        ("agent", "a2"),
    ]
    tickets = [house.park(f"word {text}", {"x-ringfence-priority": urgency}) for urgency, text in words]
    assert [house.look(ticket).json["position"] for ticket in tickets] == [5, 3, 1, 6, 2, 4]
    engine.come()
    for ticket in tickets:
        assert answered(house, ticket).status == 200
    order = [text.split("word ")[1][:2] for text in asked(engine)]
    assert order == ["u1", "u2", "a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "another"])
def test_a_key_file_that_is_not_the_one(house: House, engine: Engine, lost: bool) -> None:
    ticket = house.park(CANARY)
    house.stop()
    key = house.folder / "parking.key"
    right = key.read_bytes()
    if lost:
        key.unlink()
    else:
        key.write_bytes(bytes(32))
    house.start()
    assert (house.look(ticket).status, house.look(ticket).code) == (410, "parked_unreadable")
    assert "parking.key" in control(house, "/status")["parking"]["problem"]  # type: ignore[arg-type]
    doctor = command("doctor", "--config", str(house.file), folder=house.folder)
    assert "parking.key" in doctor.stdout.replace("\n", "")
    assert "parking.key" in (house.folder / "logs" / "gateway.log").read_text()
    engine.come()
    until(lambda: house.ask("POST", "/v1/chat/completions", question("now")).status == 200, 20, "an answer")
    engine.go()
    other = house.park("sealed with the key that is there now")
    house.stop()
    key.write_bytes(right)
    house.start()
    engine.come()
    assert answered(house, ticket).status == 200
    assert house.look(other).code == "parked_unreadable"


def test_a_key_file_that_others_can_read_is_not_used(house: House, engine: Engine) -> None:
    ticket = house.park(CANARY)
    house.stop()
    (house.folder / "parking.key").chmod(0o644)
    house.start()
    refused = house.ask("POST", "/v1/chat/completions", question("more"), TICKET)
    assert (refused.status, refused.code) == (503, "not_parked")
    assert house.look(ticket).code == "parked_unreadable"
    engine.come()
    until(lambda: house.ask("POST", "/v1/chat/completions", question("now")).status == 200, 20, "an answer")


def test_a_gateway_that_is_stopped_tells_who_waits(house: House) -> None:
    thread, got = in_thread(lambda: house.ask("POST", "/v1/chat/completions", question("plain")))
    until(lambda: list(states(house).values()) == ["waiting"], 25, "a parked request")
    ticket = house.park("stays")
    house.stop()
    thread.join(10)
    assert isinstance(got[0], Reply) and (got[0].status, got[0].headers["retry-after"]) == (503, "15")
    assert states(house)[ticket] == "waiting" and sorted(states(house).values()) == ["cancelled", "waiting"]
