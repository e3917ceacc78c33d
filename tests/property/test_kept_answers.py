"""A kept answer is given to who may see it, and to nobody else: whatever is kept, forgotten and asked, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.route import Caching, Chain, Decision, House, Profile
from ringfence.gateway.cache import Cache
from ringfence.gateway.cache_key import digest_of
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat, completions
from ringfence.routing.standing import standing

SECRET = b"of this process"
PROFILES = ("one", "two")
KEYS = tuple(Key(f"key_{number}", "k", profile) for number, profile in enumerate((*PROFILES, "one")))


@dataclass(frozen=True)
class Asked:
    """All that tells one question from another, as a caller and a configuration can say it."""

    key: Key
    named: str
    allowed: Boundary
    dialect: Any
    stream: bool
    model: str
    digest: str
    temperature: float | None
    said: str


ASKED = st.builds(
    Asked, st.sampled_from(KEYS), st.sampled_from(("", *PROFILES)), st.sampled_from(Boundary),
    st.sampled_from((chat.DIALECT, completions.DIALECT)), st.booleans(), st.sampled_from(("small", "large")),
    st.sampled_from(("", "ab")), st.sampled_from((None, 0.0, 1.0)), st.sampled_from(("hello", "hello ", "Hello")),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(("keep", "find", "find", "wait", "clear")), ASKED, st.sampled_from(Boundary)), max_size=60
)


def house(shared: dict[str, bool | None]) -> House:
    """None: that profile keeps nothing."""
    profiles = {
        name: Profile(name, Boundary.CLOUD, caching=None if is_shared is None else Caching(10.0, is_shared, 20_000))
        for name, is_shared in shared.items()
    }
    return House(profiles, {}, {})


def decided(asked: Asked, profile: Profile) -> tuple[Call, Decision]:
    target = Target(f"seat/{asked.model}", asked.model, "vllm", asked.model, Boundary.HOST, digest=asked.digest)
    body: dict[str, Any] = {"model": "auto", "stream": asked.stream, "messages": asked.said}
    if asked.temperature is not None:
        body["temperature"] = asked.temperature
    call = Call("c", asked.key, asked.dialect, "auto", body, 9, asked.stream, 0.0, spoken=asked.dialect.name)
    chain = Chain(asked.model, (target,))
    return call, Decision(asked.model, "", "", chain, asked.allowed, profile=profile.name)


@settings(max_examples=80, deadline=None)
@given(
    steps=STEPS,
    shared=st.fixed_dictionaries(dict.fromkeys(PROFILES, st.sampled_from((None, False, True, True)))),
)
def test_an_answer_never_reaches_who_may_not_see_it(
    steps: list[tuple[str, Asked, Boundary]], shared: dict[str, bool | None]
) -> None:
    now_s = 0.0
    cache, bound = Cache(lambda: now_s), house(shared)
    made: dict[bytes, tuple[Asked, Profile, Boundary, float]] = {}
    for number, (step, asked, lay) in enumerate(steps):
        profile = standing(bound, asked.key.profile, "", asked.named)
        caching = profile.caching
        if step == "wait":
            now_s += 4.0
        elif step == "clear":
            cache.clear()
            made.clear()
        if caching is None or step in ("wait", "clear"):
            continue
        call, decision = decided(asked, profile)
        digest = digest_of(call, decision, caching, SECRET)
        if step == "keep":
            target = Target("seat/x", asked.model, "vllm", asked.model, lay)
            data = b"answer %d" % number
            cache.keep(profile.name, digest, caching, data, target, is_events=asked.stream, head=b"")
            made[data] = (asked, profile, lay, now_s)
            continue
        found = cache.find(profile.name, digest, caching, asked.allowed)
        if found is None:
            continue
        first, first_profile, first_lay, made_s = made[found.data]
        assert first_profile.name == profile.name
        assert asked.allowed.permits(first_lay)
        assert first.key.id == asked.key.id or (caching.is_shared and first.key.profile == asked.key.profile)
        assert now_s - made_s < 10.0
        facts = ("allowed", "dialect", "stream", "model", "digest", "temperature", "said")
        assert all(getattr(first, name) == getattr(asked, name) for name in facts)
    assert all(shelf.size_bytes <= 20_000 for shelf in cache.shelves.values())
    for shelf in cache.shelves.values():
        assert shelf.size_bytes == sum(entry.size_bytes for entry in shelf.entries.values())


@given(asked=ASKED, other=ASKED, is_shared=st.booleans())
@settings(deadline=None)
def test_two_questions_have_one_digest_only_where_they_are_the_same(
    asked: Asked, other: Asked, is_shared: bool
) -> None:
    caching = Caching(is_shared=is_shared)
    bound = house(dict.fromkeys(PROFILES, is_shared))
    digests: list[bytes] = []
    told: list[tuple[Any, ...]] = []
    for one in (asked, other):
        profile = standing(bound, one.key.profile, "", one.named)
        digests.append(digest_of(*decided(one, profile), caching, SECRET))
        who = one.key.profile if is_shared else one.key.id
        question = (one.dialect.name, one.stream, one.model, one.digest, one.temperature, one.said)
        told.append((who, profile.name, one.allowed, *question))
    assert (digests[0] == digests[1]) == (told[0] == told[1])
