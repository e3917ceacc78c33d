"""Header lines of an answer: what was decided, what was done to the request, and what the key may still use."""

from __future__ import annotations

from ringfence.core.catalog import Target
from ringfence.gateway.held import Held
from ringfence.gateway.shrink import Fitted

MAX_DECISION_HEADS = 4096


def reply_head(
    heads: dict[tuple[str, str, str], bytes],
    call_id: str,
    target: Target,
    rule: str,
    fitted: Fitted,
    held: Held,
) -> bytes:
    """Header lines that say what was decided, for how long the call waited for its place, and what its key may still
    use. `heads` are those of the settings."""
    decided = heads.get((target.name, rule, fitted.state))
    if decided is None:
        decided = _decision_head(target, rule, fitted)
        if fitted.is_whole:  # else each has numbers of its own
            if len(heads) >= MAX_DECISION_HEADS:
                heads.clear()
            heads[target.name, rule, fitted.state] = decided
    allowance, asking = held.allowance, held.asking
    limits = allowance.head() if allowance is not None else b""
    waited = asking.told() if asking is not None else b""
    return b"x-request-id: %b%b%b%b" % (call_id.encode(), decided, waited, limits)


def _decision_head(target: Target, rule: str, fitted: Fitted) -> bytes:
    lines = {
        "target": target.name, "boundary": target.reach, "reason": rule, "model": target.engine_model,
        "configuration": target.configuration or "unknown", "window": fitted.told,
    }  # fmt: skip
    text = "".join(f"x-ringfence-{name}: {_shown(value)}\r\n" for name, value in lines.items())
    return f"\r\n{text}".encode("ascii", "replace")


def _shown(text: str) -> str:
    """Fit for a header line: engines name models as they like."""
    return "".join(char if char.isprintable() else "?" for char in text)
