"""What every part of the configuration is made of: sections, and settings that say how a change of them takes effect.

Reload: `hot` is in force for the next request; `drain` builds the part anew and lets the old one finish its requests;
`restart` needs a new start.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Reload = Literal["hot", "drain", "restart"]


class Section(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def setting(default: Any, reload: Reload, description: str, **limits: Any) -> Any:
    """A leaf of the configuration. `limits` are those of pydantic's Field."""
    return Field(default, description=description, json_schema_extra={"reload": reload}, **limits)


def needed(reload: Reload, description: str, **limits: Any) -> Any:
    """A leaf without a default."""
    return Field(description=description, json_schema_extra={"reload": reload}, **limits)
