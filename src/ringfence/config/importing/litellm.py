"""[pure] The configuration of a LiteLLM proxy, read into one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ringfence.config.document import Document, read_document
from ringfence.config.importing.litellm_deployment import (
    MOST_PARALLEL,
    Deployment,
    LeftOut,
    read_deployment,
    seconds_at,
    whole_at,
)
from ringfence.config.importing.litellm_fallbacks import SECTIONS, Fallbacks, read_fallbacks
from ringfence.config.importing.litellm_models import Models
from ringfence.config.importing.litellm_reasons import reason_for
from ringfence.config.importing.made import Made
from ringfence.config.importing.taking import Remark, Taking
from ringfence.config.problems import ConfigInvalid, KeyPath

MOST_RETRIES = 10
MOST_BODY_MIB = 1024
_MIB = 1024 * 1024
TITLE = (
    "Imported from {file}, a configuration of LiteLLM. What decides where text may go is 'profiles': a model in a "
    "cloud is written here, and only calls of profiles with boundary cloud go there."
)


@dataclass(frozen=True, slots=True)
class Imported:
    """The text of the file, and what is to be said of it."""

    text: str
    remarks: tuple[Remark, ...]
    sections: Mapping[str, Any] = field(repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether everything was taken as it stood."""
        return all(remark.state == "note" for remark in self.remarks)


def read_litellm(content: bytes, file: str, env: Mapping[str, str]) -> Imported:
    """`env` is where addresses are looked up that the file takes from the environment; no key is.

    Raises ConfigInvalid for what is no configuration of LiteLLM, or has no model that can be served here.
    """
    document = read_document(content, file)
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("model_list"), list):
        document.refuse((), "expected a configuration of LiteLLM, with a list under model_list")
    if document.problems:
        raise ConfigInvalid(document.problems)
    taking, made = Taking(data), Made()
    deployments = list(_deployments(taking, {**_plain(data.get("environment_variables")), **env}))
    if not deployments:
        for remark in taking.remarks:
            document.refuse(("model_list",), f"{remark.path}: {remark.why}")
        document.refuse(("model_list",), "has no model that can be served here")
        raise ConfigInvalid(document.problems)
    fallbacks = read_fallbacks(taking)
    _profiles(made, deployments, fallbacks)
    _server(taking, made)
    _timeouts(taking, made)
    models = Models(taking, made, deployments, fallbacks)
    if (parallel := _parallel(taking)) is not None:
        models.share("parallel", parallel)
    models.chains(_aliases(taking))
    for path, value in list(taking.untouched()):
        if value not in (None, {}, []):
            taking.say("left_out", path, *reason_for(path))
    remarks = _in_order(taking.remarks, document)
    return Imported(made.text(TITLE.format(file=file), remarks), remarks, made.sections)


def _in_order(remarks: list[Remark], document: Document) -> tuple[Remark, ...]:
    """As they come in the file."""
    placed = [replace(one, line=at.line) if (at := document.place(one.at)) else one for one in remarks]
    return tuple(sorted(placed, key=lambda one: one.line or 0))


def _deployments(taking: Taking, env: Mapping[str, str]) -> Iterator[Deployment]:
    for place in range(len(taking.look("model_list"))):
        try:
            yield read_deployment(taking, place, env)
        except LeftOut:
            continue


def _profiles(made: Made, deployments: list[Deployment], fallbacks: Fallbacks) -> None:
    """The default keeps text on this machine; who may go further is the owner's to say."""
    shared = {"overlong": "route"} if fallbacks.for_length else {}
    made.put("profiles", "default", {"boundary": "host", **shared}, "Text stays on this machine.")
    mesh = list(dict.fromkeys(one.mesh for one in deployments if one.mesh))
    if mesh:
        made.sections["mesh"] = mesh
        about = "Text may go to the machines listed under mesh."
        made.put("profiles", "mesh", {"boundary": "mesh", **shared}, about)
    if any(one.cloud for one in deployments):
        about = "Text may leave for a rented cloud; what must stay by what it says stays all the same (sensitivity)."
        made.put("profiles", "cloud", {"boundary": "cloud", **shared}, about)


def _server(taking: Taking, made: Made) -> None:
    at: KeyPath = ("general_settings", "max_request_size_mb")
    most = whole_at(taking, at)
    if most is not None and most <= MOST_BODY_MIB:
        made.put("server", "max_body_bytes", f"{most}MiB")
        made.put("server", "body_memory_bytes", f"{max(3 * most, 96)}MiB")
    elif most is not None:
        taking.say("left_out", at, "so much is read into memory.", "Set server.max_body_bytes by hand.")


def _timeouts(taking: Taking, made: Made) -> None:
    """Those of the router count before those of the library."""
    for ours, names in (("answer_s", ("timeout", "request_timeout")), ("first_byte_s", ("stream_timeout",))):
        places: list[KeyPath] = [(section, name) for section in SECTIONS for name in names]
        found = [seconds for at in places if (seconds := seconds_at(taking, at)) is not None]
        if found:
            made.put("timeouts", ours, found[0])
    for section in SECTIONS:
        at: KeyPath = (section, "num_retries")
        given = taking.take(*at)
        if isinstance(given, bool) or not isinstance(given, int | None) or (given or 0) < 0:
            taking.say("left_out", at, "it is no whole number.", "Set timeouts.retries by hand.")
        elif given is not None:
            if "retries" not in made.sections.get("timeouts", {}):
                made.put("timeouts", "retries", min(given, MOST_RETRIES))
            if given > MOST_RETRIES:
                taking.say("changed", at, f"at most {MOST_RETRIES} further tries are made.", "See docs/failover.md.")


def _parallel(taking: Taking) -> int | None:
    """Requests at a time, where a model does not say."""
    places: tuple[KeyPath, ...] = (
        ("router_settings", "default_max_parallel_requests"), ("general_settings", "max_parallel_requests"),
    )  # fmt: skip
    found = [most for at in places if (most := whole_at(taking, at)) is not None]
    return min(found[0], MOST_PARALLEL) if found else None


def _aliases(taking: Taking) -> Iterator[tuple[str, str, KeyPath]]:
    at: KeyPath = ("router_settings", "model_group_alias")
    given = taking.take(*at)
    for alias, meant in given.items() if isinstance(given, dict) else ():
        name = meant.get("model") if isinstance(meant, dict) else meant
        if isinstance(meant, dict) and meant.get("hidden"):
            taking.say("changed", (*at, str(alias), "hidden"), "every name is listed in GET /v1/models.", "")
        yield str(alias), str(name), (*at, str(alias))


def _plain(given: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
