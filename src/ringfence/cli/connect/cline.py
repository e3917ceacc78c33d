"""Cline, in an editor and on the command line: https://docs.cline.bot/provider-config/openai-compatible"""

from __future__ import annotations

import shlex

from ringfence.cli.connected import Gateway, Program, Settings


def _settings(gateway: Gateway) -> Settings:
    window = (f"Model Configuration > Context Window Size: {gateway.window}",) if gateway.window else ()
    told = {"provider": "openai-compatible", "apikey": gateway.key, "baseurl": gateway.v1, "modelid": gateway.model}
    return Settings(
        steps=(
            "Cline's settings > API Provider: OpenAI Compatible.",
            f"Base URL: {gateway.v1}",
            f"API Key: {gateway.key}",
            f"Model ID: {gateway.model}",
            *window,
        ),
        run=f"cline auth {shlex.join(f'--{name}={value}' for name, value in told.items())}",
        notes=("The command is for Cline's command line, which then asks this gateway; what is above is for editors.",),
    )


PROGRAM = Program("cline", "Cline", _settings)
