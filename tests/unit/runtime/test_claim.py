"""One gateway for one folder, for as long as it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.runtime.claim import claim
from ringfence.store.failure import StoreFailed

HOLD = "import sys; from pathlib import Path; from ringfence.runtime.claim import claim\n"
HOLD += "held = claim(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_a_second_claim_is_refused_until_the_first_is_given_back(tmp_path: Path) -> None:
    first = claim(tmp_path)
    with pytest.raises(StoreFailed, match=r"another gateway runs with this state.*RINGFENCE_STATE_DIR"):
        claim(tmp_path)
    first.close()
    claim(tmp_path).close()
    assert (tmp_path / "gateway.lock").stat().st_mode & 0o777 == 0o600


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreFailed):
            claim(tmp_path)
        holder.kill()
        holder.wait(25)
    claim(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        claim(tmp_path / "nowhere")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StoreFailed, match=r"can be written by others.*chmod go-w"):
        claim(tmp_path)
    tmp_path.chmod(0o755)
    claim(tmp_path).close()
