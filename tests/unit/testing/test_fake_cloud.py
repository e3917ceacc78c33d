"""The fake clouds are right when the official clients are content with them, and as strict as the real ones."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ringfence.testing.fake_cloud import Conduct, FakeCloud, Misdeed, make_certificate
from ringfence.testing.fake_cloud_answers import Saying, ToolCall

pytestmark = pytest.mark.clients

USER = {"role": "user", "content": "hello there"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
SAYING = Saying(words=("Hel", "lo", " wörld"), calls=(ToolCall("look", '{"x": 12345678}', "toolu_1"),), cached_tokens=3)


def openai_client(cloud: FakeCloud, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{cloud.url}/v1", api_key=cloud.api_key, max_retries=0, **options)


def anthropic_client(cloud: FakeCloud, **options: Any) -> anthropic.AsyncAnthropic:
    options = {"api_key": cloud.api_key, **options}
    return anthropic.AsyncAnthropic(base_url=cloud.url, max_retries=0, **options)


class TestOpenAI:
    async def test_the_official_client_reads_answers_and_streams(self) -> None:
        async with FakeCloud("openai") as cloud, openai_client(cloud) as client:
            cloud.says = SAYING
            answer = await client.chat.completions.create(model="fake-large", messages=[USER], max_tokens=50)  # type: ignore[list-item]
            assert answer.choices[0].message.content == "Hello wörld"
            assert answer.choices[0].message.tool_calls[0].function.arguments == '{"x": 12345678}'  # type: ignore[index,union-attr]
            async with client.chat.completions.stream(
                model="fake-large", messages=[USER], stream_options={"include_usage": True}
            ) as stream:  # type: ignore[list-item]
                final = await stream.get_final_completion()
            assert final.choices[0].message.content == "Hello wörld"
            assert final.choices[0].finish_reason == "tool_calls"
            assert final.usage is not None
            assert cloud.connections == 1

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"model": "other"}, openai.NotFoundError),
            ({"extra_body": {"nonsense": 1}}, openai.BadRequestError),
            ({"model": "thinks", "max_tokens": 5}, openai.BadRequestError),
            ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, openai.BadRequestError),
            ({"messages": [{"role": "user", "content": "word " * 5000}]}, openai.BadRequestError),
            ({"stream_options": {"include_usage": True}}, openai.BadRequestError),
        ],
    )
    async def test_it_refuses_what_the_real_one_refuses(self, fields: dict[str, Any], error: type[Exception]) -> None:
        async with FakeCloud("openai", reasoning=("thinks",)) as cloud, openai_client(cloud) as client:
            with pytest.raises(error):
                await client.chat.completions.create(**{"model": "fake-large", "messages": [USER], **fields})

    async def test_a_wrong_key_is_quoted_in_part_as_by_the_real_one(self) -> None:
        async with FakeCloud("openai") as cloud, openai_client(cloud).with_options(api_key="sk-wrong-9876") as client:
            with pytest.raises(openai.AuthenticationError, match="9876"):
                await client.chat.completions.create(model="fake-large", messages=[USER])  # type: ignore[list-item]


class TestAnthropic:
    @pytest.mark.parametrize(
        "headers", [{}, {"anthropic-version": "2023-06-01", "x-api-key": "cloud-key", "Authorization": "Bearer other"}]
    )
    async def test_the_official_client_reads_answers_and_streams(self, headers: dict[str, str]) -> None:
        async with FakeCloud("anthropic") as cloud, anthropic_client(cloud, default_headers=headers) as client:
            cloud.says = Saying(words=SAYING.words, calls=SAYING.calls, thinking="let me see")
            asked: dict[str, Any] = {
                "model": "fake-large", "max_tokens": 100, "messages": [USER],
                "tools": [{"name": "look", "input_schema": SCHEMA}],
            }  # fmt: skip
            answer = await client.messages.create(**asked)
            assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
            async with client.messages.stream(**asked) as stream:
                final = await stream.get_final_message()
            assert [block.model_dump() for block in final.content] == [block.model_dump() for block in answer.content]
            assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 3)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"max_tokens": None}, "max_tokens: Field required"),
            ({"max_tokens": 5000}, "maximum allowed number of output tokens"),
            ({"temperature": 2}, "range: 0..1"),
            ({"logit_bias": {}}, "Extra inputs"),
            ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
            ({"messages": [USER, USER]}, "roles must alternate"),
            ({"messages": [{"role": "system", "content": "x"}]}, "role: Input should be"),
            ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
            (
                {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9"}]}]},
                "unexpected `tool_use_id`",
            ),
            (
                {
                    "messages": [
                        USER,
                        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                        USER,
                    ]
                },
                "without `tool_result` blocks",
            ),
            ({"tools": [{"name": "f"}]}, "input_schema"),
            ({"tool_choice": {"type": "auto"}}, "while providing tools"),
            ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "1024"),
            ({"messages": [{"role": "user", "content": "word " * 5000}]}, "prompt is too long"),
            ({"model": "other"}, "model: other"),
        ],
    )
    async def test_it_refuses_what_the_real_one_refuses(self, change: dict[str, Any], says: str) -> None:
        body = {"model": "fake-large", "max_tokens": 100, "messages": [USER], **change}
        body = {name: value for name, value in body.items() if value is not None}
        async with FakeCloud("anthropic") as cloud, httpx2.AsyncClient() as client:
            headers = {"x-api-key": cloud.api_key, "anthropic-version": "2023-06-01"}
            answer = await client.post(f"{cloud.url}/v1/messages", json=body, headers=headers)
            assert answer.status_code in (400, 404)
            assert says in answer.json()["error"]["message"]

    async def test_the_newer_version_has_no_temperature(self) -> None:
        async with FakeCloud("anthropic") as cloud, anthropic_client(cloud) as client:
            with pytest.raises(anthropic.BadRequestError, match="temperature"):
                await client.messages.create(
                    model="fake-large", max_tokens=9, messages=[USER], extra_body={"temperature": 0.5}  # type: ignore[list-item]
                )  # fmt: skip

    async def test_key_and_version_are_asked_for(self) -> None:
        async with FakeCloud("anthropic") as cloud, httpx2.AsyncClient() as client:
            url = f"{cloud.url}/v1/messages"
            assert (await client.post(url, json={}, headers={"x-api-key": "no"})).status_code == 401
            refused = await client.post(url, json={}, headers={"x-api-key": cloud.api_key})
            assert "anthropic-version" in refused.json()["error"]["message"]


class TestConduct:
    async def test_an_error_in_the_middle_of_a_stream_reaches_the_official_clients(self) -> None:
        broken = Conduct(Misdeed.ERROR_EVENT, after_events=3)
        async with FakeCloud("anthropic") as cloud, anthropic_client(cloud) as client:
            cloud.once(broken)
            with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
                async with client.messages.stream(model="fake-large", max_tokens=50, messages=[USER]) as stream:  # type: ignore[list-item]
                    await stream.get_final_message()
        async with FakeCloud("openai") as cloud, openai_client(cloud) as other:
            cloud.once(broken)
            with pytest.raises(openai.APIError, match="server had an error"):
                async for _ in await other.chat.completions.create(model="fake-large", messages=[USER], stream=True):  # type: ignore[list-item]
                    pass

    async def test_status_redirect_and_drop_once_each_then_well_again(self) -> None:
        body = {"model": "fake-large", "messages": [USER]}
        async with FakeCloud("openai") as cloud, httpx2.AsyncClient() as client:
            cloud.once(
                Conduct(Misdeed.STATUS, status=429, headers=(("retry-after", "7"),)),
                Conduct(Misdeed.REDIRECT, location="http://127.0.0.1:9/x"),
                Conduct(Misdeed.DROP),
            )
            url, headers = f"{cloud.url}/v1/chat/completions", {"authorization": f"Bearer {cloud.api_key}"}
            limited = await client.post(url, json=body, headers=headers)
            assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
            moved = await client.post(url, json=body, headers=headers)
            assert (moved.status_code, moved.headers["location"]) == (307, "http://127.0.0.1:9/x")
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.post(url, json=body, headers=headers)
            assert (await client.post(url, json=body, headers=headers)).status_code == 200
            assert len(cloud.calls) == 4
            assert cloud.connections == 2

    async def test_a_stream_cut_off_and_one_closed_too_early(self) -> None:
        body = {"model": "fake-large", "messages": [USER], "stream": True}
        async with FakeCloud("openai") as cloud, httpx2.AsyncClient() as client:
            cloud.once(Conduct(Misdeed.DROP, after_events=1), Conduct(Misdeed.CLOSE, after_events=1, piece_bytes=3))
            url, headers = f"{cloud.url}/v1/chat/completions", {"authorization": f"Bearer {cloud.api_key}"}
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.post(url, json=body, headers=headers)
            closed = await client.post(url, json=body, headers=headers)
            assert closed.text.count("data: ") == 1
            assert "[DONE]" not in closed.text

    async def test_one_that_hangs_is_left_by_its_client_and_stops_at_once(self) -> None:
        async with FakeCloud("openai") as cloud, httpx2.AsyncClient(timeout=0.1) as client:
            cloud.once(Conduct(Misdeed.HANG))
            with pytest.raises(httpx2.ReadTimeout):
                await client.post(f"{cloud.url}/v1/chat/completions", json={})
            async with asyncio.timeout(25):
                while cloud.open_connections:
                    await asyncio.sleep(0.005)

    async def test_what_was_asked_is_recorded_to_the_byte(self) -> None:
        async with FakeCloud("openai") as cloud, httpx2.AsyncClient() as client:
            data = b'{"model":  "fake-large", "messages": [{"role":"user","content":"\\u00e9"}]}'
            headers = {"authorization": f"Bearer {cloud.api_key}", "content-type": "application/json", "x-mine": "1"}
            await client.post(f"{cloud.url}/v1/chat/completions", content=data, headers=headers)
            asked = cloud.calls[0]
            assert (asked.body_bytes, asked.headers["x-mine"], asked.path) == (data, "1", "/v1/chat/completions")
            assert cloud.bytes_in > len(data)
            assert cloud.api_key not in repr(asked)
            assert json.dumps(asked.body)


async def test_with_tls_a_client_must_trust_the_certificate_and_the_name(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, ("localhost", "api.fake.example"))
    trusting = ssl.create_default_context(cafile=certificate.cert_path)
    async with FakeCloud("anthropic", certificate=certificate) as cloud:
        async with httpx2.AsyncClient(verify=trusting) as http, anthropic_client(cloud, http_client=http) as client:
            answer = await client.messages.create(model="fake-large", max_tokens=50, messages=[USER])  # type: ignore[list-item]
            assert answer.stop_reason == "end_turn"
        async with httpx2.AsyncClient() as stranger:
            with pytest.raises(httpx2.ConnectError):
                await stranger.get(cloud.url)
        other = make_certificate(tmp_path, ("api.fake.example",))
        assert other.key_path.stat().st_mode & 0o077 == 0
