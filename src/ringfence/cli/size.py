"""`ringfence size`: all that a model takes on a device, term by term, and which quantisations and windows fit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ringfence.cli.sizes import DEMO, in_bytes, local_model, refused, size_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ringfence.placement.sizing.footprint import Footprint, Row, Use
    from ringfence.placement.sizing.read import ModelFiles

WINDOW = re.compile(r"^(?P<count>\d+)(?P<unit>[kKmM]?)$")
UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}
SIXTEEN_BITS = {"bf16": "f16"}


def run(
    model: str, window: str, kv: str, parallel: int, lora: tuple[int, int], device: str | None, weights: str | None,
    overhead: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Read the model, compute, and print. Ends with status 2 where the model or a size cannot be read."""
    from ringfence.cli.asking import told
    from ringfence.placement.sizing.footprint import OVERHEAD_BYTES, Use, footprint, table, windows_asked
    from ringfence.placement.sizing.kv_types import TYPES, why_not

    kv_type = TYPES.get(SIXTEEN_BITS.get(kv, kv))
    if kv_type is None:
        refused(f"--kv takes {', '.join(TYPES)}")
    device_bytes, weights_bytes = size_of(device, "--device"), size_of(weights, "--weights")
    beside = size_of(overhead, "--overhead")
    use = Use(tokens_of(window), parallel, kv_type, *lora, OVERHEAD_BYTES if beside is None else beside)
    files = _read(model)
    if reason := why_not(files.architecture, kv_type) if kv_type.name != "f16" else "":
        refused(f"{kv_type.name} cannot be used: {reason}")
    found = footprint(files, use, weights_bytes)
    rows = table(files, use, weights_bytes)
    windows = windows_asked(use, files.architecture.trained_window)
    shown = row_of(files, found, rows, windows, device_bytes)
    told(shown, as_json, lambda _shown: page(files, found, rows, windows, device_bytes))


def tokens_of(window: str) -> int:
    """32768, or 32k of 1,024 each."""
    found = WINDOW.match(window)
    tokens = int(found["count"]) * UNITS[found["unit"].lower()] if found else 0
    if not 0 < tokens <= 1 << 30:
        refused("--window takes tokens, as a number or as 32k")
    return tokens


def _read(model: str) -> ModelFiles:
    from ringfence.placement.hub_pick import HubError
    from ringfence.placement.sizing.architecture import NotSized
    from ringfence.placement.sizing.read import read_model

    try:
        if (path := local_model(model)) is not None:
            return read_model(path)
        if not is_on_hub(model):
            _no_such(model)
        from ringfence.placement.hub_headers import model_on_hub

        return model_on_hub(model, os.environ.get("HF_TOKEN"))
    except (NotSized, HubError) as error:
        refused(str(error))


def is_on_hub(model: str) -> bool:
    """hf:owner/repo, owner/repo, or the address of a page. A name in a folder of this machine is not asked for
    elsewhere: there it is a file that is missing."""
    if model.startswith(("hf:", "http://", "https://")):
        return True
    is_name = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(?::[\w./ -]+)?", model) is not None
    return is_name and Path(model).suffix not in (".gguf", ".json") and not Path(model).parent.exists()


def _no_such(model: str) -> NoReturn:
    refused(
        f"There is no file or folder {model}. Give a .gguf file, a config.json, the folder of one, {DEMO}, or a model "
        "of a hub as owner/repo or owner/repo:Q4_K_M."
    )


def row_of(
    files: ModelFiles, found: Footprint, rows: tuple[Row, ...], windows: tuple[int, ...], device_bytes: int | None
) -> dict[str, Any]:
    """As JSON has it."""
    architecture, weights = files.architecture, files.weights
    experts = (architecture.experts, architecture.experts_used)
    return {
        "model": str(files.path),
        "architecture": architecture.name,
        "layers": architecture.layers,
        "trained_window": architecture.trained_window,
        "experts": architecture.experts,
        "experts_used": architecture.experts_used,
        "parameters": weights.parameters if weights else None,
        "active_parameters": weights.active_parameters(*experts) if weights else None,
        "active_weights_bytes": weights.active_bytes(*experts) if weights else None,
        "is_upper_bound": architecture.is_upper_bound,
        "notes": list(architecture.notes),
        "use": _use(found.use, found.step),
        "terms": {
            "weights_bytes": found.weights_bytes,
            "weights": {str(part): size for part, size in weights.by_part().items()} if weights else {},
            "kv_bytes": found.kv_bytes,
            "state_bytes": found.state_bytes,
            "groups": [_group(one, found.use.parallel) for one in found.groups],
            "compute_bytes": found.compute.total_bytes,
            "compute": {
                "is_guessed": files.widths.is_guessed, "widest": found.compute.widest,
                "graph_bytes": found.compute.graph_bytes,
                "mask_bytes": found.compute.mask_bytes, "output_bytes": found.compute.output_bytes,
            },
            "lora_bytes": found.lora_bytes,
            "overhead_bytes": found.use.overhead_bytes,
        },
        "bytes_per_token": found.bytes_per_token,
        "total_bytes": found.total_bytes,
        "device_bytes": device_bytes,
        "fits": None if device_bytes is None or found.weights_bytes is None else found.total_bytes <= device_bytes,
        "table": [_row(row, windows, device_bytes) for row in rows],
    }  # fmt: skip


def _use(use: Use, step: int) -> dict[str, Any]:
    return {
        "window": use.window, "parallel": use.parallel, "kv_type": use.kv_type.name, "lora_slots": use.lora_slots,
        "lora_rank": use.lora_rank, "step": step,
    }  # fmt: skip


def _group(one: Any, parallel: int) -> dict[str, Any]:
    kept = one.group.cache
    return {
        "kind": kept.kind.name.lower(), "layers": list(one.group.layers), "bytes_per_token": one.token_bytes,
        "tokens": one.tokens, "bytes": one.sequence_bytes * parallel,
    }  # fmt: skip


def _row(row: Row, windows: tuple[int, ...], device_bytes: int | None) -> dict[str, Any]:
    return {
        "quantisation": row.name,
        "engine": row.engine,
        "weights_bytes": row.weights_bytes,
        "windows": [
            {"window": window, "total_bytes": total, "fits": None if device_bytes is None else total <= device_bytes}
            for window, total in zip(windows, row.totals, strict=True)
        ],
    }


def page(
    files: ModelFiles, found: Footprint, rows: tuple[Row, ...], windows: tuple[int, ...], device_bytes: int | None
) -> RenderableType:
    """As people read it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.text import Text

    notes = [f"[yellow]Upper bound: {escape(note)}[/]" for note in files.architecture.notes]
    parts: list[RenderableType] = [Text.from_markup("\n".join([*_about(files), *notes])), _terms(files, found)]
    parts.append(Text.from_markup("\n".join(_verdict(files, found, device_bytes))))
    if rows:
        parts += [_grid(rows, windows, device_bytes), Text.from_markup(f"[dim]{_below(found, device_bytes)}[/]")]
    return Group(*parts)


def _about(files: ModelFiles) -> list[str]:
    from rich.markup import escape

    architecture, weights = files.architecture, files.weights
    name = files.path.parent.name if files.path.name == "config.json" else files.path.name
    trained = architecture.trained_window
    about = [architecture.name, f"{architecture.layers} layers"]
    about += [f"trained for {trained:,} tokens" if trained else "does not tell for how many tokens it was trained"]
    lines = [f"[bold]{escape(name)}[/]  {', '.join(about)}"]
    experts = (architecture.experts, architecture.experts_used)
    whole = weights.parameters if weights else None
    if weights and architecture.experts:
        active = weights.active_parameters(*experts)
        of = f"{_count(active)} of {_count(whole)} parameters, " if active and whole else ""
        lines.append(
            f"{architecture.experts} experts of which {architecture.experts_used} work: a token computes with {of}"
            f"{in_bytes(weights.active_bytes(*experts))} of {in_bytes(weights.total_bytes)}; all must be in memory"
        )
    elif whole:
        lines.append(f"{_count(whole)} parameters")
    return lines


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:,}"


def _terms(files: ModelFiles, found: Footprint) -> RenderableType:
    from ringfence.cli.show import table

    use, shown = found.use, table("Takes", "Bytes", "Of what")
    parts = files.weights.by_part() if files.weights else {}
    shown.add_row(
        "weights", _or_unknown(found.weights_bytes), ", ".join(f"{p} {in_bytes(s)}" for p, s in parts.items())
    )
    for one in found.groups:
        kept, layers = one.group.cache, len(one.group.layers)
        kind = f"{layers} layer{'' if layers == 1 else 's'}: {kept.kind}"
        of = f"{in_bytes(one.sequence_bytes)} a request"
        if kept.kind.name != "STATE":
            of = f"{one.tokens:,} tokens × {one.token_bytes:,} bytes in {use.kv_type.name} a request"
        shown.add_row(kind, in_bytes(one.sequence_bytes * use.parallel), f"{of}, × {use.parallel:,}")
    graph = f"{found.compute.widest} {in_bytes(found.compute.graph_bytes)}, mask {in_bytes(found.compute.mask_bytes)}"
    shown.add_row(
        "compute", in_bytes(found.compute.total_bytes),
        f"steps of {found.step:,} tokens: {graph}, results {in_bytes(found.compute.output_bytes)}",
    )  # fmt: skip
    if use.lora_slots:
        slots = f"{use.lora_slots} slots of rank {use.lora_rank} at most"
        shown.add_row("LoRA", _or_unknown(found.lora_bytes), slots)
    shown.add_row("overhead", in_bytes(use.overhead_bytes), "kept free for the driver and what nobody counts")
    shown.add_row("[bold]in all[/]", f"[bold]{in_bytes(found.total_bytes)}[/]", f"{found.total_bytes:,} bytes")
    return shown


def _or_unknown(size: int | None) -> str:
    return "[yellow]not known[/]" if size is None else in_bytes(size)


def _verdict(files: ModelFiles, found: Footprint, device_bytes: int | None) -> list[str]:
    lines: list[str] = []
    if found.weights_bytes is None:
        lines.append("[yellow]The weights are not counted: no tensors stand beside config.json. Give --weights.[/]")
    if files.weights is not None and not files.weights.is_whole:
        lines.append("[yellow]Some files of this model are missing: its weights are more than is counted.[/]")
    if files.widths.is_guessed:
        lines.append("[yellow]Compute is a guess: the feed-forward width or the vocabulary is not told.[/]")
    if found.lora_bytes is None:
        lines.append("[yellow]The LoRA slots are not counted: the shapes of the tensors are not told.[/]")
    if device_bytes is not None and found.weights_bytes is not None:
        left = device_bytes - found.total_bytes
        word = f"[green]fits[/], {in_bytes(left)} stay free" if left >= 0 else f"[red]lacks {in_bytes(-left)}[/]"
        lines.append(f"On {in_bytes(device_bytes)} it {word}.")
    return lines or [""]


def _grid(rows: tuple[Row, ...], windows: tuple[int, ...], device_bytes: int | None) -> RenderableType:
    from ringfence.cli.show import table

    shown = table("Quantisation", "Weights", *(_window(one) for one in windows))
    for row in rows:
        name = f"{row.name} [dim]{row.engine}[/]" if row.engine else row.name
        shown.add_row(name, in_bytes(row.weights_bytes), *(_cell(total, device_bytes) for total in row.totals))
    return shown


def _window(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def _cell(total: int, device_bytes: int | None) -> str:
    if device_bytes is None:
        return in_bytes(total)
    return f"[green]{in_bytes(total)}[/]" if total <= device_bytes else f"[red]{in_bytes(total)} ✗[/]"


def _below(found: Footprint, device_bytes: int | None) -> str:
    requests = "one request" if found.use.parallel == 1 else f"{found.use.parallel:,} requests"
    fits = " ✗ does not fit." if device_bytes is not None else ""
    return (
        f"In all, with windows of so many tokens for {requests} at a time.{fits} Rows below the first are what "
        "other files of this model would take."
    )
