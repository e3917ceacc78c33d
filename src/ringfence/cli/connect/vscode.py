"""The chat of Visual Studio Code: https://code.visualstudio.com/docs/copilot/language-models"""

from __future__ import annotations

import json

from ringfence.cli.connected import File, Gateway, Program, Settings

OUTPUT_SHARE = 4
"""The output's part of the window; the rest is for what is sent."""


def _settings(gateway: Gateway) -> Settings:
    sizes: dict[str, int] = {}
    if gateway.window:
        output = gateway.window // OUTPUT_SHARE
        sizes = {"maxInputTokens": gateway.window - output, "maxOutputTokens": output}
    model = {"id": gateway.model, "name": f"Ringfence {gateway.model}", "url": f"{gateway.v1}/chat/completions",
             "toolCalling": True, "vision": False, **sizes}  # fmt: skip
    entry = {"name": "Ringfence", "vendor": "customendpoint", "apiType": "chat-completions", "models": [model]}
    missing = () if sizes else ("Add maxInputTokens and maxOutputTokens: together at most the model's window.",)
    return Settings(
        files=(File("chatLanguageModels.json", "json", json.dumps([entry], indent=2)),),
        steps=(
            "Command palette: Chat: Manage Language Models > Add Models > Custom Endpoint.",
            f"API Key: {gateway.key} (it keeps it apart from the file)",
            "The gear beside the provider opens the file below.",
        ),
        notes=missing,
    )


PROGRAM = Program("vscode", "Visual Studio Code", _settings)
