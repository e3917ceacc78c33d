"""What is given up, in which order, and what is told."""

from __future__ import annotations

from itertools import chain
from typing import Any

import orjson
import pytest

from ringfence.core.errors import ContextLengthExceeded
from ringfence.gateway.count import Count, Meter, Template, byte_length
from ringfence.gateway.shrink import SHAPES, Fitted, fit_request

BARE = Meter(byte_length, Template(base=10, message=10, part=2, call=10, tools=10, tool=10))
CHAT = SHAPES["chat"]
Body = dict[str, Any]
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAHAAAABwCAYAAADG4PRL"


def user(text: Any) -> Body:
    return {"role": "user", "content": text}


def answer(text: str) -> Body:
    return {"role": "assistant", "content": text}


def system(text: str) -> Body:
    return {"role": "system", "content": text}


def called(known: str, result: Any, arguments: str = "{}") -> list[Body]:
    call = {"id": known, "type": "function", "function": {"name": "read", "arguments": arguments}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": known, "content": result},
    ]


def words(label: str, size: int) -> str:
    return " ".join(f"{label}{index}" for index in range(size))[:size]


def fit(messages: list[Body], window: int = 4096, asked: int | None = 100, **more: Any) -> Fitted:
    body = {"messages": messages, **more.pop("body", {})}
    before = orjson.dumps(body)
    fitted = fit_request(body, CHAT, window, asked, more.pop("meter", BARE), **more)
    assert orjson.dumps(body) == before
    return fitted


def left(fitted: Fitted) -> list[Body]:
    return fitted.body["messages"]


def test_what_fits_is_the_callers_own_body() -> None:
    body = {"messages": [user("hello")]}
    fitted = fit_request(body, CHAT, 4096, 100, BARE)
    assert fitted.body is body
    assert (fitted.state, fitted.told, fitted.output, fitted.is_bound) == ("fit", "fit", 100, True)


def test_output_is_clamped() -> None:
    fitted = fit([user("hello")], asked=4000)
    assert (fitted.told, fitted.output) == ("clamped", 2457)


def test_old_output_of_tools_is_shortened_first() -> None:
    old = [user("first"), *called("a", words("old", 5000)), answer("done")]
    now = [system(words("rule", 300)), *old, user(words("question", 600))]
    fitted = fit(now)
    assert fitted.state == "compressed"
    assert fitted.shortened == {"tool_result": 1}
    assert [message for message in left(fitted) if message["role"] != "tool"] == [
        message for message in now if message["role"] != "tool"
    ]
    assert fitted.told == f"compressed; before={fitted.before}; after={fitted.after}"
    assert 4096 - 100 - 512 - 64 <= fitted.after <= 4096 - 100 - 512, "no more than has to go"


def test_the_largest_of_several_gives_most() -> None:
    fitted = fit([user("a"), *called("a", words("x", 900)), *called("b", words("y", 9000)), user("b")])
    assert fitted.shortened == {"tool_result": 1}
    assert len(left(fitted)[2]["content"]) == 900


def test_then_turns_go_the_oldest_first() -> None:
    turns = [[user(words(f"q{index}-", 300)), answer(words(f"a{index}-", 500))] for index in range(8)]
    now = [system("be brief"), *chain.from_iterable(turns), user("and now?")]
    fitted = fit(now)
    assert fitted.state == "truncated"
    assert left(fitted)[0] == system("be brief")
    assert left(fitted)[1:] == now[1 + fitted.dropped :]
    assert left(fitted)[1]["role"] == "user", "turns go whole"
    assert fitted.dropped in range(6, 10)


def test_output_of_tools_that_was_just_asked_for_is_shortened_and_not_dropped() -> None:
    old = [user("earlier"), answer("before that")]
    fitted = fit([*old, user("look it up"), *called("a", words("found", 20_000))])
    assert [message["role"] for message in left(fitted)] == ["user", "assistant", "user", "assistant", "tool"]
    assert 2000 < len(left(fitted)[-1]["content"]) < 4000
    assert fitted.state == "compressed"


def test_a_prefill_is_shortened_before_it_is_dropped() -> None:
    fitted = fit([user("go on"), answer(words("so far", 9000))])
    assert left(fitted)[1]["content"].startswith("so far0 ")
    assert left(fitted)[1]["content"][-20:] == words("so far", 9000)[-20:]


def test_the_system_prompt_is_trimmed_after_that() -> None:
    fitted = fit([system(words("rule", 3000)), user("old"), answer("old"), user(words("q", 2000))])
    assert [message["role"] for message in left(fitted)] == ["system", "user"]
    assert 1000 < len(left(fitted)[0]["content"]) < 1500
    assert len(left(fitted)[1]["content"]) == 2000
    assert fitted.state == "truncated"


def test_the_last_message_stays_whole_at_the_cost_of_everything_else() -> None:
    room = 4096 - 100 - 512 - 10 - 10
    for size in (room, room + 512):
        fitted = fit([system(words("rule", 3000)), user("old"), user(words("q", size)), *called("a", words("r", 500))])
        assert user(words("q", size)) in left(fitted), size
        assert fitted.after + 100 <= 4096


def test_and_is_shortened_last_with_its_beginning_and_end() -> None:
    text = words("word", 20_000)
    fitted = fit([system("be brief"), user("old"), answer("old"), user(text)])
    assert [message["role"] for message in left(fitted)] == ["system", "user"]
    kept = left(fitted)[1]["content"]
    assert (kept[:500], kept[-500:]) == (text[:500], text[-500:])
    assert fitted.shortened == {"user": 1}


def test_short_parts_of_the_last_message_stay() -> None:
    parts = [{"type": "text", "text": words("document", 9000)}, {"type": "text", "text": "What does it say?"}]
    fitted = fit([user(parts)])
    assert left(fitted)[0]["content"][1] == parts[1]
    assert len(left(fitted)[0]["content"][0]["text"]) > 3000


def test_schemas_stay_and_what_cannot_fit_beside_them_is_refused() -> None:
    tools = [{"type": "function", "function": {"name": "t", "description": words("about", 2000)}}]
    fitted = fit([user(words("q", 9000))], body={"tools": tools})
    assert fitted.body["tools"] is not None
    assert fitted.body["tools"] == tools
    tools[0]["function"] = {"name": "t", "description": words("about", 4000)}
    with pytest.raises(ContextLengthExceeded) as refused:
        fit([user("q")], body={"tools": tools})
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize("size", [0, 300, 3000, 30_000])
def test_pairs_are_never_torn(size: int) -> None:
    now = [user("a"), *called("a", words("r", 800)), user("b"), *called("b", words("s", 900)), user(words("q", size))]
    kept = left(fit(now, 2048))
    ids = [call["id"] for message in kept for call in message.get("tool_calls", ())]
    assert ids == [message["tool_call_id"] for message in kept if message["role"] == "tool"]


def test_results_of_one_call_stay_together_across_a_users_message() -> None:
    first, result = called("a", words("r", 300))
    now = [user(words("x", 3000)), first, user("wait"), result]
    kept = left(fit(now, 2048))
    assert [message["role"] for message in kept] == ["assistant", "user", "tool"]


def test_old_functions_are_pairs_as_well() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
    now = [user("a"), call, {"role": "function", "name": "look", "content": words("r", 100)}, user(words("q", 1200))]
    assert left(fit(now, 2048)) == [now[3]]


@pytest.mark.parametrize(
    "only", [[system(words("s", 9000))], [answer(words("a", 9000))], called("a", words("r", 9000))]
)
def test_without_a_user_something_stays(only: list[Body]) -> None:
    kept = left(fit(only))
    assert len(kept) == len(only)
    assert kept[-1]["content"]


def test_an_image_counts_by_its_size_where_its_family_is_unknown_and_a_film_is_never_on_the_fast_path() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    film = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    asked = {"type": "text", "text": "what is it?"}
    body = {"messages": [user([image, asked])]}
    assert fit_request(body, CHAT, 8192, 100, BARE).is_bound
    with pytest.raises(ContextLengthExceeded):
        fit_request(body, CHAT, 4096, 100, BARE)
    assert fit_request(body, CHAT, 4096, 100, BARE, measured=700).told == "fit", "the engine knows better"
    body = {"messages": [user([film, asked])]}
    assert CHAT.bound(body, BARE) is None
    assert fit_request(body, CHAT, 32_768, 100, BARE).is_bound is False
    with pytest.raises(ContextLengthExceeded):
        fit_request(body, CHAT, 8192, 100, BARE)


def test_what_the_engine_counts_wins_over_the_meter() -> None:
    now = [user(words("old", 400)), answer("a"), user("b")]
    assert fit(now, 4096, measured=1000).state == "fit"
    fitted = fit(now, 4096, measured=4000)
    assert (fitted.state, fitted.before, left(fitted)) == ("truncated", 4000, [user("b")])


def test_a_refusal_tells_what_the_engine_counts() -> None:
    long = [user(words("q", 9000))]
    with pytest.raises(ContextLengthExceeded, match="resulted in 4500 tokens"):
        fit(long, refuses=True, measured=4500)
    with pytest.raises(ContextLengthExceeded, match=r"you requested 4150 tokens \(4050 in the messages, 100 in"):
        fit(long, refuses=True, measured=4050)
    with pytest.raises(ContextLengthExceeded, match="resulted in 4500 tokens"):
        fit([user("q")], body={"tools": [{"name": words("t", 9000)}]}, measured=4500)


@pytest.mark.parametrize(("is_quick", "before"), [(True, 5010), (False, 20_020)])
def test_a_slow_meter_is_not_asked_about_a_text_far_beyond_the_window(is_quick: bool, before: int) -> None:
    meter = Meter(lambda text: len(text) // 4, BARE.template, is_quick=is_quick)
    assert fit([user("word " * 4000)], 1024, meter=meter).before in range(before, before + 20)


def test_refuses_instead_where_that_is_the_policy() -> None:
    assert fit([user(words("q", 3970))], refuses=True).state == "fit", "nothing is kept in reserve"
    with pytest.raises(ContextLengthExceeded, match="you requested 4119 tokens"):
        fit([user(words("q", 3999))], refuses=True)
    with pytest.raises(ContextLengthExceeded, match="resulted in 5020 tokens"):
        fit([user(words("q", 5000))], refuses=True)


def test_a_body_that_names_no_output_gives_it_up_before_its_input() -> None:
    fitted = fit([user(words("q", 2500))], asked=None)
    assert (fitted.state, fitted.output) == ("fit", 4096 - 2520 - 512)
    assert fit([user(words("q", 9000))], asked=None).output in range(512, 600)


def test_documents_beside_the_messages_are_shortened() -> None:
    documents = [{"title": "a", "text": words("a", 5000)}, {"title": "b", "text": words("b", 300)}]
    fitted = fit([user("q")], body={"documents": documents})
    assert fitted.shortened == {"document": 1}
    assert fitted.body["documents"][1] == documents[1]


def test_what_shortens_gets_the_question_and_is_checked() -> None:
    seen: list[str] = []

    def shorten(text: str, most: int, count: Count, query: str, part: object) -> str:
        seen.append(query)
        return text  # far too long

    fitted = fit([user("find it"), *called("a", words("r", 9000))], shorten=shorten)
    assert seen == ["find it"]
    assert fitted.after + 100 <= 4096


def test_a_text_far_beyond_the_window_is_not_counted_whole() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return (len(text) + 3) // 4

    fitted = fit([user("q"), *called("a", words("r", 2_000_000))], meter=Meter(count, BARE.template))
    assert max(counted) <= 4096 * 16
    assert fitted.after + 100 <= 4096 - 512
    assert len(left(fitted)[-1]["content"]) > 10_000


def test_a_callers_template_has_no_bound() -> None:
    assert CHAT.bound({"messages": [user("a")], "chat_template": "{{ messages }}"}, BARE) is None


# -- prompts without messages -----------------------------------------------------------------------------------


def test_each_prompt_has_the_window_for_itself() -> None:
    body = {"prompt": [words("a", 2000), words("b", 2000), words("c", 9000)]}
    fitted = fit_request(body, SHAPES["completions"], 4096, 100, BARE)
    assert fitted.body["prompt"][:2] == body["prompt"][:2]
    assert fitted.body["prompt"][2][-50:] == body["prompt"][2][-50:]
    assert fitted.after + 100 <= 4096 - 512
    assert fitted.state == "compressed"


def test_a_suffix_stands_in_the_same_window() -> None:
    body = {"prompt": words("a", 3000), "suffix": words("b", 2000)}
    fitted = fit_request(body, SHAPES["completions"], 4096, 100, BARE)
    assert fitted.body["suffix"] == body["suffix"]
    assert len(fitted.body["prompt"]) < 1500


def test_token_ids_are_counted_and_never_cut() -> None:
    assert fit_request({"prompt": [1] * 3000}, SHAPES["completions"], 4096, 100, BARE).after == 3004
    with pytest.raises(ContextLengthExceeded) as refused:
        fit_request({"prompt": [[1] * 30, [1] * 5000]}, SHAPES["completions"], 4096, 100, BARE)
    assert refused.value.param == "prompt[1]"


def test_embeddings_are_refused_by_name() -> None:
    shape = SHAPES["embeddings"]
    fitted = fit_request({"input": ["a" * 508] * 50}, shape, 512, None, BARE)
    assert (fitted.state, fitted.output, fitted.after) == ("fit", None, 512)
    with pytest.raises(ContextLengthExceeded) as refused:
        fit_request({"input": ["short", "a" * 600]}, shape, 512, None, BARE)
    assert (refused.value.param, refused.value.tokens) == ("input[1]", 604)
