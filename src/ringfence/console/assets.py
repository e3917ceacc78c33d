"""The console's own files, held in memory: together they are smaller than one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files by name. `edition` stands in their addresses and changes with any of them: browsers keep them."""

    files: dict[str, Asset]
    edition: str

    @classmethod
    def read(cls) -> Assets:
        """From the package; files of a kind that is not listed are not served."""
        found: dict[str, Asset] = {}
        everything = sha256()
        for file in sorted(files("ringfence.console").joinpath("static").iterdir(), key=lambda file: file.name):
            media_type = MEDIA_TYPES.get(file.name[file.name.rfind(".") :])
            if media_type is None:
                continue
            body = file.read_bytes()
            everything.update(file.name.encode() + b"\0" + body)
            found[file.name] = Asset(body, media_type, f'"{sha256(body).hexdigest()[:16]}"')
        return cls(found, everything.hexdigest()[:12])
