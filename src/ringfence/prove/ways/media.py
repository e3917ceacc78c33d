"""Sounds and pictures: in a chat, and where there is nothing else."""

from __future__ import annotations

from base64 import b64encode

from ringfence.prove.house import House
from ringfence.prove.temptations import CLOUD_MODEL, MEDIA_MODEL
from ringfence.prove.way import Tried, Way

ORDER = 1
EDGE = "edge-of-the-proof"
PIXEL = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()


def _able(house: House) -> str:
    """The stand-in in the mesh that speaks, hears and draws; where there is no mesh, nothing does."""
    return MEDIA_MODEL if MEDIA_MODEL in house.models else CLOUD_MODEL


async def _picture(house: House, text: str) -> Tried:
    parts = [
        {"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]  # fmt: skip
    body = {"model": CLOUD_MODEL, "messages": [{"role": "user", "content": parts}], "max_tokens": 16}
    return Tried.by(await house.ask("/v1/chat/completions", body))


async def _speech(house: House, text: str) -> Tried:
    return Tried.by(await house.ask("/v1/audio/speech", {"model": _able(house), "input": text, "voice": "alloy"}))


async def _drawn(house: House, text: str) -> Tried:
    return Tried.by(await house.ask("/v1/images/generations", {"model": _able(house), "prompt": text}))


async def _heard(house: House, text: str) -> Tried:
    """The text is what is said in the sound, as far as anybody here can know."""
    form = (
        f'--{EDGE}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{_able(house)}\r\n'
        f'--{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="proof.wav"\r\n\r\nRIFF {text}\r\n'
        f"--{EDGE}--\r\n"
    ).encode()
    head = {"content-type": f"multipart/form-data; boundary={EDGE}"}
    answers = [await house.ask(f"/v1/audio/{what}", form, head) for what in ("transcriptions", "translations")]
    return Tried(", ".join(said.in_words for said in answers), all(said.is_decided for said in answers))


WAYS = (
    Way("picture", "shows a rented model a picture", _picture, reaches=True),
    Way("speech", "has a text spoken", _speech, ("dialect speech",)),
    Way("drawing", "has a picture made of a text", _drawn, ("dialect images",)),
    Way(
        "sound", "has a sound written down that nobody can read before", _heard,
        ("dialect transcriptions", "dialect translations"), stays=True,
    ),
)  # fmt: skip
