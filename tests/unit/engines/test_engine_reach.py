"""What an engine would itself send on is told, and where it cannot tell, nothing is taken for granted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ringfence.core.ports import Fetch, Fetched
from ringfence.engines import llamacpp, ollama, openai_compatible
from ringfence.placement.examine import examine
from ringfence.placement.launch import environment

OFF = {"cloud": {"disabled": True, "source": "env"}}
ON = {"cloud": {"disabled": False, "source": "none"}}


def pages(known: dict[str, Any]) -> Fetch:
    async def fetch(path: str, **_: Any) -> Fetched:
        return Fetched(200, known[path]) if path in known else Fetched(404, {"error": "not found"})

    return fetch


class TestOllama:
    async def reaches(self, status: Any, *, version: str = "0.33.0", model: dict[str, Any] | None = None) -> bool:
        known = {"/api/version": {"version": version}, "/api/tags": {"models": [model or {"name": "llama3:8b"}]}}
        offers = await ollama.ADAPTER.examine(pages(known if status is None else known | {"/api/status": status}))
        assert offers is not None
        return offers[0].reaches_cloud

    async def test_with_its_cloud_switched_off_what_is_local_stays(self) -> None:
        assert not await self.reaches(OFF)

    @pytest.mark.parametrize("status", [ON, {"cloud": None}, {"cloud": {"disabled": "true"}}, {"cloud": {}}, [], "on"])
    async def test_with_its_cloud_on_or_untold_nothing_stays(self, status: Any) -> None:
        assert await self.reaches(status)

    @pytest.mark.parametrize(
        ("version", "reaches"),
        [
            ("0.11.11", False),
            ("0.5.7-0-ga420a45-dirty", False),
            ("0.12.0", True),
            ("0.15.6", True),
            ("0.33.0-rc1", True),
            ("1.0.0", True),
            ("0.0.0", True),
            ("unknown", True),
            ("", True),
        ],
    )
    async def test_a_server_without_that_page_is_known_by_its_version(self, version: str, reaches: bool) -> None:
        assert await self.reaches(None, version=version) is reaches

    @pytest.mark.parametrize(
        "model",
        [
            {"name": "a:1", "remote_host": "https://ollama.example:443"},
            {"name": "a:1", "remote_model": "gpt-oss:120b"},
            {"name": "a:cloud", "model": "a:latest"},
            {"name": "a:latest", "model": "a:120b-cloud"},
        ],
    )
    async def test_a_remote_model_is_one_wherever_its_cloud_stands(self, model: dict[str, Any]) -> None:
        assert await self.reaches(OFF, model=model)
        assert await self.reaches(None, version="0.11.0", model=model)

    @pytest.mark.parametrize("name", ["a:cloud", "a:Cloud ", " a:b:CLOUD", "a: cloud", "a:20b-cloud", "a-cloud"])
    def test_names_that_go_to_its_cloud(self, name: str) -> None:
        assert ollama.is_cloud_name(name)

    @pytest.mark.parametrize("name", ["a", "cloud:8b", "mycloud", "a:20b:local", "my-cloud-model", "a:cloudy"])
    def test_names_that_do_not(self, name: str) -> None:
        assert not ollama.is_cloud_name(name)


class TestAnOllamaByAnotherName:
    """It is configured as `openai_compatible`, or as a kind of some other package."""

    async def kept(self, known: dict[str, Any], *names: str) -> list[str] | None:
        listed = {"/v1/models": {"data": [{"id": name} for name in names]}}
        offers = await examine(openai_compatible.ADAPTER, pages(listed | known))
        return None if offers is None else [offer.engine_model for offer in offers if not offer.reaches_cloud]

    def ollama(self, status: Any, *models: dict[str, Any]) -> dict[str, Any]:
        return {"/api/version": {"version": "0.33.0"}, "/api/tags": {"models": list(models)}, "/api/status": status}

    async def test_its_cloud_is_asked_for(self) -> None:
        local = {"name": "llama3:8b"}
        assert await self.kept(self.ollama(OFF, local), "llama3:8b") == ["llama3:8b"]
        assert await self.kept(self.ollama(ON, local), "llama3:8b") == []
        assert await self.kept(self.ollama(None, local), "llama3:8b") == []

    async def test_a_model_that_is_remote_or_that_it_does_not_list_does_not_stay(self) -> None:
        remote = {"name": "alias:8b", "remote_host": "https://ollama.example"}
        known = self.ollama(OFF, {"name": "llama3:8b"}, remote)
        assert await self.kept(known, "llama3:8b", "alias:8b", "never:listed") == ["llama3:8b"]

    async def test_names_of_its_cloud_are_taken_at_their_word_behind_a_proxy(self) -> None:
        assert await self.kept({}, "gpt-oss:120b-cloud", "glm:cloud", "my-cloud", "llama3:8b") == [
            "my-cloud", "llama3:8b",
        ]  # fmt: skip

    @pytest.mark.parametrize("silent", ["/api/version", "/api/tags"])
    async def test_what_does_not_answer_is_not_taken_for_something_else(self, silent: str) -> None:
        known = self.ollama(OFF, {"name": "a"}) | {"/v1/models": {"data": [{"id": "a"}]}}
        fetch = pages(known)

        async def stalls(path: str) -> Fetched:
            return Fetched(0) if path == silent else await fetch(path)

        assert await examine(openai_compatible.ADAPTER, stalls) is None

    async def test_another_server_with_a_page_of_that_name_is_no_ollama(self) -> None:
        assert await self.kept({"/api/version": {"version": "0.33.0"}}, "a") == ["a"]
        assert await self.kept({"/api/version": ["0.33.0"], "/api/tags": {"models": []}}, "a") == ["a"]


@pytest.mark.parametrize(
    ("arguments", "variable", "reaches"),
    [
        (["llama-server", "-m", "a.gguf", "--rpc", "192.0.2.7:50052"], None, True),
        (["llama-server", "--rpc=gpu.example:50052"], None, True),
        (["llama-server"], "127.0.0.1:50052, 10.0.0.7:50052", True),
        (["llama-server", "--rpc"], None, True),
        (["llama-server", "--rpc", "127.0.0.1:50052"], "[::1]:50052", False),
        (["llama-server", "-m", "--rpc-like.gguf"], "", False),
        ([], None, False),
    ],
)
def test_a_server_was_started_with_peers(arguments: list[str], variable: str | None, reaches: bool) -> None:
    environment = {"PATH": "/bin"} | ({} if variable is None else {"LLAMA_ARG_RPC": variable})
    assert llamacpp.started_with_peers(arguments, environment) is reaches


class TestLlamaCpp:
    async def reaches(self, status: dict[str, Any]) -> list[bool]:
        """Of the same model, unloaded, loaded, and loaded without an answer to what it has."""
        ids = {"unloaded": "a", "loaded": "b", "silent": "c"}
        listed = [
            {"id": name, "status": status | {"value": "unloaded" if value == "unloaded" else "loaded"}}
            for value, name in ids.items()
        ]
        router = {"role": "router", "default_generation_settings": {"n_ctx": 0}}
        known = {"/props": router, "/v1/models": {"data": listed}}
        known["/props?model=b&autoload=false"] = {"default_generation_settings": {"n_ctx": 900}}
        offers = await llamacpp.ADAPTER.examine(pages(known))
        return [offer.reaches_cloud for offer in offers or ()]

    @pytest.mark.parametrize(
        "status",
        [
            {"args": ["llama-server", "--rpc", "192.0.2.7:50052", "-c", "4096"]},
            {"args": ["llama-server", "--rpc=192.0.2.7:50052"]},
            {"args": ["llama-server", "--rpc", "127.0.0.1:50052,192.0.2.7:50052"]},
            {"args": ["llama-server", "--rpc", "10.0.0.7:50052"]},
            {"args": ["llama-server", "--rpc", "localhost:50052"]},
            {"args": ["llama-server", "--rpc", "127.0.0.1.example:50052"]},
            {"args": ["llama-server", "--rpc", "127.0.0.1"]},
            {"args": ["llama-server", "--rpc"]},
            {"args": ["llama-server"], "preset": "[a]\nrpc = gpu.example:50052\n"},
            {"preset": "[a]\nctx-size = 1\n  LLAMA_ARG_RPC=gpu.example:50052"},
            {"args": ["llama-server", "--rpc", "127.0.0.1:1"], "preset": "[a]\n--rpc = 127.0.0.1:1, [2001:db8::1]:2\n"},
        ],
    )
    async def test_a_model_with_a_peer_elsewhere_does_not_stay(self, status: dict[str, Any]) -> None:
        assert await self.reaches(status) == [True, True, True]

    @pytest.mark.parametrize(
        "status",
        [
            {},
            {"args": None, "preset": None},
            {"args": ["llama-server", "--rpc-like", "192.0.2.7:1", "-c", "4096"], "preset": "[a]\nctx-size = 4096\n"},
            {"args": ["llama-server", "--rpc", "127.0.0.1:50052,[::1]:50053"]},
        ],
    )
    async def test_a_model_without_one_stays(self, status: dict[str, Any]) -> None:
        assert await self.reaches(status) == [False, False, False]

    def test_an_engine_of_our_own_has_no_peers(self) -> None:
        assert "LLAMA_ARG_RPC" not in environment({"LLAMA_ARG_RPC": "192.0.2.7:50052", "PATH": "/bin"})
        spec = {"model_path": "m.gguf", "alias": "a", "api_key": "k", "parent_pid": os.getpid(), "rpc": "192.0.2.7:1"}
        command = [sys.executable, "-P", "-m", "ringfence.engines.llamacpp_process"]
        line = json.dumps(spec) + "\n"
        said = subprocess.run(command, check=False, input=line, capture_output=True, text=True, timeout=20)
        assert (said.returncode, list(json.loads(said.stdout))) == (1, ["error"])


SERVED = ["llama-server", "-m", "a.gguf"]


@pytest.mark.parametrize(
    ("arguments", "environment", "shares"),
    [
        (SERVED, {}, True),
        ([*SERVED, "-np", "4"], {}, False),
        ([*SERVED, "--parallel", "-1"], {}, True),
        ([*SERVED, "-np", "4", "-kvu"], {}, True),
        ([*SERVED, "--no-kv-unified"], {}, False),
        ([*SERVED, "-kvu", "-no-kvu"], {}, False),
        (SERVED, {"LLAMA_ARG_N_PARALLEL": "2"}, False),
        ([*SERVED, "-np", "2"], {"LLAMA_ARG_KV_UNIFIED": "1"}, True),
        (SERVED, {"LLAMA_ARG_KV_UNIFIED": "0"}, False),
        (["llama-server"], {"LLAMA_ARG_HF_REPO": "a/b"}, True),
        (["llama-server", "--models-dir", "models"], {}, False),
        (["/opt/llama.cpp/bin/llama-server", "-hf", "a/b"], {}, True),
        (["/usr/bin/python3", "-m", "llama_cpp.server"], {}, False),
        ([], {}, False),
    ],
)
def test_slots_share_one_context(arguments: list[str], environment: dict[str, str], shares: bool) -> None:
    assert llamacpp.shares_context(arguments, environment) is shares
