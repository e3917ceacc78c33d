"""From the settings to the signal that keeps sensitive requests here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ringfence.config.problems import ConfigInvalid, KeyPath, Problem, dotted
from ringfence.config.schema import Config
from ringfence.config.sensitivity import PresidioSettings
from ringfence.core.boundary import Boundary
from ringfence.signals.sensitivity import Sensitivity, Settings

PRESIDIO = "presidio_analyzer"


def sensitivity(config: Config) -> Sensitivity:
    """Raises ConfigInvalid for a pattern that is malformed or could take too long, and for what is not installed."""
    said = config.sensitivity
    if said.presidio is not None:
        _check_installed(config, said.presidio)
    reach = {name: Boundary.parse(boundary) for name, boundary in said.boundaries.items()}
    for entity in said.presidio.entities if said.presidio is not None else ():
        reach.pop(entity, None)
    patterns = tuple(said.patterns.items())
    try:
        return Sensitivity(Settings(frozenset(said.kinds), patterns, frozenset(said.labels), reach))
    except ValueError as error:
        paths: list[KeyPath] = [
            ("sensitivity", "patterns", label) for label, _ in patterns if f"'{label}'" in str(error)
        ]
        raise _invalid(config, paths[0] if paths else ("sensitivity", "patterns"), str(error)) from None


def _check_installed(config: Config, asked: PresidioSettings) -> None:
    """Nothing is imported here, and nothing fetched: what is missing is for the owner to install."""
    if find_spec(PRESIDIO) is None:
        raise _invalid(
            config, ("sensitivity", "presidio"),
            f"Presidio is not installed ({PRESIDIO}); pip install 'ringfence[presidio]'",
        )  # fmt: skip
    for language, model in asked.models.items():
        is_there = Path(model).is_dir() or (model.isidentifier() and find_spec(model) is not None)
        if not is_there:
            raise _invalid(
                config, ("sensitivity", "presidio", "models", language),
                f"there is neither a package nor a folder '{model}'; install the spaCy pipeline first",
            )  # fmt: skip


def _invalid(config: Config, path: KeyPath, message: str) -> ConfigInvalid:
    at = config.origin(path)
    file, line, column = (at.file, at.line, at.column) if at is not None else ("", None, None)
    return ConfigInvalid([Problem(file, line, column, dotted(path), message)])
