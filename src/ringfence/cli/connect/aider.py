"""Aider: https://aider.chat/docs/llms/openai-compat.html"""

from __future__ import annotations

import json
from typing import Any

from ringfence.cli.connected import File, Gateway, Program, Settings
from ringfence.config.changes import scalar


def _settings(gateway: Gateway) -> Settings:
    name = f"openai/{gateway.model}"  # the prefix says which dialect; it is not sent
    model = scalar(name)
    text = (
        f"openai-api-base: {scalar(gateway.v1)}\nmodel: {model}\nweak-model: {model}\nshow-model-warnings: false\n"
        "check-update: false\nanalytics: false\n"
    )
    known: dict[str, Any] = {"litellm_provider": "openai", "mode": "chat"}
    if gateway.window:
        known["max_input_tokens"] = gateway.window
    return Settings(
        {
            "OPENAI_API_BASE": gateway.v1,
            "OPENAI_API_KEY": gateway.key,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        (
            File(".aider.conf.yml", "yaml", text),
            File(".aider.model.metadata.json", "json", json.dumps({name: known}, indent=2)),
        ),
        run=f"aider --model {name}",
        notes=(
            "The files stand in the folder of the project or in your home; the key stays in the environment.",
            "Without the second file, and without that variable, it fetches a list of models and prices from GitHub; "
            "without check-update and analytics, it asks PyPI for updates and may report its use. None of that comes "
            "by here, and no fence of ours holds it.",
        ),
    )


PROGRAM = Program("aider", "Aider", _settings)
