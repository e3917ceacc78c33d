"""How the gateway is asked to speak, hear and draw."""

from __future__ import annotations

import os
from typing import Any

import forms
from composed import Gateway

from ringfence.core.catalog import Ability

SOUND = b"RIFF\r\n----edge-of-a\r\n\x00\xff" + os.urandom(2000)
SPEAKS = frozenset((Ability.SPEECH,))
HEARS = frozenset((Ability.TRANSCRIPTION, Ability.TRANSLATION))
DRAWS = frozenset((Ability.IMAGES,))
ALL = HEARS | SPEAKS | DRAWS
SPOKEN = {"model": "fast", "input": "The night watch walks.", "voice": "alloy"}


def form(*fields: tuple[str, bytes], sound: bytes | None = SOUND, filename: str = "a.wav") -> bytes:
    return forms.form(*fields, file=sound, filename=filename, kind="audio/wav")


async def hear(gateway: Gateway, body: bytes, path: str = "/v1/audio/transcriptions", kind: str = forms.FORM) -> Any:
    client = await gateway.client()
    reply = await client.ask(path, body, head=f"content-type: {kind}\r\n".encode())
    client.leave()
    return reply


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "speech": ("/v1/audio/speech", SPOKEN),
    "transcriptions": ("/v1/audio/transcriptions", {"model": "fast"}),
    "images": ("/v1/images/generations", {"model": "fast", "prompt": "A gate."}),
}


async def ask(gateway: Gateway, name: str, **more: Any) -> Any:
    """With a sound, where it is something to be heard."""
    path, body = ASKED[name]
    if name == "transcriptions":
        return await hear(gateway, form(*((one, value.encode()) for one, value in (body | more).items())), path)
    client = await gateway.client()
    reply = await client.ask(path, body | more)
    client.leave()
    return reply
