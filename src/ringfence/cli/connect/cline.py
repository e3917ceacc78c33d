"""Cline: https://docs.cline.bot/provider-config/openai-compatible"""

from __future__ import annotations

from ringfence.cli.connected import Gateway, Program, Settings


def _settings(gateway: Gateway) -> Settings:
    window = (f"Model Configuration > Context Window Size: {gateway.window}",) if gateway.window else ()
    return Settings(
        steps=(
            "Cline's settings > API Provider: OpenAI Compatible.",
            f"Base URL: {gateway.v1}",
            f"API Key: {gateway.key}",
            f"Model ID: {gateway.model}",
            *window,
        ),
    )


PROGRAM = Program("cline", "Cline", _settings)
