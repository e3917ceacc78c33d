"""What commands that compute with memory share: the model that is meant, and bytes as people write them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NoReturn

import typer

DEMO = "demo"
UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def local_model(model: str) -> Path | None:
    """The file or folder that is meant, None where there is none."""
    if model == DEMO and not Path(model).exists():
        return Path(str(resources.files("ringfence.models") / "demo.gguf"))
    path = Path(model).expanduser()
    return path if path.exists() else None


def size_of(given: str | None, option: str) -> int | None:
    """Bytes of text such as 24GiB. Ends with status 2 where it is none."""
    if given is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    from ringfence.config.values import Size

    try:
        return TypeAdapter(Size).validate_python(int(given) if given.isdigit() else given)
    except ValidationError:
        refused(f"{option} takes bytes, as a number or with a unit, such as 24GiB")


def refused(reason: str) -> NoReturn:
    """End the program with words and status 2."""
    typer.secho(reason, err=True, fg="red")
    raise typer.Exit(2)


def in_bytes(count: int) -> str:
    """Such as 16.3 GiB."""
    for size, unit in UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
