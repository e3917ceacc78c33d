"""What gets around the gateway: the door to the clouds itself, asked without it."""

from __future__ import annotations

import asyncio
import json

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.egress.client import call_head, egress_endpoint, permit_line
from ringfence.egress.permit import Permit
from ringfence.prove.house import House
from ringfence.prove.temptations import CLOUD_MODEL, ELSEWHERE_HOST, PROVIDER
from ringfence.prove.way import Tried, Way
from ringfence.runtime.instances import egress_socket

ORDER = 2


async def _knock(house: House, text: str, provider: str, allowed: Boundary) -> str:
    """Say to the egress process what the gateway would say; the code of its refusal, or its status."""
    endpoint = egress_endpoint(egress_socket(house.state))
    line = permit_line(
        Permit("proof", allowed, Boundary.CLOUD), hold="hold_proof", key="key_proof", profile=house.profile,
        provider=provider, model=CLOUD_MODEL, max_tokens=16, ability=Ability.CHAT,
    )  # fmt: skip
    body = json.dumps({
        "model": CLOUD_MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 16,
    }).encode()  # fmt: skip
    reader, writer = await asyncio.open_unix_connection(endpoint.address)
    try:
        writer.write(b"%b%d\r\n\r\n%b" % (call_head(endpoint, line), len(body), body))
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)).decode("latin-1").lower()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return ""
    finally:
        writer.close()
    refused = next((line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("x-egress-refused")), "")
    return refused or head.split(" ")[1]


async def _tight_permits(house: House, text: str) -> Tried:
    """Permits that do not reach a cloud, at the socket where a cloud is asked."""
    answers = [await _knock(house, text, PROVIDER, allowed) for allowed in (Boundary.HOST, Boundary.MESH)]
    return Tried(", ".join(answers), all(answers))


async def _other_hosts(house: House, text: str) -> Tried:
    """A provider that is not configured, by a name and by an address."""
    answers = [await _knock(house, text, provider, Boundary.CLOUD) for provider in (ELSEWHERE_HOST, "11.77.0.1")]
    return Tried(", ".join(answers), all(answers))


WAYS = (
    Way("tight-permit", "knocks at the egress process with a permit that ends at home", _tight_permits, stays=True),
    Way("other-host", "asks the egress process for a host that is not rented", _other_hosts, stays=True),
)
