"""The further reader and a process that behaves in every way: whatever it does, what is not read stays here."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.load import load
from ringfence.config.problems import ConfigError, ConfigInvalid
from ringfence.config.sensitivity import PresidioSettings
from ringfence.core.boundary import Boundary
from ringfence.runtime import presidio as module
from ringfence.runtime.presidio import Presidio
from ringfence.runtime.presidio_process import OVERLAP_CHARS, PIECE_CHARS, pieces
from ringfence.runtime.sensitive import sensitivity

READER = """
import json, os, sys, time
spec = json.loads(sys.stdin.readline())
def tell(**row): print(json.dumps(row), flush=True)
if "refuse" in spec["languages"]: tell(error="ValueError: nothing finds X"); sys.exit()
if "mute" in spec["languages"]: sys.exit()
tell(ready=True)
for line in sys.stdin:
    text = json.loads(line)
    if "hang" in text: time.sleep(30)
    if "slow" in text: time.sleep(0.4)
    if "die" in text: os._exit(3)
    if "garbage" in text: print("{", flush=True)
    elif "fail" in text: tell(failed=True)
    else: tell(found=[word for word in text.split() if word.isupper()])
"""
BOUNDARIES = {"EMAIL": Boundary.HOST, "CITY": Boundary.MESH}


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    program = tmp_path / "reader.py"
    program.write_text(READER)
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.05)

    @asynccontextmanager
    async def start(wait_s: float = 5.0, language: str = "en") -> AsyncIterator[Presidio]:
        settings = PresidioSettings(wait_s=wait_s, languages=(language,), entities=("EMAIL", "CITY"))
        reader = Presidio(settings, BOUNDARIES, (sys.executable, str(program)))
        try:
            await reader.start()
            yield reader
        finally:
            await reader.close()
        assert not reader.is_ready

    return start


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def until_ready(reader: Presidio) -> None:
    async with asyncio.timeout(25):
        while not reader.is_ready or await reader.read(said("nothing")) is not Boundary.CLOUD:
            await asyncio.sleep(0.02)


async def test_what_is_found_tightens_as_far_as_its_boundary_says(start: Any) -> None:
    async with start() as reader:
        for text, reach in (
            ("nothing of that kind", Boundary.CLOUD), ("a CITY", Boundary.MESH), ("CITY and EMAIL", Boundary.HOST),
            ("UNHEARD of", Boundary.HOST), ("two\nlines and \u00e4 \ud800", Boundary.CLOUD),
        ):  # fmt: skip
            assert await reader.read(said(text)) is reach, text


@pytest.mark.parametrize("text", ["garbage", "fail", "die"])
async def test_what_goes_wrong_reads_as_host_and_is_over_with_that(start: Any, text: str) -> None:
    async with start() as reader:
        assert await reader.read(said(text)) is Boundary.HOST
        await until_ready(reader)


async def test_one_that_takes_too_long_is_ended_and_started_anew(start: Any) -> None:
    async with start(wait_s=0.15) as reader:
        first = reader._process
        stuck, waits = await asyncio.gather(reader.read(said("hang")), reader.read(said("nothing")))
        assert (stuck, waits) == (Boundary.HOST, Boundary.HOST)
        assert first is not None
        assert await first.wait() == -9
        reader.settings = PresidioSettings(wait_s=5)
        await until_ready(reader)
        assert reader._process is not first


async def test_one_that_is_merely_busy_is_left_alone(start: Any) -> None:
    async with start(wait_s=1.5) as reader:
        process = reader._process
        found = await asyncio.gather(*(reader.read(said(f"slow {number}")) for number in range(5)))
        assert set(found[:2]) == {Boundary.CLOUD}
        assert found[4] is Boundary.HOST  # it waited too long for its turn
        await until_ready(reader)
        assert reader._process is process


async def test_a_caller_who_leaves_does_not_mix_up_the_answers(start: Any) -> None:
    async with start() as reader:
        leaving = [asyncio.create_task(reader.read(said(f"slow {word}"))) for word in ("EMAIL", "EMAIL", "EMAIL")]
        await asyncio.sleep(0.03)
        for task in leaving:
            task.cancel()
        assert await reader.read(said("nothing")) is Boundary.CLOUD
        assert await reader.read(said("EMAIL")) is Boundary.HOST


async def test_several_at_once_get_each_their_own(start: Any) -> None:
    async with start() as reader:
        texts = ["CITY", "nothing", "EMAIL"] * 20
        found = await asyncio.gather(*(reader.read(said(text)) for text in texts))
        assert found == [Boundary.MESH, Boundary.CLOUD, Boundary.HOST] * 20


@pytest.mark.parametrize(("language", "words"), [("refuse", "nothing finds X"), ("mute", "does not start")])
async def test_one_that_cannot_read_is_a_problem_of_the_configuration(start: Any, language: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with start(language=language):
            pass


def test_pieces_overlap_and_leave_nothing_out() -> None:
    for size in (0, 1, PIECE_CHARS, PIECE_CHARS + 1, 3 * PIECE_CHARS):
        text = "".join(chr(0x4E00 + place % 20_000) for place in range(size))
        cut = list(pieces(text))
        assert cut[0] + "".join(piece[OVERLAP_CHARS:] for piece in cut[1:]) == text
        assert all(len(piece) <= PIECE_CHARS for piece in cut)


def test_no_way_out_of_the_process() -> None:
    program = (
        "import sys, socket, subprocess; from ringfence.runtime.presidio_process import *\n"
        "sys.addaudithook(refuse_ways_out)\n"
        "def refused(act):\n"
        "    try: act()\n"
        "    except WayOutRefused: return True\n"
        "ways = [lambda: socket.create_connection(('127.0.0.1', 9)), lambda: socket.getaddrinfo('localhost', 1),\n"
        "    lambda: socket.gethostbyname('localhost'), lambda: subprocess.run(['true']), lambda: os.system('true'),\n"
        "    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)), os.fork]\n"
        "sys.exit(0 if all(map(refused, ways)) else 1)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 0


def test_what_is_not_installed_is_a_problem_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text("sensitivity:\n  presidio: {models: {en: no_such_pipeline}}\n")
    config = load(file)
    found = importlib.util.find_spec
    for there, words in (
        (None, r"yaml:2:3: sensitivity.presidio: Presidio is not installed .*pip install 'ringfence\[presidio\]'"),
        (object(), r"yaml:2:\d+: sensitivity.presidio.models.en: there is neither a package nor a folder 'no_such_pip"),
    ):
        monkeypatch.setattr(
            "ringfence.runtime.sensitive.find_spec",
            lambda name, there=there: there if name == "presidio_analyzer" else found(name),
        )
        with pytest.raises(ConfigInvalid, match=words):
            sensitivity(config)
