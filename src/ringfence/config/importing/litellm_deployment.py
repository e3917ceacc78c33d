"""[pure] One entry of LiteLLM's `model_list`: where it lies, and the settings of a model that it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from ringfence.config.compile import lies, too_far
from ringfence.config.importing.litellm_places import (
    CLOUDS,
    ELSEWHERE,
    PLACEHOLDERS,
    SERVERS,
    SPEAK_OPENAI,
    Cloud,
    split_model,
)
from ringfence.config.importing.taking import Taking
from ringfence.config.problems import KeyPath
from ringfence.config.values import EngineUrl, split_url
from ringfence.core.boundary import PRIVATE, Boundary, is_public

FROM_ENVIRONMENT = "os.environ/"
SECONDS_MOST = 86_400.0
MOST_PARALLEL = 4096
LEAST_WINDOW = 256
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OTHER_MODES = frozenset(
    ("image_generation", "audio_transcription", "audio_speech", "rerank", "moderation", "realtime", "video_generation")
)
ON_THIS_MACHINE = ("0.0.0.0", "host.docker.internal", "host.containers.internal")  # noqa: S104 - read, not listened on


class LeftOut(Exception):
    """An entry that cannot be served here; what to say of it has been said."""


@dataclass(slots=True)
class Deployment:
    """`settings` are those of a model without its place, which is a `url` of an engine or a `cloud` and its key."""

    name: str
    place: int
    id: str = ""
    order: float = 0.0
    url: str = ""
    mesh: str = ""
    """The network of its address, where that is neither this machine nor a name."""
    cloud: Cloud | None = None
    provider: str = ""
    key: str = ""
    most_output: int | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


def read_deployment(taking: Taking, place: int, env: Mapping[str, str]) -> Deployment:
    """Raises LeftOut."""
    return _Entry(taking, place, env).read()


class _Entry:
    """Reads one; what it says, it says of that."""

    def __init__(self, taking: Taking, place: int, env: Mapping[str, str]) -> None:
        self.taking = taking
        self.at: KeyPath = ("model_list", place)
        self.inner: KeyPath = (*self.at, "litellm_params")
        self.info: KeyPath = (*self.at, "model_info")
        self.env = env
        self.made = Deployment("", place)

    def read(self) -> Deployment:
        made = self.made
        name, model = self.taking.take(*self.at, "model_name"), self.taking.take(*self.inner, "model")
        if not isinstance(name, str) or not isinstance(model, str) or not name or not model:
            self.leave_out(self.at, "it needs a model_name and a litellm_params.model.", "Complete it.")
        if "*" in name or "*" in model:
            self.leave_out(self.at, "models are named here one by one.", "Write one entry for each model.")
        mode = self.taking.take(*self.info, "mode")
        if mode in OTHER_MODES:
            self.leave_out(self.at, f"models for '{mode}' are not imported.", "Ask them directly for now.")
        made.name, made.id = name, str(self.taking.look(*self.info, "id") or "")
        prefix, bare = split_model(model)
        if prefix in ELSEWHERE:
            self.leave_out(self.at, f"{ELSEWHERE[prefix]}.", "Reach it through a gateway that speaks OpenAI's dialect.")
        address = self._address()
        if address.startswith("https:") or (not address and prefix in CLOUDS):
            self._rented(prefix, bare, address)
        else:
            self._owned(prefix, bare, address)
        if mode == "embedding" and made.url:
            made.settings["embeddings"] = True
        self._sizes()
        return made

    def leave_out(self, path: KeyPath, why: str, do: str) -> NoReturn:
        self.taking.say("left_out", self.at, why if path == self.at else f"{path[-1]}: {why}", do)
        raise LeftOut

    # -- where it lies ----------------------------------------------------------------------------------------------

    def _address(self) -> str:
        """What `api_base` says, be it in the environment; empty where nothing is said."""
        given = self.taking.take(*self.inner, "api_base") or self.taking.take(*self.inner, "base_url")
        if given is None:
            return ""
        if isinstance(given, str) and given.startswith(FROM_ENVIRONMENT):
            name = given.removeprefix(FROM_ENVIRONMENT)
            given = self.env.get(name)
            if not given:
                self.leave_out(
                    (*self.inner, "api_base"), f"the environment variable {name} is not set.",
                    "Set it, and import again: an address is written into the file.",
                )  # fmt: skip
        if not isinstance(given, str) or not given.startswith(("http://", "https://")):
            self.leave_out((*self.inner, "api_base"), "it is no address that begins with http.", "Correct it.")
        return given.rstrip("/")

    def _rented(self, prefix: str, bare: str, address: str) -> None:
        made = self.made
        known = CLOUDS.get(prefix)
        host = urlsplit(address).hostname or "" if address else ""
        if host and not _may_be_public(host):
            why = "engines are reached over http, on this machine or in your networks, and this is https there."
            self.leave_out((*self.inner, "api_base"), why, "Give its http address.")
        dialect = known.dialect if known else "openai"
        is_usual = known is not None and address in ("", known.url)
        variable = known.key if known and is_usual else f"{_variable(host)}_API_KEY"
        made.cloud = Cloud(dialect, address or (known.url if known else ""), variable)
        made.provider = prefix if is_usual else _named(host)
        made.settings["provider_model"] = bare
        made.key = self._key() or f"env:{variable}"

    def _owned(self, prefix: str, bare: str, address: str) -> None:
        made = self.made
        server = SERVERS.get(prefix)
        if server is None and prefix not in SPEAK_OPENAI and prefix not in CLOUDS:
            self.leave_out(self.at, f"'{prefix}' is not known here.", "Write the model by hand.")
        address = address or (server.url if server else "")
        if not address:
            why = "its model names no provider that is known here, and no address."
            self.leave_out(self.at, why, "Give it an api_base, or a prefix such as openai/.")
        made.url = self._engine_url(address)
        if server is not None:
            made.settings["engine"] = server.engine
        made.settings["engine_model"] = bare
        if key := self._key():
            made.settings["api_key"] = key

    def _engine_url(self, address: str) -> str:
        at = (*self.inner, "api_base")
        try:
            parts = urlsplit(address)
            host, port = parts.hostname or "", parts.port
            url = split_url(address if port else address.replace(parts.netloc, f"{parts.netloc}:80", 1))
        except PydanticCustomError as error:
            self.leave_out(at, f"{error.message()}.", "Correct it.")
        except ValueError:
            self.leave_out(at, "it is no address.", "Correct it.")
        if host in ON_THIS_MACHINE:
            self.taking.say("changed", at, f"{host} is this machine, and is reached as 127.0.0.1.", "Check that.")
            url = EngineUrl("127.0.0.1", url.port, url.prefix)
        elif not _is_literal(host) and host != "localhost":
            self.taking.say(
                "note", at, f"{host} is a name, and is looked up.",
                "Where it is another machine, list its network under mesh, and use a profile with boundary mesh.",
            )  # fmt: skip
        elif lies(url, ()) is Boundary.CLOUD:
            if not any(ip_address(host) in network for network in PRIVATE):
                self.leave_out(at, f"{too_far(host)}.", "Give an https address for a rented cloud.")
            self.made.mesh = f"{host}/{ip_address(host).max_prefixlen}"
        shown = f"[{url.host}]" if ":" in url.host else url.host
        return f"http://{shown}:{url.port}{url.prefix}"

    # -- what it is asked with --------------------------------------------------------------------------------------

    def _key(self) -> str:
        """As a reference; empty where none is needed. A key that stands in the file is not copied."""
        at = (*self.inner, "api_key")
        given = self.taking.take(*at)
        if given is None:
            return ""
        text = str(given)
        if text.startswith(FROM_ENVIRONMENT) and NAME.fullmatch(name := text.removeprefix(FROM_ENVIRONMENT)):
            return f"env:{name}"
        if self.made.cloud is None and text.casefold() in PLACEHOLDERS:
            self.taking.say("note", at, "it is a placeholder, and an engine that asks for no key gets none.")
            return ""
        variable = self.made.cloud.key if self.made.cloud else f"{_variable(self.made.name)}_API_KEY"
        self.taking.say(
            "changed", at, f"the key itself stood here, and was not copied: it is read from {variable}.",
            f"Put it into that variable, or into a file (chmod 600) and write file:/path for env:{variable}.",
        )  # fmt: skip
        return f"env:{variable}"

    def _sizes(self) -> None:
        """Times, output, window, requests at a time, order."""
        made, inner, info = self.made, self.inner, self.info
        times = {
            ours: seconds
            for theirs, ours in (("timeout", "answer_s"), ("stream_timeout", "first_byte_s"))
            if (seconds := seconds_at(self.taking, (*inner, theirs))) is not None
        }
        if times:
            made.settings["timeouts"] = times
        most = [whole_at(self.taking, path) for path in ((*inner, "max_tokens"), (*info, "max_output_tokens"))]
        made.most_output = max((one for one in most if one), default=None)
        if made.cloud is None and most[0]:
            self.taking.say("left_out", (*inner, "max_tokens"), "how much is asked for is the caller's to say.",
                            "Set it in the client; the window bounds it here.")  # fmt: skip
        window = whole_at(self.taking, (*info, "max_input_tokens"))
        if window and window >= LEAST_WINDOW:
            made.settings["window"] = window
        parallel = whole_at(self.taking, (*inner, "max_parallel_requests"))
        if parallel:
            made.settings["parallel"] = min(parallel, MOST_PARALLEL)
        order = self.taking.take(*inner, "order")
        made.order = float(order) if isinstance(order, int | float) and not isinstance(order, bool) else 0.0


def seconds_at(taking: Taking, path: KeyPath) -> float | None:
    """A time; what is none is said."""
    given = taking.take(*path)
    try:
        seconds = float(given) if given is not None and not isinstance(given, bool) else None
    except (TypeError, ValueError):
        seconds = None
    if given is not None and (seconds is None or not 0 < seconds <= SECONDS_MOST):
        taking.say("left_out", path, "it is no number of seconds between 0 and a day.", "Set it by hand.")
        return None
    return int(seconds) if seconds is not None and seconds.is_integer() else seconds


def whole_at(taking: Taking, path: KeyPath) -> int | None:
    """A whole number of at least 1; what is none is said."""
    given = taking.take(*path)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        taking.say("left_out", path, "it is no whole number of at least 1.", "Set it by hand.")
        return None
    return given


def _may_be_public(host: str) -> bool:
    return is_public(host) if _is_literal(host) else host != "localhost"


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _variable(text: str) -> str:
    """As names of variables are written."""
    found = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").upper() or "MODEL"
    return f"K_{found}" if found[0].isdigit() else found


def _named(host: str) -> str:
    """A provider at an address of its own, such as 'example' for api.example.com."""
    parts = [part for part in host.split(".") if part not in ("api", "www")]
    return parts[-2] if len(parts) > 1 and not _is_literal(host) else host.replace(":", "-")
