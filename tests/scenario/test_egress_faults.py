"""What happens when egress, its journal or a cloud breaks: nothing leaves unwritten, nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from composed import Gateway, target
from outgoing import CLOUD, WORKS, Away, away, provider, rude_cloud
from whole import is_alive

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.route import Profile
from ringfence.egress.child import EgressNotStarted, EgressProcess, Pace
from ringfence.egress.client import call_head, egress_endpoint, permit_line
from ringfence.egress.journal_chain import verify
from ringfence.egress.pool import Pool
from ringfence.testing.fake_cloud import Certificate, Conduct, FakeCloud, Misdeed

EVENTS: dict[str, Any] = {**WORKS, "stream": True}
BEGINNING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


@pytest.fixture
async def outside(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> AsyncIterator[Away]:
    pace = Pace(first_wait_s=0.01)
    async with away(tmp_path, provider(cloud.url), certificate=certificate, pace=pace) as outside:
        yield outside


async def _begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An event, and then nothing more."""
    writer.write(BEGINNING + CHUNK)
    await reader.read()


# -- egress itself -------------------------------------------------------------------------------------------------


async def test_egress_killed_in_a_stream_is_told_to_the_caller_and_comes_back(
    tmp_path: Path, certificate: Certificate
) -> None:
    async with rude_cloud(certificate, _begins) as url:
        pace = Pace(first_wait_s=0.01)
        async with away(tmp_path, provider(url), certificate=certificate, pace=pace) as outside:
            gateway = Gateway(
                outside.endpoint,
                targets=(target(engine_model="fake-large", boundary=Boundary.CLOUD),),
                profile=Profile("default", Boundary.CLOUD),
            )
            gateway.relay._head = lambda *_: call_head(  # what the relay says for a provider
                outside.endpoint,
                permit_line(
                    CLOUD, hold="h", key="k", profile="p", provider="rented", model="fake-large", max_tokens=50,
                    ability=Ability.CHAT,
                ),
            )  # fmt: skip
            async with gateway:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                body = json.dumps({**EVENTS, "model": "fast"}).encode()
                writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-test\r\n")
                writer.write(b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                await reader.readuntil(b'"content":"x"')
                killed = outside.process.pid
                assert killed is not None
                os.kill(killed, signal.SIGKILL)
                async with asyncio.timeout(25):
                    ending = await reader.readuntil(b"0\r\n\r\n")
                assert b'"code":"engine_failed"' in ending
                writer.close()
            await outside.until(lambda: outside.process.is_ready and outside.process.pid != killed)
            assert verify(tmp_path / "journal").is_whole
            taken = await outside.begin(EVENTS)
            await asyncio.wait_for(taken.began.wait(), 25)
            assert outside.process.starts == 2
            assert [entry.kind for entry in outside.journalled()] == ["sent", "sent"]


async def test_what_egress_was_killed_over_counts_for_the_day(
    tmp_path: Path, cloud: FakeCloud, certificate: Certificate
) -> None:
    cloud.once(Conduct(Misdeed.HANG))
    capped, pace = provider(cloud.url, calls_per_day=1), Pace(first_wait_s=0.01)
    async with away(tmp_path, capped, certificate=certificate, pace=pace) as outside:
        taken = await outside.begin()
        await outside.until(lambda: cloud.requests)
        assert outside.process.pid is not None
        os.kill(outside.process.pid, signal.SIGKILL)
        assert await taken.ended == "lost"
        await outside.until(lambda: outside.process.starts == 2 and outside.process.is_ready)
        assert (await outside.ask()).refused == "calls_per_day"
    assert len(cloud.requests) == 1


async def test_egress_ends_with_its_calls_written_down(outside: Away, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.HANG))
    taken = await outside.begin(EVENTS)
    await outside.until(lambda: cloud.requests)
    await asyncio.to_thread(outside.process.stop)
    assert outside.process.pid is not None and not Path(f"/proc/{outside.process.pid}").exists()
    assert (await taken.ended, taken.status) in (("end", 504), ("lost", 0))
    assert [entry.kind for entry in outside.journalled()] == ["sent", "ended"]
    assert verify(outside.folder / "journal").is_whole
    assert not (outside.folder / "egress.sock").exists()


async def test_egress_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """The parent is killed, and has no moment to end anything."""
    script = (
        "import json, sys, time; from ringfence.egress.child import EgressProcess;"
        "egress = EgressProcess(json.loads(sys.argv[1])); egress.start(); print(egress.pid, flush=True); time.sleep(60)"
    )
    settings = {"socket": str(tmp_path / "egress.sock"), "journal": str(tmp_path / "journal"), "providers": []}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, json.dumps(settings), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    egress = int(await parent.stdout.readline())
    assert is_alive(egress)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(25):
        while is_alive(egress):
            await asyncio.sleep(0.01)


async def test_one_socket_has_one_process(outside: Away) -> None:
    second = EgressProcess(
        {"socket": str(outside.folder / "egress.sock"), "journal": str(outside.folder / "other"), "providers": []}
    )
    with pytest.raises(EgressNotStarted, match="another egress process"):
        await asyncio.to_thread(second.start)
    assert (await outside.ask()).status == 200


async def test_a_socket_that_was_left_behind_is_replaced(outside: Away) -> None:
    killed = outside.process.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await outside.until(lambda: outside.process.pid != killed and outside.process.is_ready)
    assert (await outside.ask()).status == 200


async def test_what_is_not_a_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "egress.sock").write_text("mine")
    process = EgressProcess({"socket": str(tmp_path / "egress.sock"), "journal": str(tmp_path / "j"), "providers": []})
    with pytest.raises(EgressNotStarted, match="not a socket"):
        await asyncio.to_thread(process.start)
    assert (tmp_path / "egress.sock").read_text() == "mine"


async def test_many_calls_at_once(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> None:
    """Each is answered as its own, with a line of its own before and after."""
    async with away(tmp_path, provider(cloud.url), certificate=certificate) as outside:
        taken = await asyncio.gather(*(outside.ask(EVENTS if number % 2 else WORKS) for number in range(200)))
        assert {one.status for one in taken} == {200}
        assert {one.body.endswith(b"data: [DONE]\n\n") for one in taken[1::2]} == {True}
    verdict = verify(tmp_path / "journal")
    assert (verdict.is_whole, verdict.lines, len(cloud.requests)) == (True, 400, 200)


async def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """A Unix socket refuses at once when too many dial; TCP would wait."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen(0)
    pool, endpoint = Pool(5.0), egress_endpoint(tmp_path / "s")
    dialling = [asyncio.create_task(pool.dial(endpoint)) for _ in range(4)]
    await asyncio.sleep(0.05)
    assert not all(task.done() for task in dialling)
    accepted = [await asyncio.to_thread(listening.accept) for _ in dialling]
    for line in await asyncio.gather(*dialling):
        line.cancel()
    for connection, _ in accepted:
        connection.close()
    listening.close()


# -- its journal ---------------------------------------------------------------------------------------------------


async def test_what_cannot_be_written_down_does_not_leave(outside: Away, cloud: FakeCloud) -> None:
    (journal,) = (outside.folder / "journal").glob("*.jsonl")
    journal.unlink()  # as a full disk does, it makes every line fail; root is stopped by no mode
    refused = await asyncio.gather(*(outside.ask(EVENTS) for _ in range(5)))
    assert {(taken.status, taken.refused) for taken in refused} == {(503, "journal_failed")}
    assert cloud.connections == 0


async def test_a_journal_that_was_changed_keeps_egress_from_starting(
    tmp_path: Path, cloud: FakeCloud, certificate: Certificate
) -> None:
    async with away(tmp_path, provider(cloud.url), certificate=certificate) as outside:
        await outside.ask()
    (journal,) = (tmp_path / "journal").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"bytes_out":', b'"bytes_out":1'))
    with pytest.raises(EgressNotStarted, match="broken"):
        async with away(tmp_path, provider(cloud.url), certificate=certificate):
            pass


# -- the cloud -----------------------------------------------------------------------------------------------------


async def test_a_cloud_that_hangs_is_given_up(tmp_path: Path, cloud: FakeCloud, certificate: Certificate) -> None:
    cloud.once(Conduct(Misdeed.HANG))
    soon = {"first_byte_s": 0.2}
    async with away(tmp_path, provider(cloud.url), certificate=certificate, timeouts=soon) as outside:
        taken = await outside.ask(EVENTS)
        assert (taken.status, taken.refused) == (504, "first_byte_timeout")
        await outside.until(lambda: cloud.open_connections == 0)


async def test_a_cloud_that_drops_before_an_answer(outside: Away, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.DROP, after_events=0))
    taken = await outside.ask(EVENTS)
    assert taken.refused in ("lost", None) and taken.ended.result() in ("end", "lost")
    assert (await outside.ask()).status == 200


@pytest.mark.parametrize("misdeed", [Misdeed.DROP, Misdeed.CLOSE])
async def test_a_stream_that_breaks_is_not_whole_for_the_caller_either(
    outside: Away, cloud: FakeCloud, misdeed: Misdeed
) -> None:
    cloud.once(Conduct(misdeed))
    taken = await outside.ask(EVENTS)
    assert taken.body.startswith(b"data: ")
    assert not taken.body.endswith(b"[DONE]\n\n")
    if misdeed is Misdeed.DROP:
        assert taken.ended.result() == "lost"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x00\x01\x02 garbage\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-encoding: gzip\r\n\r\n12345", "malformed"),
        (b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "malformed"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "malformed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "malformed"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "redirected"),
        (b"", "lost"),
    ],
)
async def test_garbage_is_not_passed_on(tmp_path: Path, certificate: Certificate, said: bytes, code: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with (
        rude_cloud(certificate, talk) as url,
        away(tmp_path, provider(url), certificate=certificate) as outside,
    ):
        taken = await outside.ask()
        assert (taken.status, taken.refused) == (502, code)


async def test_a_cloud_that_never_ends_is_cut_off(tmp_path: Path, certificate: Certificate) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BEGINNING)
        while True:
            writer.write(CHUNK)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with (
        rude_cloud(certificate, talk) as url,
        away(tmp_path, provider(url), certificate=certificate, timeouts={"call_s": 1.0}) as outside,
    ):
        taken = await outside.ask(EVENTS)
        assert taken.ended.result() == "lost"
        await outside.until(lambda: len(outside.journalled()) == 2)
        assert outside.journalled()[1].outcome == "too_long"


async def test_a_stream_that_stalls_is_cut_off(tmp_path: Path, certificate: Certificate) -> None:
    async with (
        rude_cloud(certificate, _begins) as url,
        away(tmp_path, provider(url), certificate=certificate, timeouts={"between_bytes_s": 0.2}) as outside,
    ):
        taken = await outside.ask(EVENTS)
        assert (taken.ended.result(), taken.body) == ("lost", EVENT)
        await outside.until(lambda: len(outside.journalled()) == 2)
        assert outside.journalled()[1].outcome == "stalled"


async def test_nobody_listens(tmp_path: Path, certificate: Certificate) -> None:
    async with away(tmp_path, provider("https://127.0.0.1:9"), certificate=certificate) as outside:
        taken = await outside.ask()
        assert (taken.status, taken.refused) == (502, "connect")
        await outside.until(lambda: len(outside.journalled()) == 2)
        assert outside.journalled()[1].outcome == "not_sent"


async def test_what_a_kept_connection_was_told_before_it_died_is_not_told_again(
    tmp_path: Path, certificate: Certificate
) -> None:
    """The provider may have read it, and wants to be paid: money is held for one call, and not for two."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        heard.append(await reader.read(4096))
        writer.write(answer)
        await writer.drain()
        heard.append(await reader.readuntil(b"\r\n\r\n"))  # the next request is read, and not answered

    async with (
        rude_cloud(certificate, talk) as url,
        away(tmp_path, provider(url), certificate=certificate) as outside,
    ):
        told: list[tuple[int, str | None]] = []
        for _ in range(3):
            taken = await outside.ask()
            told.append((taken.status, taken.refused))
        assert told == [(200, None), (502, "stale"), (200, None)]
        assert len(heard) == 3
        await outside.until(lambda: len(outside.journalled()) == 6)
        outcomes = [entry.outcome for entry in outside.journalled() if entry.kind == "ended"]
        assert sorted(outcomes) == ["answered", "answered", "stale"]


# -- the caller ----------------------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("body", [WORKS, EVENTS])
async def test_a_caller_that_goes_away_ends_it_at_the_cloud_at_once(
    tmp_path: Path, cloud: FakeCloud, certificate: Certificate, body: dict[str, Any]
) -> None:
    cloud.once(Conduct(Misdeed.HANG))
    async with away(tmp_path, provider(cloud.url), certificate=certificate) as outside:
        taken = await outside.begin(body)
        await outside.until(lambda: cloud.requests)
        taken.line.cancel()
        async with asyncio.timeout(0.5):
            await outside.until(lambda: cloud.open_connections == 0)
        await outside.until(lambda: len(outside.journalled()) == 2)
        assert outside.journalled()[1].outcome == "client_gone"


async def test_a_caller_that_reads_slowly_slows_the_cloud(tmp_path: Path, certificate: Certificate) -> None:
    """What the caller does not take is not fetched, and no time-out of the cloud runs meanwhile."""
    sent, size = [0], 64 * 1024

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BEGINNING)
        for _ in range(512):
            writer.write(b"%x\r\n%b\r\n" % (size, b"x" * size))
            await writer.drain()
            sent[0] += size
        writer.write(b"0\r\n\r\n")

    async with (
        rude_cloud(certificate, talk) as url,
        away(tmp_path, provider(url), certificate=certificate, timeouts={"between_bytes_s": 1.0}) as outside,
    ):
        taken = await outside.begin(EVENTS)
        await taken.began.wait()
        taken.line.pause()
        before = -1
        while sent[0] != before:
            before = sent[0]
            await asyncio.sleep(0.2)
        await asyncio.sleep(1.5)  # longer than the cloud may be silent
        assert sent[0] < 256 * size
        taken.line.resume()
        assert await asyncio.wait_for(taken.ended, 45) == "end"
        assert len(taken.body) == 512 * size
