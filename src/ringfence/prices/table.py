"""The table of prices: what a model costs at the provider that an address belongs to.

It is read when somebody first asks, and a price is made when it is asked for: a gateway without providers pays nothing.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ringfence.core.money import Price
from ringfence.prices.shape import price_of

VERSION = 1
STAMP = re.compile(r"[-@](?:20\d{6}|20\d{2}-\d{2}-\d{2})$")
"""The day of a release, at the end of the name of a model."""


class Table(NamedTuple):
    """Where it is from, and of which day it is."""

    source: str
    date: str
    providers: dict[str, dict[str, Any]]
    hosts: dict[str, str]
    """To which provider each belongs."""

    @property
    def named(self) -> str:
        return f"{self.source}, {self.date}"

    def provider(self, url: str) -> str | None:
        """Whose address it is; None where the table knows nobody there."""
        parts = urlsplit(url)
        return self.hosts.get((parts.hostname or "").lower()) if parts.port in (None, 443) else None

    def price(self, url: str, model: str) -> Price | None:
        """Of a model at an address; None where the table does not know it."""
        provider = self.provider(url)
        return None if provider is None else self.price_at(provider, model)

    def price_at(self, provider: str, model: str) -> Price | None:
        """A name counts to the letter; but where the source says that all releases of a model cost the same, one with a
        day at its end is that model."""
        known, name = self.providers[provider], model.lower()
        if provider == "google":
            name = name.removeprefix("models/")
        at = known["names"].get(name)
        if at is None and (undated := STAMP.sub("", name)) in known["dated"]:
            at = known["names"][undated]
        return None if at is None else price_of(known["prices"][at], self.named)


@cache
def table() -> Table:
    """The one that came with this version."""
    told: Any = json.loads((resources.files("ringfence.prices") / "table.json").read_bytes())
    assert told["version"] == VERSION
    providers = told["providers"]
    return Table(
        told["source"],
        told["date"],
        providers,
        {host: name for name, one in providers.items() for host in one["hosts"]},
    )
