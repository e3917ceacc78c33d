"""Writes recorded/NAME.json anew: `python tests/clients/record.py NAME`, for a program that is installed.

It runs where it reaches the gateway and nothing else. What is kept of a request is its shape: long texts, descriptions,
ids and places of this machine are replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from alone import Alone, Exchange
from coder import WORD, Coder
from programs import PROGRAMS, PROMPT, settle

from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

RECORDED = Path(__file__).parent / "recorded"
HEADERS = (
    "accept", "anthropic-beta", "anthropic-dangerous-direct-browser-access", "anthropic-version", "content-type",
    "originator", "user-agent", "x-app", "x-codex-beta-features",
)  # fmt: skip
BILLING = "x-anthropic-billing-header:"
MOST_TEXT = 40
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LONG_ID = re.compile(r"[0-9a-f]{24,}")
CALL = ("name", "arguments", "input")


class Cleaner:
    """Takes out of requests what is somebody's: texts, and names of this machine."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self._ids: dict[str, str] = {}

    def exchange(self, given: Exchange) -> dict[str, Any]:
        headers = {name: value.partition(" (")[0] for name, value in given.headers.items() if name in HEADERS}
        for name in ("authorization", "x-api-key"):
            if value := given.headers.get(name):
                headers[name] = f"{value.rpartition(' ')[0]} KEY".strip()
        kept: dict[str, Any] = {"method": given.method, "target": given.target, "headers": headers}
        return kept | ({"body": self.value(given.body)} if given.body is not None else {})

    def value(self, given: Any, name: str = "", *, in_schema: bool = False) -> Any:
        if isinstance(given, dict):
            inner = in_schema or name in ("parameters", "input_schema", "schema")
            return {
                self.text(key, "key"): self.value(value, "" if in_schema else key, in_schema=inner)
                for key, value in given.items()
                if not (inner and key == "description" and isinstance(value, str))
            }
        if isinstance(given, list):
            return [self.value(one, name, in_schema=in_schema) for one in given]
        is_kept = not isinstance(given, str) or (in_schema and given.count(" ") < 3)
        return given if is_kept else self.text(given, name)

    def text(self, given: str, name: str) -> str:
        for pattern, made in ((UUID, "00000000-0000-4000-8000-{:012d}"), (LONG_ID, "{:024d}")):
            for found in pattern.findall(given):
                given = given.replace(found, self._ids.setdefault(found, made.format(len(self._ids) + 1)))
        given = re.sub(r'("turn_started_at_unix_ms":)\d+', r"\g<1>0", given.replace(self._home, "/home/user/project"))
        if given.startswith(BILLING):
            return re.sub(r"(cc_version=[0-9.]+)[0-9a-f.]*", r"\1", given)
        if name == "description" or (name not in (*CALL, "key") and WORD not in given and _is_prose(given)):
            return "" if not given else f"A text of {len(given)} characters."
        return given


def _is_prose(given: str) -> bool:
    return given != PROMPT and not given.startswith("{") and (len(given) > MOST_TEXT or given.count(" ") > 1)


def told_short(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an earlier one said as well stands there only once: `like` is its place."""
    short: list[dict[str, Any]] = []
    for one in exchanges:
        like = next((place for place, old in enumerate(short) if _is_like(old, one)), None)
        if like is None:
            short.append(one)
            continue
        old = short[like]["body"]
        differs = {name: value for name, value in one["body"].items() if old.get(name) != value}
        short.append({"like": like, "body": differs})
    return short


def _is_like(old: dict[str, Any], new: dict[str, Any]) -> bool:
    heads = [{name: value for name, value in one.items() if name != "body"} for one in (old, new)]
    return "body" in old and "body" in new and heads[0] == heads[1] and old["body"].keys() <= new["body"].keys()


def written(name: str, told: dict[str, Any]) -> None:
    """One line for each field of a request: few, and what changes shows."""
    lines = []
    for one in told["exchanges"]:
        fields = [f"   {json.dumps(key)}: {_compact(value)}" for key, value in one.items() if key != "body"]
        if "body" in one:
            body = ",\n".join(f"    {json.dumps(key)}: {_compact(value)}" for key, value in one["body"].items())
            fields.append(f'   "body": {{\n{body}\n   }}')
        lines.append("  {\n" + ",\n".join(fields) + "\n  }")
    head = "".join(f" {json.dumps(key)}: {_compact(value)},\n" for key, value in told.items() if key != "exchanges")
    (RECORDED / f"{name}.json").write_text(f'{{\n{head} "exchanges": [\n' + ",\n".join(lines) + "\n ]\n}\n")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main(name: str) -> None:
    program = PROGRAMS[name]
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"RINGFENCE_STATE_DIR": state}
        models = {"coder": {"url": f"http://127.0.0.1:{_engine().port}", "engine": "vllm", "aliases": ["auto"]}}
        models["coder"]["engine_model"] = "fake-model"
        config = Path(state) / "ringfence.yaml"
        config.write_text(json.dumps({"models": models, "discovery": {"adopt": False}}))
        up = [sys.executable, "-m", "ringfence", "up", "--json", "--port", "0", "--config", str(config)]
        process = subprocess.Popen(up, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            connect = [sys.executable, "-m", "ringfence", "connect", program.connect, "--json"]
            settings = json.loads(subprocess.run(connect, env=environment, capture_output=True, check=True).stdout)
            command, env = settle(program, settings, Path(home))
            with Alone(ready["base_url"]) as alone:
                version = alone.run([str(program.path), "--version"], env, Path(home)).stdout.strip()
                done = alone.run(command, env, Path(home))
                assert done.returncode == 0 and f"said {WORD}" in done.stdout, done.stdout + done.stderr
                cleaner = Cleaner(Path(home))
                exchanges = [cleaner.exchange(one) for one in alone.requests()]
        finally:
            process.terminate()
            process.wait(20)
    run = " ".join(program.command).replace(PROMPT, "PROMPT")
    told = {"program": name, "version": version, "run": run, "exchanges": told_short(exchanges)}
    written(name, told)


def _engine() -> FakeEngine:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    engine = FakeEngine("vllm", models=(FakeModel(window=200_000),))
    was = engine.dialect
    engine.dialect = Coder(was.kind, was.models, was.slots, was.words)
    asyncio.run_coroutine_threadsafe(engine.start(), loop).result(5)
    return engine


if __name__ == "__main__":
    main(sys.argv[1])
