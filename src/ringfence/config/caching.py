"""What a profile may ask to be kept of its answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from ringfence.config.section import Section, setting
from ringfence.config.values import Seconds, Size
from ringfence.core.route import Caching

_MIB = 1024 * 1024


class CacheSettings(Section):
    """Answers that are kept in memory, and given again to who asks exactly the same."""

    ttl_s: Seconds = setting(3600, "hot", "Seconds for which an answer is given again.")
    scope: Literal["key", "profile"] = setting(
        "key", "hot", "Who is given it: the key whose call it answered, or every key of the profile."
    )
    memory_bytes: Size = setting(64 * _MIB, "hot", "Memory for the answers of the profile, such as 64MiB.")

    @property
    def caching(self) -> Caching:
        """As the path uses it."""
        return Caching(self.ttl_s, self.scope == "profile", self.memory_bytes)


def _switched(given: Any) -> Any:
    """`true` asks for the defaults, `false` for nothing."""
    if isinstance(given, bool):
        return {} if given else None
    return given


Cache = Annotated[CacheSettings | None, BeforeValidator(_switched, json_schema_input_type=CacheSettings | bool | None)]
