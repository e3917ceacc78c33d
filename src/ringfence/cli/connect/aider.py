"""Aider: https://aider.chat/docs/llms/openai-compat.html"""

from __future__ import annotations

from ringfence.cli.connected import File, Gateway, Program, Settings
from ringfence.config.changes import scalar


def _settings(gateway: Gateway) -> Settings:
    model = scalar(f"openai/{gateway.model}")  # the prefix says which dialect; it is not sent
    text = f"openai-api-base: {scalar(gateway.v1)}\nmodel: {model}\nweak-model: {model}\nshow-model-warnings: false\n"
    return Settings(
        {"OPENAI_API_BASE": gateway.v1, "OPENAI_API_KEY": gateway.key},
        (File(".aider.conf.yml", "yaml", text),),
        run=f"aider --model openai/{gateway.model}",
        notes=("The file stands in the folder of the project or in your home; the key stays in the environment.",),
    )


PROGRAM = Program("aider", "Aider", _settings)
