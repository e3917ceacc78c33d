"""[pure] Which models are tried again when, after one could not serve a line."""

from __future__ import annotations

FIRST_S, MOST_S = 1.0, 30.0


class Pauses:
    """Each pause is twice as long as the one before, until something is answered. By key, too: limits are a key's."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], tuple[float, float]] = {}

    def hold(self, key_id: str, model: str, now_s: float, retry_after_s: float | None = None) -> None:
        """It could not serve a line now. Of several that failed together, the first makes the pause."""
        until_s, last_s = self._until.get((key_id, model), (0.0, 0.0))
        if until_s <= now_s:
            pause_s = min(MOST_S, max(retry_after_s or 0.0, 2 * last_s, FIRST_S))
            self._until[key_id, model] = (now_s + pause_s, pause_s)

    def holds(self, key_id: str, model: str, now_s: float) -> bool:
        return self._until.get((key_id, model), (0.0, 0.0))[0] > now_s

    def served(self, key_id: str, model: str) -> None:
        self._until.pop((key_id, model), None)

    def clear(self) -> None:
        """Something came back."""
        self._until.clear()
