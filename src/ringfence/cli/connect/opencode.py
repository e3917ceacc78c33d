"""opencode: https://opencode.ai/docs/providers"""

from __future__ import annotations

import json
from typing import Any

from ringfence.cli.connected import File, Gateway, Program, Settings

KEY = "RINGFENCE_API_KEY"


def _settings(gateway: Gateway) -> Settings:
    model: dict[str, Any] = {"name": gateway.model}
    if gateway.window:
        model["limit"] = {"context": gateway.window, "output": max(256, int(gateway.window * 0.6))}
    config = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "ringfence": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Ringfence",
                "options": {"baseURL": gateway.v1, "apiKey": f"{{env:{KEY}}}"},
                "models": {gateway.model: model},
            }
        },
        "model": f"ringfence/{gateway.model}",
        "small_model": f"ringfence/{gateway.model}",
    }
    text = json.dumps(config, indent=2)
    return Settings({KEY: gateway.key}, (File("~/.config/opencode/opencode.json", "json", text),), run="opencode")


PROGRAM = Program("opencode", "opencode", _settings)
