"""How a model of the configuration is started, and what is known of it before that."""

from __future__ import annotations

import logging
from pathlib import Path

from ringfence.config.models import ModelSettings
from ringfence.core.device import Device
from ringfence.engines.gguf_header import NotAModel, read_header
from ringfence.engines.llamacpp_process import USUAL_WINDOW_CAP, window_of
from ringfence.placement.launch import Launch, Seat, llama_server, llamacpp
from ringfence.placement.launch_vllm import vllm
from ringfence.placement.planning import Site
from ringfence.runtime.desired import Entry

DEMO = "demo"
NOWHERE = Site(())
"""Where it would run is not known yet."""
VLLM = ("vllm",)
log = logging.getLogger("ringfence.placement")


def entry_of(instance: str, name: str, settings: ModelSettings, path: Path) -> Entry:
    """Reads the header; to be called in a thread."""
    from ringfence.placement.sizing import NotSized, read_model  # only who starts models of its own pays for it

    window, quantisation = settings.window or USUAL_WINDOW_CAP, ""
    if path.is_file():
        try:
            header = read_header(path)
            window, quantisation = window_of(settings.window or 0, header), header.quantisation
        except NotAModel:
            pass  # its engine says so when it is started
    entry = Entry(instance, name, settings, path, _size_bytes(path), window, quantisation)
    try:
        entry.files = read_model(path)
    except NotSized as reason:
        entry.unsized = str(reason)
    except Exception as error:  # a header may say anything; its engine is the judge of it
        log.exception("%s cannot be sized", name)
        entry.unsized = f"it cannot be sized ({type(error).__name__})"
    if entry.files is not None and path.is_dir() and settings.window is None:
        entry.window = entry.files.architecture.trained_window or window
    return entry


def _size_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return path.stat().st_size


def started(entry: Entry, settings: ModelSettings, site: Site, devices: list[Device]) -> Launch:
    """The launch of a model on these devices. Raises NotLaunched."""
    seat = _seat(site, devices)
    window, kv_type = settings.window or 0, settings.kv_type or ""
    if settings.source_engine == "vllm":
        return vllm(
            settings.command or VLLM, entry.path, entry.name, further=settings.args, window=window,
            parallel=settings.at_once(), kv_type=kv_type, sleeps=settings.sleep, lora_slots=settings.lora_slots,
            seat=seat,
        )  # fmt: skip
    # The demo is so small that a second thread only waits for the first, and on a busy machine for long.
    threads = settings.threads or (1 if settings.source == DEMO else 0)
    if settings.command is not None:
        return llama_server(
            settings.command, entry.path, entry.name, further=settings.args, window=window,
            parallel=settings.at_once(), threads=threads, embeddings=settings.embeddings is True,
            ranks=settings.rerank, kv_type=kv_type, gpu_layers=settings.gpu_layers, seat=seat,
        )  # fmt: skip
    return llamacpp(
        entry.path, entry.name, window=window, parallel=settings.at_once(), threads=threads,
        embeddings=settings.embeddings is not False, ranks=settings.rerank, kv_type=kv_type,
        gpu_layers=settings.gpu_layers, seat=seat,
    )  # fmt: skip


def _seat(site: Site, devices: list[Device]) -> Seat | None:
    """None while nobody has said where."""
    if not site.shares:
        return None
    totals = {device.id: device.total_bytes for device in devices}
    return Seat(
        tuple(share.device for share in site.shares), tuple(share.most_bytes for share in site.shares),
        tuple(totals.get(share.device, 0) for share in site.shares),
    )  # fmt: skip
