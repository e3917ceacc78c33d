"""Where the configuration is looked for. Apart from the loader, so that who only needs the place stays small."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "ringfence.yaml"


def find(explicit: Path | None, cwd: Path, env: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read: `explicit`, $RINGFENCE_CONFIG, ./, the XDG configuration folder, /etc; None without any.

    A file that was named is returned even if it does not exist, so that `load` can say so.
    """
    if explicit is not None:
        return explicit
    if named := env.get("RINGFENCE_CONFIG"):
        return Path(named)
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    xdg = Path(env.get("XDG_CONFIG_HOME", ""))
    folder = xdg if xdg.is_absolute() else home / ".config"
    places = (cwd / FILE_NAME, folder / "ringfence" / FILE_NAME, Path("/etc/ringfence") / FILE_NAME)
    return next((place for place in places if place.is_file()), None)
