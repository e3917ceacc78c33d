"""`ringfence doctor`: looks at what has to be there, and says how to mend what is not."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from dataclasses import fields
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringfence.cli.client import Gateway, NotRunning, Refused, folder_of
from ringfence.cli.clouds import cloud_keys_in, keys_in_words
from ringfence.cli.show_money import NOT_WRITTEN, house_in_words, is_nearly_used_up
from ringfence.core.identity import Key
from ringfence.engines.llamacpp_process import lacking_cpu_flags

Finding = dict[str, Any]
LOW_DISK_BYTES = 2 * 2**30


def examine(config: Path | None) -> list[Finding]:
    """All findings; `state` is ok, note, missing or wrong."""
    found = [_python(), _engine(), _cpu(), _demo(), _configuration(config)]
    folder = folder_of(config)
    found += [_folder(folder), _disk(folder), *_tokenizers(config), *_running(config, folder), *_clouds(config)]
    return [*found, *_dead_keys(config, folder)]


def _finding(state: str, what: str, mend: str = "") -> Finding:
    return {"state": state, "what": what, "mend": mend}


def _python() -> Finding:
    return _finding("ok", f"Python {'.'.join(map(str, sys.version_info[:3]))}")


def _engine() -> Finding:
    if find_spec("xllamacpp") is not None:
        return _finding("ok", "llama.cpp (xllamacpp) is installed")
    return _finding(
        "missing", "llama.cpp is not installed; only engines that already run can be used", "pip install xllamacpp"
    )


def _cpu() -> Finding:
    try:
        lacking = lacking_cpu_flags(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return _finding("note", "The processor's abilities cannot be read here")
    if not lacking:
        return _finding("ok", "The processor has what llama.cpp needs (AVX2, FMA)")
    return _finding(
        "wrong", f"The processor lacks {', '.join(lacking)}", "Run the engine on another machine and give its url."
    )


def _demo() -> Finding:
    if (resources.files("ringfence.models") / "demo.gguf").is_file():
        return _finding("ok", "The demo model is there")
    return _finding("wrong", "The demo model is missing from this installation", "Install ringfence again.")


def _configuration(config: Path | None) -> Finding:
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError, ConfigInvalid

    path = find(config, Path.cwd())
    if path is None:
        return _finding("ok", "No configuration file: all defaults; `ringfence config init` writes one")
    try:
        load(path, check_provider_keys=True)
    except ConfigInvalid as invalid:
        problems = "; ".join(str(problem) for problem in invalid.problems[:3])
        return _finding(
            "wrong", f"{path} is not valid: {problems}", "`ringfence config check` shows everything that is wrong."
        )
    except ConfigError as error:
        return _finding("wrong", f"{path}: {error}", "`ringfence config check` shows everything that is wrong.")
    return _finding("ok", f"The configuration {path} is valid")


def _folder(folder: Path) -> Finding:
    if not folder.exists():
        return _finding("ok", f"The state folder {folder} will be made at the first start")
    if not os.access(folder, os.W_OK):
        return _finding(
            "wrong",
            f"The state folder {folder} cannot be written",
            f"sudo chown -R $USER {folder}, or set RINGFENCE_STATE_DIR.",
        )
    if folder.stat().st_mode & 0o077:
        return _finding("wrong", f"The state folder {folder} is open to others", f"chmod 700 {folder}")
    return _finding("ok", f"State is kept in {folder}")


def _disk(folder: Path) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free >= LOW_DISK_BYTES:
        return _finding("ok", f"{free / 2**30:.0f} GiB of disk are free")
    return _finding(
        "missing", f"Only {free / 2**30:.1f} GiB of disk are free at {there}", "Make room before fetching models."
    )


def _running(config: Path | None, folder: Path) -> list[Finding]:
    try:
        status = Gateway(folder).ask("GET", "/status")
    except (NotRunning, Refused):
        return [_port(config)]
    found = [_instances(status, folder), _wall(status["isolation"][0])]
    caps = status["money"]["caps"] if any(one["kind"] == "egress" for one in status["instances"]) else []
    if caps and not status["money"]["can_write"]:
        mend = "The log says why. Is the disk full, or the database away? See docs/ledger.md and docs/postgresql.md."
        found.append(_finding("wrong", f"Money: {NOT_WRITTEN}", mend))
    elif money := house_in_words(caps):
        is_low = is_nearly_used_up(caps)
        mend = "The page Money of the console shows what it went to." if is_low else ""
        found.append(_finding("note" if is_low else "ok", f"Money: {money}", mend))
    found += [_gap(row) for row in status.get("count_gaps", ()) if row["by"] != "ratio"]
    if status["parking"]["problem"]:
        found.append(_finding("wrong", f"What is parked: {status['parking']['problem']}", "See docs/parking.md."))
    return found


def _gap(row: dict[str, Any]) -> Finding:
    """Where an engine reads another number of tokens than was counted."""
    if row["side"] == "below":
        return _finding(
            "note", f"{row['target']} read fewer prompt tokens than it counted, {row['times']} times",
            "It may have cut what was sent: look whether its window is what `ringfence models` says.",
        )  # fmt: skip
    mend = {
        "tokenizer": "Is the file under `tokenizer` that of this model?",
        "bound": "Images of a family that is not known? Set `image_tokens` of the model.",
    }.get(row["by"], "The engine counts otherwise than it reads; a newer version may mend it.")
    return _finding("note", f"{row['target']} read more prompt tokens than were counted, {row['times']} times", mend)


def _tokenizers(config: Path | None) -> list[Finding]:
    """Whether the tokenizers that models name can be had."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError

    try:
        loaded = load(find(config, Path.cwd()), check_secrets=False)
    except ConfigError:
        return []  # what is wrong with it stands above
    if not any(model.tokenizer for model in loaded.models.values()):
        return []
    from ringfence.runtime.tokenizers import load_all

    counts, problems = load_all(loaded)
    found = [_finding("ok", f"The tokenizer {path} can be used") for path in counts]
    mend = "Until then, where its engine does not count, a prompt may be taken for 3 to 4 times as long as it is."
    return found + [_finding("wrong", problem, mend) for problem in problems]


def _wall(row: dict[str, Any]) -> Finding:
    """What the gateway found when it tried to get out."""
    match row["wall"]:
        case "held":
            return _finding("ok", f"The gateway is isolated: {row['reason']}")
        case "open":
            return _finding("wrong", f"No profile of tier T1 is served: {row['reason']}", row["mend"])
        case wall:
            return _finding("note", f"The gateway's isolation is {wall}: {row['reason']}", row["mend"])


def _instances(status: dict[str, Any], folder: Path) -> Finding:
    failed = [one for one in status["instances"] if one["state"] == "failed"]
    if failed:
        reasons = "; ".join(f"{one['name']}: {one['reason']}" for one in failed)
        mends = [f"See the logs in {folder / 'logs'}."] if any(one["kind"] != "adopted" for one in failed) else []
        mends += [f"Start {one['name']}, or mend its url." for one in failed if one["kind"] == "adopted"]
        return _finding("wrong", f"The gateway runs, but {reasons}", " ".join(mends))
    return _finding("ok", f"The gateway runs on {status['base_url']}")


def _port(config: Path | None) -> Finding:
    """Whether the gateway could listen where the configuration says."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError
    from ringfence.config.schema import ServerSettings

    try:
        server = load(find(config, Path.cwd()), check_secrets=False).server
    except ConfigError:
        server = ServerSettings()  # what is wrong with it stands above
    if server.port == 0:
        return _finding("ok", "No gateway runs; `ringfence up` picks a free port")
    with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            return _finding(
                "missing",
                f"No gateway runs, and it could not listen on {server.host} port {server.port}: {error.strerror}",
                "Start with --port 0 or another port.",
            )
    return _finding("ok", f"No gateway runs; port {server.port} is free for `ringfence up`")


def _clouds(config: Path | None) -> list[Finding]:
    """Keys of clouds: those that providers use, and those that were found and nothing uses."""
    from ringfence.config.cloud_keys import handed_to_egress, not_used
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError

    try:
        loaded = load(find(config, Path.cwd()), check_secrets=False)
    except ConfigError:
        return []  # what is wrong with it stands above, and who uses which key cannot be told
    told = {
        "handed_to_egress": handed_to_egress(loaded),
        "cloud_keys": not_used(cloud_keys_in(os.environ), loaded),
    }
    return [_finding("note", f"Cloud keys {line}") for line in keys_in_words(told)]


def _dead_keys(config: Path | None, folder: Path) -> list[Finding]:
    """Keys whose profile or agent is not configured any more; the gateway that runs has the list."""
    from ringfence.config.bound_keys import dead_keys
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError

    try:
        listed = Gateway(folder).ask("GET", "/keys")["keys"]
        loaded = load(find(config, Path.cwd()), check_secrets=False)
    except (NotRunning, Refused, ConfigError):
        return []
    names = [field.name for field in fields(Key)]
    keys = [Key(**{name: one[name] for name in names}) for one in listed]
    mend = "List it again, or revoke the key with `ringfence keys revoke`."
    return [
        _finding("wrong", f"Every call with the key {line} is refused", mend)
        for line in (dead_keys(loaded, [key for key in keys if key.is_valid(time.time())]))
    ]
