"""The egress process: what it lets out, what it refuses, and that what leaves carries nothing of the caller's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from outgoing import CANARY, CLOUD, KEY, WORKS, Away, away, provider

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.child import EgressNotStarted, EgressProcess
from ringfence.egress.client import permit_line
from ringfence.egress.journal_chain import verify
from ringfence.egress.permit import Permit, issue
from ringfence.testing.fake_cloud import Certificate, Conduct, FakeCloud, Misdeed, make_certificate

EVENTS: dict[str, Any] = {**WORKS, "stream": True}


@pytest.fixture
async def outside(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> AsyncIterator[Away]:
    async with away(tmp_path, provider(cloud.url), certificate=certificate) as outside:
        yield outside


def permit(**changes: Any) -> bytes:
    said: dict[str, Any] = {
        "call": "c", "hold": "h", "key": "k", "profile": "p", "provider": "rented", "model": "fake-large",
        "allowed": "CLOUD",
        "max_tokens": 50,
    }  # fmt: skip
    return b"x-permit: %b\r\n" % json.dumps(said | changes).encode()


async def test_an_answer_comes_back_and_is_journalled(outside: Away, cloud: FakeCloud) -> None:
    taken = await outside.ask()
    assert (taken.status, taken.refused) == (200, None)
    assert json.loads(taken.body)["choices"][0]["message"]["content"]
    await outside.until(lambda: len(outside.journalled()) == 2)
    sent, ended = outside.journalled()
    assert (sent.kind, sent.call, sent.key, sent.profile, sent.provider) == (
        "sent",
        "call-1",
        "key_1",
        "personal",
        "rented",
    )
    assert (sent.address, sent.bytes_out) == ("127.0.0.1", len(cloud.requests[0].body_bytes))
    assert (ended.outcome, ended.status, ended.bytes_in) == ("answered", 200, len(taken.body))
    assert verify(outside.folder / "journal").is_whole


async def test_a_stream_is_passed_on_and_connections_are_kept(outside: Away, cloud: FakeCloud) -> None:
    for _ in range(3):
        taken = await outside.ask(EVENTS)
        assert taken.ended.result() == "end"
        assert taken.header(b"content-type") == b"text/event-stream; charset=utf-8"
        assert taken.body.endswith(b"data: [DONE]\n\n")
    assert cloud.connections == 1


async def test_what_leaves_is_ours_alone(outside: Away, cloud: FakeCloud) -> None:
    """Neither headers nor host nor path are the caller's to choose."""
    more = b"host2: evil\r\nauthorization: Bearer caller\r\nx-forwarded-host: evil\r\ncookie: a=b\r\n"
    await outside.ask(permit=permit() + more)
    (asked,) = cloud.requests
    assert asked.path == "/v1/chat/completions"
    assert asked.headers == {
        "host": cloud.url.removeprefix("https://"), "authorization": f"Bearer {KEY}",
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "accept-encoding": "identity", "user-agent": "ringfence", "content-length": asked.headers["content-length"],
    }  # fmt: skip


async def test_of_a_field_given_twice_one_value_leaves(outside: Away, cloud: FakeCloud) -> None:
    body = b'{"max_tokens":9999,"model":"fake-large","messages":[{"role":"user","content":"x"}],"max_tokens":5}'
    assert (await outside.ask(body)).status == 200
    assert cloud.requests[0].body_bytes.count(b"max_tokens") == 1
    assert cloud.requests[0].body["max_tokens"] == 5


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"allowed": "HOST"}, 403, "boundary_refused"),
        ({"allowed": "MESH"}, 403, "boundary_refused"),
        ({"allowed": "cloud"}, 403, "malformed_permit"),
        ({"allowed": 2}, 403, "malformed_permit"),
        ({"more": 1}, 403, "malformed_permit"),
        ({"call": ""}, 403, "malformed_permit"),
        ({"key": "a\nb"}, 403, "malformed_permit"),
        ({"max_tokens": True}, 403, "malformed_permit"),
        ({"max_tokens": 0}, 403, "malformed_permit"),
        ({"ability": "dreams"}, 403, "malformed_permit"),
        ({"ability": "images"}, 400, "unknown_ability"),
        ({"provider": "another"}, 403, "unknown_provider"),
        ({"model": "another"}, 403, "other_model"),
        ({"max_tokens": 101}, 400, "over_cap"),
        ({"max_tokens": 49}, 400, "over_permit"),
    ],
)
async def test_a_permit_that_does_not_cover_the_call_is_refused(
    outside: Away, cloud: FakeCloud, changes: dict[str, Any], status: int, code: str
) -> None:
    taken = await outside.ask(permit=permit(**changes))
    assert (taken.status, taken.refused) == (status, code)
    assert json.loads(taken.body)["error"]["code"] == code
    assert CANARY.encode() not in taken.body
    assert cloud.connections == 0
    assert outside.journalled() == []


@pytest.mark.parametrize("line", [b"", b"x-permit: {\r\n", permit() + permit(), b"x-permit: " + b"x" * 5000 + b"\r\n"])
async def test_without_exactly_one_permit_nothing_leaves(outside: Away, cloud: FakeCloud, line: bytes) -> None:
    assert (await outside.ask(permit=line)).refused == "malformed_permit"
    assert cloud.connections == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_body"),
        (b"[]", "malformed_body"),
        (b'{"model": "fake-large", "messages": []}', "no_limit"),
        (b'{"model": "fake-large", "max_tokens": 1e3}', "no_limit"),
        (b'{"model": "fake-large", "max_tokens": "50"}', "no_limit"),
        (b'{"model": "fake-large", "max_tokens": 5, "max_completion_tokens": 51}', "over_permit"),
        (b'{"model": "fake-large", "max_tokens": 26, "n": 2}', "over_permit"),
        (b'{"model": "fake-large", "max_tokens": 26, "best_of": 2}', "over_permit"),
    ],
)
async def test_a_body_that_is_not_bounded_by_its_permit_is_refused(
    outside: Away, cloud: FakeCloud, body: bytes, code: str
) -> None:
    taken = await outside.ask(body)
    assert (taken.status, taken.refused) == (400, code)
    assert cloud.connections == 0


async def test_a_local_permit_is_refused_by_the_gateway_and_without_it_by_egress(
    outside: Away, cloud: FakeCloud
) -> None:
    with pytest.raises(BoundaryRefused):
        issue("local", Boundary.HOST, outside.endpoint)
    line = await outside.pool.dial(outside.endpoint)
    written: list[bytes] = []
    head = b"POST /v1/calls HTTP/1.1\r\nhost: egress\r\n"
    said: dict[str, Any] = {
        "hold": "h", "key": "k", "profile": "private", "provider": "rented", "model": "fake-large", "max_tokens": 50,
        "ability": Ability.CHAT,
    }  # fmt: skip
    for local in (Permit("local", Boundary.HOST, Boundary.HOST), Permit("local", Boundary.HOST, Boundary.CLOUD)):
        with pytest.raises(BoundaryRefused):
            line.ask(_Nobody(written), local, head + permit_line(local, **said), b"{}", 1.0, 1.0, True)
    assert written == []
    line.cancel()

    # The gateway's own checks taken away: what it writes says HOST all the same, and egress reads it.
    local = Permit("local", Boundary.HOST, Boundary.HOST)
    taken = await outside.ask(permit=permit_line(local, **said))
    assert (taken.status, taken.refused) == (403, "boundary_refused")
    assert cloud.connections == 0
    assert outside.journalled() == []


class _Nobody:
    def __init__(self, seen: list[bytes]) -> None:
        self.on_piece = seen.append

    def on_end(self) -> None:
        raise AssertionError

    def on_lost(self, reason: str) -> None:
        raise AssertionError


async def test_calls_of_a_day_are_counted_across_lives(
    tmp_path: Path, cloud: FakeCloud, certificate: Certificate
) -> None:
    capped = provider(cloud.url, calls_per_day=3)
    async with away(tmp_path, capped, certificate=certificate) as outside:
        assert [(await outside.ask()).status for _ in range(2)] == [200, 200]
    async with away(tmp_path, capped, certificate=certificate) as outside:
        assert sorted(taken.status for taken in await asyncio.gather(*(outside.ask() for _ in range(4)))) == [
            200, 429, 429, 429,
        ]  # fmt: skip
        refused = await outside.ask()
    assert (refused.refused, len(cloud.requests)) == ("calls_per_day", 3)
    until_midnight_s = 86_400 - time.time() % 86_400
    assert abs(int(refused.header(b"retry-after") or 0) - until_midnight_s) < 5


async def test_errors_of_the_cloud_come_back_with_their_headers(outside: Away, cloud: FakeCloud) -> None:
    shown = (("retry-after", "7"), ("x-ratelimit-remaining-requests", "0"), ("set-cookie", "a=b"), ("server", "x"))
    cloud.once(Conduct(Misdeed.STATUS, status=529, body={"error": {"message": "busy"}}, headers=shown))
    taken = await outside.ask()
    assert (taken.status, taken.refused, json.loads(taken.body)) == (529, None, {"error": {"message": "busy"}})
    assert (taken.header(b"retry-after"), taken.header(b"x-ratelimit-remaining-requests")) == (b"7", b"0")
    assert taken.header(b"set-cookie") is taken.header(b"server") is None


async def test_a_redirect_is_an_error_and_not_followed(
    outside: Away, cloud: FakeCloud, certificate: Certificate
) -> None:
    async with FakeCloud(api_key=KEY, certificate=certificate) as elsewhere:
        cloud.once(Conduct(Misdeed.REDIRECT, location=f"{elsewhere.url}/v1/chat/completions"))
        taken = await outside.ask()
        assert (taken.status, taken.refused) == (502, "redirected")
        assert elsewhere.connections == 0
    assert (await outside.ask()).status == 200


async def test_anthropic_is_asked_in_its_own_way(tmp_path: Path, certificate: Certificate) -> None:
    async with (
        FakeCloud("anthropic", api_key=KEY, certificate=certificate) as cloud,
        away(tmp_path, provider(cloud.url, dialect="anthropic"), certificate=certificate) as outside,
    ):
        taken = await outside.ask({**WORKS, "stream": True})
        assert (taken.status, taken.ended.result()) == (200, "end")
        assert b"message_stop" in taken.body
        assert cloud.requests[0].headers["x-api-key"] == KEY


async def test_another_certificate_is_not_believed(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "tls").mkdir()
    async with FakeCloud(api_key=KEY, certificate=make_certificate(tmp_path / "tls")) as impostor:
        async with away(tmp_path, provider(impostor.url), certificate=certificate) as outside:
            taken = await outside.ask()
            assert (taken.status, taken.refused) == (502, "connect")
            await outside.until(lambda: len(outside.journalled()) == 2)
            assert outside.journalled()[1].outcome == "not_sent"
        assert impostor.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "http://api.example.com"}, "must begin with https"),
        ({"url": "http://127.0.0.1:1", "allow": False}, "must begin with https"),
        ({"url": "https://user:word@api.example.com"}, "holds more"),
        ({"url": "https://api.example.com/?a=b"}, "holds more"),
        ({"calls_per_day": 0}, "calls_per_day"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_token": 5}, "unknown in a provider: max_token"),
        ({"dialect": "klingon"}, "dialect"),
        ({"key": "two words"}, "cannot be sent"),
    ],
)
def test_settings_that_do_not_hold_do_not_start(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    allow = changes.pop("allow", True)
    row = provider("https://api.example.com") | changes
    settings = {"socket": str(tmp_path / "s"), "journal": str(tmp_path / "j"), "providers": [row]}
    process = EgressProcess(settings | {"allow_insecure_loopback": allow})
    with pytest.raises(EgressNotStarted, match=re.escape(said)) as refused:
        process.start()
    assert KEY not in str(refused.value)
    assert "two words" not in str(refused.value)


async def test_only_this_user_gets_in(outside: Away, cloud: FakeCloud) -> None:
    path = outside.folder / "egress.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if os.geteuid() != 0:
        pytest.skip("needs another user to try")
    # Even where the file system would let others in, the kernel's word on who they are keeps them out.
    opened = [folder for folder in (outside.folder, *outside.folder.parents) if folder.stat().st_mode & 0o001 == 0]
    for folder in opened:
        folder.chmod(0o711)
    path.chmod(0o666)
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.settimeout(5)\ntry:\n s.sendall(b'GET /v1/health HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'); print(s.recv(9))\n"
        "except OSError as error: print(b'')"
    )
    try:
        command = [sys.executable, "-c", script, str(path)]
        tried = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=10)
    finally:
        for folder in opened:
            folder.chmod(0o700)
    assert tried.stdout.strip() == "b''", tried.stderr
    assert b"another user" in (outside.folder / "egress.log").read_bytes()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    settings = {"socket": str(open_to_all / "s"), "journal": str(tmp_path / "j"), "providers": []}
    with pytest.raises(EgressNotStarted, match="chmod 700"):
        EgressProcess(settings).start()


async def test_health_needs_no_permit(outside: Away) -> None:
    told = await outside.pool.fetch(outside.endpoint, "/v1/health")
    assert (told.status, told.body["providers"]) == (200, ["rented"])


async def test_nothing_of_a_call_and_no_key_is_logged_or_visible(outside: Away, cloud: FakeCloud) -> None:
    """Neither in its log, nor in its journal, nor in what the system shows of the process."""
    cloud.once(Conduct(Misdeed.STATUS, status=400, body={"error": {"message": CANARY}}), Conduct(Misdeed.DROP))
    for _ in range(3):
        await outside.ask(EVENTS)
    await outside.until(lambda: len(outside.journalled()) == 6)
    shown = b"".join(Path(f"/proc/{outside.process.pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    await asyncio.to_thread(outside.process.stop)  # it renames files of its journal while it runs
    shown += b"".join(path.read_bytes() for path in outside.folder.rglob("*") if path.is_file())
    assert b"call-1" in shown
    assert CANARY.encode() not in shown
    assert KEY.encode() not in shown
    assert KEY not in repr(outside.process)


async def test_of_the_environment_it_gets_what_it_needs(tmp_path: Path) -> None:
    source = {**os.environ, "OPENAI_API_KEY": KEY, "SSLKEYLOGFILE": str(tmp_path / "keys"), "HTTPS_PROXY": "http://x"}
    settings = {"socket": str(tmp_path / "s"), "journal": str(tmp_path / "j"), "providers": []}
    process = EgressProcess(settings, source)
    await asyncio.to_thread(process.start)
    try:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        await asyncio.to_thread(process.stop)
    assert b"PATH=" in environment
    assert not [name for name in (b"OPENAI", b"KEYLOG", b"PROXY", KEY.encode()) if name in environment]


async def test_two_calls_at_once_on_one_connection_cut_it_off(outside: Away, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.HANG))
    reader, writer = await asyncio.open_unix_connection(str(outside.folder / "egress.sock"))
    body = json.dumps(WORKS).encode()
    call = b"POST /v1/calls HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (permit(), len(body), body)
    writer.write(call)
    await outside.until(lambda: cloud.requests)
    writer.write(call)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(25):
            assert await reader.read() == b""
            raise ConnectionResetError  # closed in order is as good
    writer.close()
    await outside.until(lambda: cloud.open_connections == 0)


def test_it_takes_no_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    settings = {"socket": str(tmp_path / ("s" * 120)), "journal": str(tmp_path / "j"), "providers": []}
    with pytest.raises(EgressNotStarted, match="107 bytes"):
        EgressProcess(settings).start()


async def test_the_permit_that_is_written_is_the_permit_that_is_read(outside: Away) -> None:
    taken = await outside.ask(model="fake-large", profile='a"b\\c: €', key="x" * 256)
    assert taken.status == 200
    await outside.until(outside.journalled)
    assert outside.journalled()[0].profile == 'a"b\\c: €'
    assert CLOUD.call_id == outside.journalled()[0].call
