"""Who may know whom, and who may reach out: held by the import graph and by the syntax, not by good will."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ringfence"
FILES = sorted(SOURCE.rglob("*.py"))

CONNECTS = {
    "socket.socket", "socket.create_connection", "asyncio.open_connection", "http.client", "urllib.request", "requests",
    "httpx", "httpx2", "aiohttp", "huggingface_hub", "urllib3", "ssl", "smtplib", "ftplib", "socketserver",
}  # fmt: skip
MAY_CONNECT = {
    "store/postgres.py": "the database, at the configured address",
    "egress/pool.py": "the one way out of the running gateway",
    "egress/cloud.py": "the one way to rented clouds, in a process of its own",
    "egress/tls.py": "what that way is encrypted with",
    "egress/attempt.py": "tries to get out where the kernel is to forbid it, and sends nothing",
    "engines/program_process.py": "asks the engine program that it started, on loopback, whether it serves",
    "placement/hub.py": "fetches weights that the owner named",
    "cli/client.py": "the owner's command line asks the gateway on loopback",
    "cli/doctor.py": "tries to bind the usual port",
    "prove/house.py": "asks the gateway under proof, in a network of its own",
    "prove/inside.py": "shows that the sink sees what leaves",
    "prove/sink.py": "counts packets in a network of its own",
    "prove/ways/engines.py": "plays an engine that sends on what it is asked, in a network of its own",
    "testing/fake_cloud.py": "a cloud on loopback, with TLS",
    "testing/fault_proxy.py": "stands before an engine, on loopback",
    "testing/contract.py": "asks a real engine under test",
}
IMPORTS_WITHIN = {
    "cli/": "each command loads what it needs when it runs",
    "runtime/": "the composition root loads rarely used parts late",
}


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func) in ("import_module", "importlib.import_module"):
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _ways_out(tree: ast.Module) -> set[str]:
    """What of CONNECTS a file imports or calls, and connections opened through an event loop."""
    imported = set(_imported(tree))
    called = {_dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {way for way in CONNECTS for name in imported if name == way or name.startswith(way + ".")}
    found |= CONNECTS & called
    return found | {
        name for name in called if name.rpartition(".")[2] in ("create_connection", "sock_connect", "urlopen")
    }


def test_contracts_of_the_import_graph() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("needs import-linter (the extra `dev`)")
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    checked = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout


def test_only_a_few_files_can_reach_out() -> None:
    found = {_name(path): ways for path in FILES if (ways := _ways_out(_tree(path)))}
    assert {name: ways for name, ways in found.items() if name not in MAY_CONNECT} == {}


def test_every_exception_is_needed() -> None:
    for name in MAY_CONNECT:
        assert _ways_out(_tree(SOURCE / name)), name


@pytest.mark.parametrize(
    ("code", "ways"),
    [
        ("import http.client", {"http.client"}),
        ("from urllib.request import urlopen", {"urllib.request"}),
        ("import asyncio\nasync def f(): await asyncio.open_connection('a', 1)", {"asyncio.open_connection"}),
        ("async def f(loop): await loop.create_connection(None, 'a', 1)", {"loop.create_connection"}),
        ("from importlib import import_module\nimport_module('requests')", {"requests"}),
        ("import socket\nx = socket.AF_INET", set()),
        ("from urllib.parse import urlsplit", set()),
    ],
)
def test_ways_out_are_recognised(code: str, ways: set[str]) -> None:
    assert _ways_out(ast.parse(code)) == ways


def test_imports_stand_at_the_top() -> None:
    within = [
        f"{_name(path)}, line {node.lineno}"
        for path in FILES
        if not _name(path).startswith(tuple(IMPORTS_WITHIN))
        for function in ast.walk(_tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert within == []


def test_no_relative_imports() -> None:
    relative = [
        f"{_name(path)}, line {node.lineno}"
        for path in FILES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
