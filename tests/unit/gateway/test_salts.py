"""What keeps the cached prompts of keys apart."""

from __future__ import annotations

from ringfence.gateway.salts import MOST_KEPT, Salts


def salts(secret: bytes = b"of this installation") -> Salts:
    made = Salts()
    made.use(secret)
    return made


def test_each_key_has_its_own_and_keeps_it() -> None:
    one, again = salts(), salts()
    assert one.of("key_1") == one.of("key_1") == again.of("key_1"), "also after a restart"
    assert len({one.of(f"key_{number}") for number in range(100)}) == 100


def test_nobody_can_work_it_out_from_the_id() -> None:
    assert salts(b"another").of("key_1") != salts().of("key_1")
    assert Salts().of("key_1") != Salts().of("key_1"), "before the secret is known it is one of chance"
    assert "key_1" not in salts().of("key_1")


def test_a_new_secret_forgets_the_old_one() -> None:
    one = salts()
    before = one.of("key_1")
    one.use(b"another")
    assert one.of("key_1") != before


def test_it_does_not_grow_for_ever() -> None:
    one = salts()
    first = one.of("key_0")
    for number in range(MOST_KEPT + 5):
        one.of(f"key_{number}")
    assert len(one._kept) <= MOST_KEPT
    assert one.of("key_0") == first
