"""What a caller can say so that its text goes further than its profile lets it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ringfence.prove.house import House
from ringfence.prove.temptations import (
    CLOUD_HOST,
    CLOUD_MODEL,
    ELSEWHERE,
    ELSEWHERE_HOST,
    LABEL,
    LOCAL_MODEL,
    MESH_MODEL,
    OPEN_AGENT,
    OPEN_PROFILE,
    OPEN_TOOL,
)  # fmt: skip
from ringfence.prove.way import Tried, Way

ORDER = 1
PRIVATE_KEY_TEXT = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
)
LINE = "The night watch walks from gate to gate.\n"
AWAY = f"http://{ELSEWHERE_HOST}/picture.png"
AWAY_BY_ADDRESS = f"https://{ELSEWHERE}/v1"
STEERING: dict[str, Any] = {
    "api_base": AWAY_BY_ADDRESS, "base_url": AWAY_BY_ADDRESS, "fallbacks": [CLOUD_MODEL],
    "custom_llm_provider": "openai", "extra_headers": {"x-forward-to": AWAY_BY_ADDRESS},
    "kv_transfer_params": {"remote_host": ELSEWHERE, "remote_port": 80},
}  # fmt: skip


def _tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


async def _cloud_model(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL))


async def _streamed(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, stream=True))


async def _completions(house: House, text: str) -> Tried:
    return Tried.by(await house.ask("/v1/completions", {"model": CLOUD_MODEL, "prompt": text, "max_tokens": 8}))


async def _cached(house: House, text: str) -> Tried:
    """The same again and again, as it is asked, as a stream, and by who wants no kept answer."""
    answers = [await house.chat(text, LOCAL_MODEL) for _ in range(2)]
    answers += [await house.chat(text, LOCAL_MODEL, stream=True) for _ in range(2)]
    answers.append(await house.chat(text, LOCAL_MODEL, {"cache-control": "no-store"}))
    rented = [await house.chat(text, CLOUD_MODEL) for _ in range(2)]
    words = ", ".join(said.in_words for said in (answers[1], rented[1]))
    return Tried(words, all(said.is_decided for said in (*answers, *rented)))


async def _embeddings(house: House, text: str) -> Tried:
    return Tried.by(await house.ask("/v1/embeddings", {"model": CLOUD_MODEL, "input": text}))


async def _messages(house: House, text: str) -> Tried:
    """In one piece and as a stream, with the text wherever Anthropic's dialect has room for it."""
    marker = {"type": "ephemeral"}
    body: dict[str, Any] = {
        "model": CLOUD_MODEL, "max_tokens": 16, "system": [{"type": "text", "text": text, "cache_control": marker}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": text}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": text, "signature": ""}]},
            {"role": "user", "content": text},
        ],
    }  # fmt: skip
    answers = [await house.ask("/v1/messages?beta=true", body | {"stream": stream}) for stream in (False, True)]
    return Tried(", ".join(said.in_words for said in answers), all(said.is_decided for said in answers))


async def _count_tokens(house: House, text: str) -> Tried:
    """Of a rented model and of one's own. What is counted is not sent: no cloud is asked how long a text is."""
    body = {"messages": [{"role": "user", "content": text}]}
    answers = [
        await house.ask("/v1/messages/count_tokens", body | {"model": model}) for model in (CLOUD_MODEL, LOCAL_MODEL)
    ]
    return Tried(", ".join(said.in_words for said in answers), all(said.is_decided for said in answers))


async def _responses(house: House, text: str) -> Tried:
    answers = [
        await house.ask("/v1/responses", {"model": CLOUD_MODEL, "input": text, "max_output_tokens": 8}),
        await house.ask("/v1/chat/completions", {"model": CLOUD_MODEL, "input": text, "max_output_tokens": 8}),
    ]
    return Tried(", ".join(said.in_words for said in answers), all(said.is_decided for said in answers))


async def _compacted(house: House, text: str) -> Tried:
    asked = {"model": CLOUD_MODEL, "instructions": text, "input": text}
    return Tried.by(await house.ask("/v1/responses/compact", asked))


async def _stored_response(house: House, text: str) -> Tried:
    """One that stays, by its label, is followed without a word of that; under a profile that keeps none, there is none
    to follow."""
    first = {"model": LOCAL_MODEL, "input": text, "max_output_tokens": 8}
    made = await house.ask("/v1/responses", first, {"x-ringfence-label": LABEL})
    if not made.id:
        return Tried.by(made)
    follows = {"input": "Go on.", "previous_response_id": made.id, "max_output_tokens": 8}
    answers = [await house.ask("/v1/responses", follows | {"model": model}) for model in (CLOUD_MODEL, MESH_MODEL)]
    return Tried(", ".join(said.in_words for said in (made, *answers)), all(said.came_in for said in answers))


async def _every_model(house: House, text: str) -> Tried:
    """Each name of the configuration, aliases included."""
    names = [name for model, told in house.models.items() for name in (model, *told.get("aliases", ()))]
    answers = [await house.chat(text, name) for name in names]
    refused = sum(said.status >= 400 for said in answers)
    return Tried(f"{len(names)} names, {refused} refused", all(said.came_in for said in answers))


async def _auto(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, "auto"))


async def _mesh_model(house: House, text: str) -> Tried | None:
    return Tried.by(await house.chat(text, MESH_MODEL)) if MESH_MODEL in house.models else None


async def _agent(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, {"x-ringfence-agent": OPEN_AGENT}))


async def _profile(house: House, text: str) -> Tried:
    """A coordinator may do that: for the profiles that its own one lists."""
    return Tried.by(await house.chat(text, CLOUD_MODEL, {"x-ringfence-profile": OPEN_PROFILE}))


async def _label(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, {"x-ringfence-label": LABEL}))


async def _secret(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(f"{text}\n{PRIVATE_KEY_TEXT}", CLOUD_MODEL))


async def _long_secret(house: House, text: str) -> Tried:
    """A long text is read in steps; this one ends with what must stay."""
    return Tried.by(await house.chat(f"{LINE * 2000}{text}\n{PRIVATE_KEY_TEXT}", CLOUD_MODEL))


async def _tool_of_another(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, tools=[_tool(OPEN_TOOL)]))


async def _unlisted_tool(house: House, text: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, tools=[_tool("prove_not_listed")]))


async def _remote_media(house: House, text: str) -> Tried:
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": f"{AWAY}?{quote(text)}"}}]
    body = {"model": LOCAL_MODEL, "messages": [{"role": "user", "content": parts}]}
    return Tried.by(await house.ask("/v1/chat/completions", body))


async def _steering(house: House, text: str) -> Tried:
    answers = [await house.chat(text, LOCAL_MODEL, **{name: value}) for name, value in STEERING.items()]
    return Tried(
        f"{len(answers)} fields, {sum(said.status == 400 for said in answers)} refused",
        all(said.is_decided for said in answers),
    )


async def _as_proxy(house: House, text: str) -> Tried:
    """Absolute addresses, CONNECT, and headers by which proxies are told where to go."""
    body = {"model": LOCAL_MODEL, "messages": [{"role": "user", "content": text}]}
    absolute = await house.ask(f"http://{ELSEWHERE_HOST}/v1/chat/completions", body)
    tunnel = await house.ask(f"{ELSEWHERE}:443", None, method="CONNECT")
    told = {"forwarded": f"host={ELSEWHERE_HOST}", "x-forwarded-host": CLOUD_HOST, "x-original-url": AWAY}
    steered = await house.ask("/v1/chat/completions", body, told)
    answers = (absolute, tunnel, steered)
    return Tried(", ".join(said.in_words for said in answers), absolute.is_decided and steered.is_decided)


async def _explained(house: House, text: str) -> Tried:
    """The owner asks what would become of a text; the answer must not need to send it."""
    status, told = await house.ringfence("explain", CLOUD_MODEL, "--prompt", text, "--key", house.key, "--json")
    is_refused = status == 1 and any(said in told for said in ("stops at", "is bound to"))
    return Tried("explained" if status == 0 else "refused", status == 0 or is_refused)


async def _decisions(house: House, text: str) -> Tried:
    """The caller asks it: in either form, for a rented model, and by rules."""
    messages = [{"role": "user", "content": text}]
    answers = [
        await house.ask("/v1/decisions", {"model": model, **form})
        for model in (CLOUD_MODEL, "auto")
        for form in ({"input": text}, {"messages": messages, "stream": True})
    ]
    return Tried(", ".join(said.in_words for said in answers), all(said.is_decided for said in answers))


_CHAT = (
    "dialect chat", "call gateway/read_call.py:read_call", "permit gateway/pipeline.py:Pipeline.permit",
    "permit gateway/cloud.py:request", "permit egress/calls.py:Calls._sent",
)  # fmt: skip
WAYS = (
    Way("cloud-model", "names a rented model", _cloud_model, _CHAT, reaches=True),
    Way("cloud-stream", "names a rented model and asks for a stream", _streamed, reaches=True),
    Way("completions", "asks a rented model for a completion", _completions, ("dialect completions",)),
    Way("embeddings", "asks a rented model for embeddings", _embeddings, ("dialect embeddings",)),
    Way("messages", "asks a rented model in Anthropic's dialect", _messages, ("dialect messages",), reaches=True),
    Way("count-tokens", "asks how many tokens a text has", _count_tokens, stays=True),
    Way("responses", "asks a rented model for a response", _responses, ("dialect responses",), reaches=True),
    Way(
        "compact", "has a rented model make a conversation shorter", _compacted, ("dialect responses_compact",),
        reaches=True,
    ),
    Way("stored-response", "follows a response that stays, from a rented model", _stored_response, stays=True),
    Way("cached-answer", "asks the same again, where answers are kept", _cached),
    Way("every-model", "asks every model of the configuration by each of its names", _every_model),
    Way("auto", "leaves the choice to the profile's chain", _auto),
    Way("mesh-model", "names a model in the mesh", _mesh_model),
    Way("agent-header", "says it is an agent that may reach clouds", _agent, ("header x-ringfence-agent",)),
    Way("profile-header", "names a profile that may reach clouds", _profile, ("header x-ringfence-profile",)),
    Way("label", "labels the text as one that stays", _label, ("header x-ringfence-label",), stays=True),
    Way("secret", "has a private key in the text", _secret, stays=True),
    Way("long-secret", "has a private key at the end of a long text", _long_secret, stays=True),
    Way("tool", "offers a tool of a profile that may reach clouds", _tool_of_another),
    Way("unlisted-tool", "offers a tool that nobody listed", _unlisted_tool, stays=True),
    Way("remote-media", "names a picture elsewhere, with the text in its address", _remote_media, stays=True),
    Way("steering-fields", "uses fields that send other gateways and engines elsewhere", _steering, stays=True),
    Way("as-proxy", "uses the gateway as a proxy to elsewhere", _as_proxy, stays=True),
    Way(
        "explain", "asks what would become of a text", _explained, ("call runtime/overview.py:Overview.explain",),
        stays=True,
    ),
    Way("decisions", "asks as a caller what would be decided about a text", _decisions, stays=True),
)  # fmt: skip
