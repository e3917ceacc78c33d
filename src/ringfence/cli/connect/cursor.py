"""Cursor: https://docs.cursor.com/settings/api-keys"""

from __future__ import annotations

from ringfence.cli.connected import Gateway, Program, Settings


def _settings(gateway: Gateway) -> Settings:
    return Settings(
        steps=(
            "Cursor Settings > Models > API Keys.",
            f"OpenAI API Key: {gateway.key}",
            f"Override OpenAI Base URL: on, {gateway.v1}",
            f"Add a custom model: {gateway.model}; switch the others off.",
        ),
        notes=(
            "Cursor's own servers make each request and send it: your text and this key pass through them, whatever "
            "the profile of the key. For what must not leave, use a program that asks the gateway itself.",
            "They reach public https addresses only, so that the gateway must stand behind a proxy with a certificate; "
            "its name goes under server.allowed_hosts. Use a key of its own for it, with limits (--key).",
        ),
    )


PROGRAM = Program("cursor", "Cursor", _settings)
