"""[pure] How urgent a call is, as its caller says. Its profile sets the highest class."""

from __future__ import annotations

from typing import Any

from ringfence.core.errors import BadRequest
from ringfence.core.route import Urgency
from ringfence.signals.hints import is_background

PRIORITY = b"x-ringfence-priority"
NAMED = {urgency.name.lower(): urgency for urgency in Urgency}
USER, BACKGROUND = Urgency.USER, Urgency.BACKGROUND
"""Looked up once: members of an enumeration are slow to find."""


def read_priority(value: bytes | None) -> Urgency | None:
    """What the header says; None where that cannot be understood."""
    return USER if value is None else NAMED.get(value.decode("latin-1").strip().lower())


def urgency_of(head_urgency: Urgency | None, body: dict[str, Any]) -> tuple[Urgency, bool]:
    """The class of a call by its header and by the tier of service that its body asks for, and whether a model may be
    loaded for it: not for what a chat program asks by itself. BadRequest for a header that cannot be understood."""
    if head_urgency is None:
        raise BadRequest(f"The header {PRIORITY.decode()} must be user, agent or background.", code="invalid_value")
    if is_background(body):
        return BACKGROUND, False
    return (BACKGROUND if body.get("service_tier") == "flex" else head_urgency), True
