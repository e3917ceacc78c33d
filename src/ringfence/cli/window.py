"""`ringfence window`: which window of a model fits a device with each KV type, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.sizes import DEMO, in_bytes, local_model, refused, size_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ringfence.placement.sizing.advice import Advice, Row
    from ringfence.placement.sizing.read import ModelFiles


def run(model: str, device: str, parallel: int, weights: str | None, reserve: str | None, *, as_json: bool) -> None:
    """Read the model, compute, and print. Ends with status 2 where the model or a size cannot be read."""
    from ringfence.cli.asking import told
    from ringfence.placement.sizing.advice import advise
    from ringfence.placement.sizing.architecture import NotSized
    from ringfence.placement.sizing.costs import measured
    from ringfence.placement.sizing.read import read_model

    device_bytes, reserve_bytes = size_of(device, "--device"), size_of(reserve, "--reserve")
    weights_bytes = size_of(weights, "--weights")
    try:
        files = read_model(_path(model))
    except NotSized as error:
        refused(str(error))
    if weights_bytes is None and files.weights is not None:
        weights_bytes = files.weights.total_bytes
    advice = advise(files.architecture, device_bytes or 0, weights_bytes, parallel, reserve_bytes, measured(files.path))
    told(row_of(files, advice), as_json, lambda _row: page(files, advice))


def _path(model: str) -> Path:
    path = local_model(model)
    if path is None:
        refused(f"There is no file or folder {model}. Give a .gguf file, a config.json, the folder of one, or {DEMO}.")
    return path


def row_of(files: ModelFiles, advice: Advice) -> dict[str, Any]:
    """As JSON has it."""
    architecture = advice.architecture
    return {
        "model": str(files.path),
        "architecture": architecture.name,
        "layers": architecture.layers,
        "trained_window": architecture.trained_window,
        "groups": [_group(group) for group in architecture.groups],
        "experts": architecture.experts,
        "experts_used": architecture.experts_used,
        "is_upper_bound": architecture.is_upper_bound,
        "notes": list(architecture.notes),
        "parallel": advice.parallel,
        "device_bytes": advice.device_bytes,
        "weights_bytes": advice.weights_bytes,
        "reserve_bytes": advice.reserve_bytes,
        "left_bytes": advice.left_bytes,
        "kv_types": [_type(row) for row in advice.rows],
    }


def _group(group: Any) -> dict[str, Any]:
    kept = group.cache
    return {
        "kind": kept.kind.name.lower(), "layers": list(group.layers), "heads": kept.heads, "key_width": kept.key_width,
        "value_width": kept.value_width, "window": kept.window, "state_bytes": kept.state_bytes,
    }  # fmt: skip


def _type(row: Row) -> dict[str, Any]:
    return {
        "kv_type": row.kv_type.name,
        "engines": list(row.kv_type.engines),
        "why_not": row.why_not,
        "bytes_per_token": None if row.why_not else row.bytes_per_token,
        "bytes_beside": None if row.why_not else row.beside_bytes,
        "window": row.window,
        "is_unlimited": row.window is None,
        "gain": None if row.gain is None else round(row.gain, 3),
        "costs": [
            {
                "text": one.text,
                "on": one.on,
                "source": one.source.name,
                "url": one.source.url,
                "measured": one.is_measured,
            }
            for one in row.costs
        ],
    }


def page(files: ModelFiles, advice: Advice) -> RenderableType:
    """As people read it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.text import Text

    from ringfence.cli.show import table

    trained = advice.architecture.trained_window
    rows = table("KV type", "Engine", "Bytes a token", "Beside", "Window that fits", "Gain", "Quality cost")
    for row in advice.rows:
        rows.add_row(
            row.kv_type.name, ", ".join(row.kv_type.engines), "-" if row.why_not else f"{row.bytes_per_token:,}",
            in_bytes(row.beside_bytes) if row.beside_bytes else "-", _window(row, trained),
            "-" if row.gain is None else f"{row.gain:.2f} ×", _costs(row),
        )  # fmt: skip
    above = [*_model(files, advice), *(f"[yellow]Upper bound: {escape(note)}[/]" for note in advice.architecture.notes)]
    return Group(Text.from_markup("\n".join(above)), rows, Text.from_markup("\n".join(_below(advice))))


def _model(files: ModelFiles, advice: Advice) -> list[str]:
    from rich.markup import escape

    architecture = advice.architecture
    trained = architecture.trained_window
    name = files.path.resolve().parent.name if files.path.name == "config.json" else files.path.name
    experts = (
        f", {architecture.experts} experts of which {architecture.experts_used} work" if architecture.experts else ""
    )
    lines = [
        f"[bold]{escape(name)}[/]  "
        f"{architecture.name}, {architecture.layers} layers{experts}, "
        + (f"trained for {trained:,} tokens" if trained else "does not tell for how many tokens it was trained")
    ]
    lines += [f"  {_in_words(group)}" for group in architecture.groups]
    if advice.weights_bytes is None:
        lines.append("[yellow]The weights are not counted: no tensors stand beside config.json. Give --weights.[/]")
    if files.weights is not None and not files.weights.is_whole:
        lines.append("[yellow]Some files of this model are missing: its weights are more than is counted.[/]")
    weights = "" if advice.weights_bytes is None else f" less {in_bytes(advice.weights_bytes)} of weights"
    count = "one request" if advice.parallel == 1 else f"{advice.parallel} requests"
    left = f"leave {in_bytes(advice.left_bytes)}" if advice.left_bytes > 0 else "[red]leave nothing[/]"
    reserve = in_bytes(advice.reserve_bytes)
    lines.append(f"{in_bytes(advice.device_bytes)}{weights} and {reserve} in reserve {left} for {count} at a time")
    return lines


def _in_words(group: Any) -> str:
    kept, count = group.cache, len(group.layers)
    layers = f"{count} layer{'' if count == 1 else 's'}"
    match kept.kind.name:
        case "STATE":
            return f"{layers}: {kept.kind}, {in_bytes(kept.state_bytes)} each"
        case "LATENT" | "INDEX":
            return f"{layers}: {kept.kind}, {kept.key_width} wide"
        case "SLIDING":
            return f"{layers}: {kept.kind} of {kept.window:,} tokens, {_heads(kept)}"
        case _:
            return f"{layers}: {kept.kind}, {_heads(kept)}"


def _heads(kept: Any) -> str:
    width = kept.key_width if kept.key_width == kept.value_width else f"{kept.key_width} and {kept.value_width}"
    return f"{kept.heads} KV head{'' if kept.heads == 1 else 's'} {width} wide"


def _window(row: Row, trained: int | None) -> str:
    if row.why_not:
        return "-"
    if row.window is None:
        return "any"
    return f"{row.window:,}{' *' if _is_beyond(row, trained) else ''}" if row.window else "[red]none[/]"


def _is_beyond(row: Row, trained: int | None) -> bool:
    return bool(trained and row.window and row.window > trained)


def _costs(row: Row) -> str:
    if row.kv_type.name == "f16":
        return "none: what the others are compared with"
    if row.why_not:
        return f"[dim]cannot be used: {row.why_not}[/]"
    if not row.costs:
        return "[dim]not known[/]"
    return "\n".join(
        f"{'[green]measured:[/] ' if one.is_measured else ''}{one.text} [dim]({one.on}; {one.source.name})[/]"
        for one in row.costs
    )


def _below(advice: Advice) -> list[str]:
    trained = advice.architecture.trained_window
    kinds = {group.cache.kind.name for group in advice.architecture.groups}
    lines = [
        (
            any(_is_beyond(row, trained) for row in advice.rows),
            f"* more than the {trained or 0:,} tokens of its training.",
        ),
        (
            bool(kinds & {"STATE", "SLIDING"}),
            "Beside: states and full sliding windows of a request, whatever its length.",
        ),
        ("SLIDING" in kinds, "TurboQuant leaves sliding windows in 16 bits."),
        (True, "f16 stands for bf16 too. A cost holds for the model it was measured on. Sources: docs/window.md"),
    ]
    return [f"[dim]{line}[/]" for is_said, line in lines if is_said]
