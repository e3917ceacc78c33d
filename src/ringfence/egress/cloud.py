"""Connections to one provider: its name is resolved and judged, one address is pinned, and TLS holds it to its name.

What goes there is fixed when the process starts: host, path and headers. A caller brings nothing but a body.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Protocol

from ringfence.config.secret_file import Unusable, checked, read
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint
from ringfence.egress.batch_dialect import BatchDialect, Errand
from ringfence.egress.pool import HeadedLine, Pool
from ringfence.egress.resolve import LookUp, resolve_cloud, system_look_up
from ringfence.egress.settings import ApiKey, Provider, loopback_of
from ringfence.egress.turns import Turns

IDLE_S = 30.0
"""Load balancers close an idle connection after 60 s or more; one that is closed while we write costs a call."""
log = logging.getLogger("ringfence.egress.cloud")
MAX_TRIED = 2
"""Addresses of one name that are tried for one call: the second mends a host whose IPv6, or IPv4, leads nowhere."""


class Adapter(Protocol):
    """What is needed of a provider's adapter: where its dialect answers, and how it is told who asks."""

    @property
    def abilities(self) -> frozenset[Ability]: ...
    def path(self, ability: Ability, url: str) -> str: ...
    def batches(self, url: str) -> BatchDialect | None:
        """How batches are sent there; None where there are none that we speak."""
        ...

    def headers(self, api_key: str) -> bytes:
        """Whole header lines, each with CRLF."""
        ...


class Cloud:
    """One provider and the lines to it. Lines of two providers never mix, even where they share an address."""

    def __init__(
        self,
        provider: Provider,
        adapter: Adapter,
        tls: ssl.SSLContext,
        connect_s: float,
        *,
        is_loopback_allowed: bool = False,
        look_up: LookUp = system_look_up,
    ) -> None:
        self.provider = provider
        self.pool = Pool(connect_s)
        self.turns = Turns(len(provider.keys))
        self.heads: tuple[Mapping[Ability, bytes], ...] = tuple(
            {ability: _head(provider, adapter, ability, key) for ability in adapter.abilities} for key in provider.keys
        )
        """By the number of the key that they name."""
        self.batches = adapter.batches(provider.url) if provider.batch else None
        """None unless the owner says that lines may be sent there as a batch, and the dialect has them."""
        self._adapter = adapter
        self._trusted = tls
        self._tls = tls if provider.is_tls else None
        self._is_loopback_allowed = is_loopback_allowed
        self._look_up = look_up
        self._last = ""  # the address that was dialled last

    @property
    def abilities(self) -> frozenset[Ability]:
        return self._adapter.abilities

    def with_new_key(self, number: int) -> Cloud | None:
        """The same provider with the key of this number that its file holds now; None when that is no other one."""
        provider, former = self.provider, self.provider.keys[number]
        if former.file is None:
            return None
        try:
            key = checked(read(former.file, is_private=True), f"file {former.file}")
        except Unusable as error:
            log.warning("the key of '%s' is refused, and no other one can be read: %s", provider.name, error)
            return None
        if key == former.secret:
            return None
        log.info("the key of '%s' is refused, and its file holds another one: that is used from now on", provider.name)
        keys = (*provider.keys[:number], ApiKey(key, former.file), *provider.keys[number + 1 :])
        renewed = Cloud(
            replace(provider, keys=keys), self._adapter, self._trusted, self.pool.connect_s,
            is_loopback_allowed=self._is_loopback_allowed, look_up=self._look_up,
        )  # fmt: skip
        renewed.turns = self.turns.renewed(number)
        return renewed

    def batch_head(self, errand: Errand) -> bytes:
        """All of a request up to the number of its content-length. Always with the first key: what was made with one is
        not found with another."""
        provider, batches = self.provider, self.batches
        assert batches is not None
        return b"".join((
            f"{errand.method} {batches.before}{errand.path} HTTP/1.1\r\n".encode("ascii"),
            f"host: {provider.authority}\r\n".encode("ascii"), self._adapter.headers(provider.keys[0].secret),
            f"content-type: {errand.content_type}\r\n".encode("ascii"),
            b"accept: */*\r\naccept-encoding: identity\r\nuser-agent: ringfence\r\ncontent-length: ",
        ))  # fmt: skip

    async def addresses(self, *, is_fresh: bool) -> tuple[str, ...]:
        """Where to send: the address of a line that waits for work, else what the name leads to now, each judged.

        `is_fresh`: no line that waits will do. OSError when the name leads nowhere, BoundaryRefused when it leads to
        an address that no cloud has.
        """
        if not is_fresh and self._has_line():
            return (self._last,)
        host, port = self.provider.host, self.provider.port
        if self._is_loopback_allowed and (address := loopback_of(host)) is not None:
            return (address,)
        pinned = await resolve_cloud(host, port, look_up=self._look_up)
        return (pinned.address, *pinned.others)[:MAX_TRIED]

    def take(self, address: str) -> HeadedLine | None:
        """A line to this address that waits for work; None when there is none."""
        line = self.pool.take(self._endpoint(address)) if self._has_line() else None
        return line if isinstance(line, HeadedLine) else None

    async def dial(self, address: str) -> HeadedLine:
        """A new line to one of `addresses`. OSError (ssl.SSLError is one) or TimeoutError when there is none."""
        endpoint, tls = self._endpoint(address), self._tls
        async with asyncio.timeout(self.pool.connect_s):
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: HeadedLine(self.pool, endpoint),
                address,
                endpoint.port,
                ssl=tls,
                server_hostname=self.provider.host if tls is not None else None,
            )
        self._last = address
        return line

    def _endpoint(self, address: str) -> Endpoint:
        return Endpoint(address, self.provider.port, Boundary.CLOUD)

    def _has_line(self) -> bool:
        """Whether a line waits for work that is young enough to be trusted; older ones are closed."""
        oldest = monotonic() - IDLE_S
        endpoint = self._endpoint(self._last)
        while self._last and (line := self.pool.take(endpoint)) is not None:
            if isinstance(line, HeadedLine) and line.idle_since_s > oldest:
                self.pool.keep(line)
                return True
            line.transport.abort()
        return False


def _head(provider: Provider, adapter: Adapter, ability: Ability, key: ApiKey) -> bytes:
    """All of a request up to the number of its content-length. Compressed answers could not be passed on as events."""
    path = adapter.path(ability, provider.url)
    return b"".join((
        f"POST {path} HTTP/1.1\r\nhost: {provider.authority}\r\n".encode("ascii"),
        adapter.headers(key.secret),
        b"content-type: application/json\r\naccept: application/json, text/event-stream\r\n",
        b"accept-encoding: identity\r\nuser-agent: ringfence\r\ncontent-length: ",
    ))  # fmt: skip
