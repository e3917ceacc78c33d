"""An attempt to get out: what counts as having worked."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys

import pytest

from ringfence.egress.attempt import attempt
from ringfence.prove.network import ENTER, NoNamespace, check_tools


async def test_what_answers_was_reached_and_gets_no_byte() -> None:
    came: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read())
        writer.close()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        tried = await attempt("127.0.0.1", server.sockets[0].getsockname()[1], 2)
        await asyncio.wait_for(ended.wait(), 25)
    assert (tried.got_out, came) == (True, [b""])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_refusal_is_an_answer(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        taken.bind((address, 0))
        assert (await attempt(address, taken.getsockname()[1], 2)).got_out is True


async def test_silence_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        at = full.getsockname()
        held = [socket.socket() for _ in range(4)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(at)
        tried = await attempt(*at, 0.1)
        for one in held:
            one.close()
    assert (tried.got_out, tried.reason) == (False, "nothing came back within 0.1 s")


@pytest.mark.parametrize(
    ("route", "error"), [("true", "ENETUNREACH"), ("ip route add blackhole 192.0.2.7/32", "EINVAL")]
)
def test_without_a_route_the_kernel_refuses(route: str, error: str) -> None:
    try:
        check_tools()
    except NoNamespace as missing:
        pytest.skip(str(missing))
    code = (
        "import asyncio; from ringfence.egress.attempt import attempt; print(asyncio.run(attempt('192.0.2.7', 443, 2)))"
    )
    told = [*ENTER, "sh", "-c", f'ip link set lo up && {route} && exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"Attempt(got_out=False, reason='the kernel refused it ({error})')"


async def test_what_could_not_be_tried_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses up the file descriptors must not make an open wall look as if it held."""

    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(OSError, match="Too many"):
        await attempt("192.0.2.7", 443, 2)
