"""Codex: https://developers.openai.com/codex/config-reference"""

from __future__ import annotations

import json

from ringfence.cli.connected import File, Gateway, Program, Settings

KEY = "RINGFENCE_API_KEY"


def _settings(gateway: Gateway) -> Settings:
    window = f"model_context_window = {gateway.window}\n" if gateway.window else ""
    config = (
        f"model = {json.dumps(gateway.model)}\n"
        'model_provider = "ringfence"\n'
        f"{window}"
        "\n"
        "[model_providers.ringfence]\n"
        'name = "Ringfence"\n'
        f"base_url = {json.dumps(gateway.v1)}\n"
        f'env_key = "{KEY}"\n'
        'wire_api = "responses"\n'
    )
    return Settings(
        {KEY: gateway.key},
        (File("~/.codex/config.toml", "toml", config),),
        run="codex",
        notes=("The lines before [model_providers.ringfence] stand before any [table]. Codex reads it at its start.",),
    )


PROGRAM = Program("codex", "Codex", _settings)
