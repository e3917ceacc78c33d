"""How engines are told to give up memory, for a fake engine, as their sources have it: the routes of vLLM's development
mode (vllm/entrypoints/serve/dev/sleep), and what Ollama does with a request that has no prompt (server/routes.go)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.testing.fake_dialects import Dialect

Told = tuple[int, Any]


class Controls:
    """`asleep` is None for a vLLM that was started without sleep mode."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.asleep: bool | None = None
        self.level = 0

    def told(self, method: str, path: str, body: dict[str, Any]) -> Told | None:
        """Status and body, or None where it is about something else."""
        route, _, query = path.partition("?")
        if self.dialect.kind == "vllm" and self.asleep is not None:
            return self._of_vllm(method, route, query)
        if self.dialect.kind == "ollama" and method == "POST" and "keep_alive" in body:
            return self._of_ollama(route, body)
        return None

    def _of_vllm(self, method: str, route: str, query: str) -> Told | None:
        match method, route:
            case "POST", "/sleep":
                self.asleep, self.level = True, int(query.removeprefix("level=") or 1)
                return 200, {"status": "sleeping", "level": self.level}
            case "POST", "/wake_up":
                self.asleep = False
                return 200, {"status": "awake", "tags": None}
            case "GET", "/is_sleeping":
                return 200, {"is_sleeping": self.asleep}
            case _:
                return None

    def _of_ollama(self, route: str, body: dict[str, Any]) -> Told | None:
        if (route == "/api/generate" and body.get("prompt")) or (route == "/api/embed" and body.get("input")):
            return None
        name, stays = body.get("model"), body["keep_alive"] != 0
        model = self.dialect.find(name)
        if model is None:
            return 404, {"error": f"model '{name}' not found"}
        if route == "/api/generate" and stays and model.embeds:
            return 400, {"error": f'"{name}" does not support generate'}
        models = (replace(one, is_loaded=stays) if one is model else one for one in self.dialect.models)
        self.dialect = replace(self.dialect, models=tuple(models))
        if route == "/api/embed":
            return 200, {"model": name, "embeddings": []}
        return 200, {"model": name, "response": "", "done": True, "done_reason": "load" if stays else "unload"}
