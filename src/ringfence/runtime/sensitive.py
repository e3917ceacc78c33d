"""From the settings to the signal that keeps sensitive requests here."""

from __future__ import annotations

from ringfence.config.problems import ConfigInvalid, Problem
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.signals.sensitivity import Sensitivity, Settings


def sensitivity(config: Config) -> Sensitivity:
    """Raises ConfigInvalid for a pattern that is malformed or could take too long."""
    said = config.sensitivity
    reach = {name: Boundary.parse(boundary) for name, boundary in said.boundaries.items()}
    patterns = tuple(said.patterns.items())
    try:
        return Sensitivity(Settings(frozenset(said.kinds), patterns, frozenset(said.labels), reach))
    except ValueError as error:
        places = [
            config.origin(("sensitivity", "patterns", label)) for label, _ in patterns if f"'{label}'" in str(error)
        ]
        at = places[0] if places else None
        file, line, column = (at.file, at.line, at.column) if at is not None else ("", None, None)
        raise ConfigInvalid([Problem(file, line, column, "sensitivity.patterns", str(error))]) from None
