"""Waiting, as callers of the openai and anthropic packages see it: streams, tickets, deadlines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from parked import TICKET, Engine, House
from whole import control, question, until

ASKED: dict[str, Any] = question("Say something.")
SOON = {"x-ringfence-deadline-s": "1"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("parked"), engine)
    house.start()
    yield house
    house.stop()


@pytest.fixture(autouse=True)
def away(engine: Engine, house: House) -> None:
    engine.go()
    assert house.process is not None


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.root_url}/v1", api_key=house.key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def claude(house: House) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=house.root_url, api_key=house.key, max_retries=0, timeout=30) as client:
        yield client


def come_once_parked(house: House, engine: Engine) -> threading.Thread:
    """The engine is there as soon as somebody waits for it."""

    def wait() -> None:
        until(lambda: "waiting" in [row["state"] for row in control(house, "/parked")["parked"]], 20, "one that waits")  # type: ignore[arg-type]
        engine.come()
        house.ask_impatiently()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_openai_reads_a_stream_through_the_comments(client: openai.OpenAI, house: House, engine: Engine) -> None:
    thread = come_once_parked(house, engine)
    chunks = [*client.chat.completions.create(**ASKED, stream=True)]
    thread.join()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "The quick brown fox"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_comments_were_there(client: openai.OpenAI, house: House, engine: Engine) -> None:
    """What the test above rests on."""
    thread = come_once_parked(house, engine)
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as raw:
        lines = [*raw.iter_lines()]
    thread.join()
    assert lines[0] == ": parked position=1 estimate_s=" + lines[0].rpartition("=")[2]
    assert [line for line in lines if line][-1] == "data: [DONE]"


def test_openai_waits_for_an_answer_in_one_piece(client: openai.OpenAI, house: House, engine: Engine) -> None:
    thread = come_once_parked(house, engine)
    answer = client.chat.completions.create(**ASKED)
    thread.join()
    assert answer.choices[0].message.content and answer.model == "near"


def test_openai_is_told_of_a_deadline(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as late:
        client.chat.completions.create(**ASKED, extra_headers=SOON)
    assert (late.value.status_code, late.value.code) == (503, "deadline_passed")
    assert late.value.response.headers["retry-after"] == "15"
    with pytest.raises(openai.APIError) as broken:
        [*client.chat.completions.create(**ASKED, stream=True, extra_headers=SOON)]
    assert broken.value.code == "deadline_passed"


def test_openai_takes_a_ticket_and_polls(client: openai.OpenAI, house: House, engine: Engine) -> None:
    raw = client.chat.completions.with_raw_response.create(**ASKED, extra_headers=TICKET)
    assert (raw.status_code, raw.headers["preference-applied"]) == (202, "respond-async")
    path = raw.headers["location"].removeprefix("/v1")
    engine.come()
    house.ask_impatiently()
    answer = until(lambda: _answer(client, path), 20, "an answer")
    assert answer.choices[0].message.content


def _answer(client: openai.OpenAI, path: str) -> Any:
    found = client.get(path, cast_to=openai.types.chat.ChatCompletion)
    return found if found.object == "chat.completion" else None


def test_anthropic_is_told_in_its_own_shape(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as late:
        claude.post("/v1/chat/completions", body=ASKED, cast_to=object, options={"headers": SOON})
    error = late.value
    assert (error.status_code, error.type, error.error_code) == (529, "overloaded_error", "deadline_passed")
    assert error.response.headers["retry-after"] == "15"


def test_a_ticket_is_told_in_anthropics_shape(claude: anthropic.Anthropic) -> None:
    raw: Any = claude.post("/v1/chat/completions", body=ASKED, cast_to=object, options={"headers": TICKET | SOON})

    def ended() -> anthropic.APIStatusError | None:
        try:
            claude.get(f"/v1/parked/{raw['id']}", cast_to=object)
        except anthropic.APIStatusError as error:
            return error
        return None

    error = until(ended, 25, "its end")
    assert (error.status_code, error.type, error.error_code) == (529, "overloaded_error", "deadline_passed")


def test_a_full_queue_is_overloaded(client: openai.OpenAI, claude: anthropic.Anthropic, house: House) -> None:
    house.change("deadline_s: 60", "deadline_s: 60, most: 0")
    with pytest.raises(openai.InternalServerError) as full:
        client.chat.completions.create(**ASKED)
    assert (full.value.status_code, full.value.code) == (503, "queue_full")
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        claude.post("/v1/chat/completions", body=ASKED, cast_to=object)
    assert (overloaded.value.type, overloaded.value.error_code) == ("overloaded_error", "queue_full")
    assert full.value.response.headers["retry-after"] == overloaded.value.response.headers["retry-after"] == "15"
