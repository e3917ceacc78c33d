"""Which calls have left, for whoever held money for them and died."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.ledger import HoldRow
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import EMPTY, NOT_SENT
from ringfence.egress.journal_left import never_left
from ringfence.runtime import money

NOON_S = 1_790_000_000.0


class Written:
    """A journal whose clock is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = NOON_S
        self.journal = Journal.open(folder, clock=lambda: self.now_s, most_file_bytes=2000)

    async def sent(self, call: str, outcome: str | None = None) -> None:
        self.now_s += 1
        number = await self.journal.sent(
            call=call, key="key_1", profile="p", provider="rented", model="m", allowed=Boundary.CLOUD,
            address="192.0.2.1:443", max_tokens=8, bytes_out=3, sha256_out=EMPTY,
        )  # fmt: skip
        if outcome is not None:
            await self.journal.ended(number, status=0, bytes_in=0, sha256_in=EMPTY, outcome=outcome)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    found = Written(tmp_path / "journal")
    yield found
    found.journal.close()


async def test_what_is_not_named_never_left(written: Written) -> None:
    await written.sent("first")
    await written.sent("answered", "ok")
    await written.sent("under way")
    await written.sent("gone", NOT_SENT)
    since_s = NOON_S + 2
    asked = [(call, since_s) for call in ("answered", "under way", "gone", "held alone", 'so "called"')]
    assert never_left(written.folder, asked) == {"gone", "held alone", 'so "called"'}
    await written.sent("gone")
    await written.sent('so "called"')
    assert never_left(written.folder, asked) == {"held alone"}


async def test_a_journal_that_does_not_go_back_that_far_tells_nothing(written: Written) -> None:
    await written.sent("first")
    assert never_left(written.folder, [("before", NOON_S - 9), ("after", NOON_S + 9)]) == {"after"}


async def test_older_files_are_read_as_far_as_they_may_tell(written: Written) -> None:
    await written.sent("first")
    await written.sent("long ago")
    for number in range(40):
        await written.sent(f"call-{number}", "ok")
    assert len(list(written.folder.glob("*.jsonl"))) > 5
    assert never_left(written.folder, [("long ago", NOON_S + 2), ("held", NOON_S + 2)]) == {"held"}
    read: list[str] = []
    real = Path.read_bytes

    def seen(path: Path) -> bytes:
        read.append(path.name)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", seen)
        assert never_left(written.folder, [("late", NOON_S + 10_000)]) == {"late"}
    assert len(read) == 2


async def test_a_line_that_was_cut_counts_as_sent(written: Written) -> None:
    await written.sent("first")
    with max(written.folder.glob("*.jsonl")).open("ab") as file:
        file.write(b'{"seq":9,"kind":"sent","call":"torn')
    assert never_left(written.folder, [("torn", NOON_S + 5), ("held", NOON_S + 5)]) == {"held"}


async def test_without_a_journal_all_of_it_counts(tmp_path: Path, written: Written) -> None:
    hold = HoldRow("hold_1", "call", NOON_S + 9, "key_1", "p", "", "chat", "m", "t", "rented", 5)
    assert money.never_left(tmp_path / "nowhere", [hold]) == set()
    await written.sent("first")
    assert money.never_left(written.folder, [hold]) == {"call"}
    newest = max(written.folder.glob("*.jsonl"))
    newest.write_bytes(b"damaged\n" + newest.read_bytes())
    assert money.never_left(written.folder, [hold]) == set()
