"""Claude Code: https://code.claude.com/docs/en/llm-gateway-connect"""

from __future__ import annotations

import json

from ringfence.cli.connected import File, Gateway, Program, Settings

MOST_OUTPUT = 32_000
"""What it asks for unasked; it keeps as much of the window free, so a small one would seem full from the start."""


def _settings(gateway: Gateway) -> Settings:
    tiers = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
             "ANTHROPIC_DEFAULT_HAIKU_MODEL")  # fmt: skip
    variables = {
        "ANTHROPIC_BASE_URL": gateway.root,  # it adds /v1/messages itself
        "ANTHROPIC_AUTH_TOKEN": gateway.key,
        **dict.fromkeys(tiers, gateway.model),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if gateway.window:
        variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(gateway.window)
        variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(min(MOST_OUTPUT, gateway.window // 4))
    return Settings(
        variables,
        (File("~/.claude/settings.json", "json", json.dumps({"env": variables}, indent=2)),),
        run="claude",
        notes=(
            "Either the variables or the file; the file counts where both are there.",
            "ANTHROPIC_API_KEY must not be set beside it: unset ANTHROPIC_API_KEY.",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC keeps it from calling home beside its questions.",
        ),
    )


PROGRAM = Program("claude-code", "Claude Code", _settings)
