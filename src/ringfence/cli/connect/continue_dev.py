"""Continue: https://docs.continue.dev/reference"""

from __future__ import annotations

from ringfence.cli.connected import File, Gateway, Program, Settings
from ringfence.config.changes import scalar


def _settings(gateway: Gateway) -> Settings:
    window = f"    defaultCompletionOptions:\n      contextLength: {gateway.window}\n" if gateway.window else ""
    text = (
        "name: Ringfence\n"
        "version: 1.0.0\n"
        "schema: v1\n"
        "models:\n"
        f"  - name: {scalar(f'Ringfence {gateway.model}')}\n"
        "    provider: openai\n"
        f"    model: {scalar(gateway.model)}\n"
        f"    apiBase: {scalar(gateway.v1)}\n"
        f"    apiKey: {scalar(gateway.key)}\n"
        "    roles: [chat, edit, apply]\n"
        f"{window}"
    )
    return Settings(
        files=(File("~/.continue/config.yaml", "yaml", text),),
        run="cn",
        notes=("Continue's command line and its extensions for editors read the same file.",),
    )


PROGRAM = Program("continue", "Continue", _settings)
