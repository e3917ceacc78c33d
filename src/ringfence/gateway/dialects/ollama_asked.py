"""What Ollama's chat and generate ask for beside their text, in the words of OpenAI's dialect and of the engines.

Options that shape the answer are carried: those that OpenAI has by its names, the others by the names that engines
take beside them. Those that say how a model is to be loaded, such as `num_ctx`, are taken and change nothing, for that
is the gateway's to decide. Options that Ollama does not know it passes over, and so they are here.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from typing import Any, cast

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, wrong

FLOATS = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "min_p", "typical_p", "repeat_penalty",
    "mirostat_tau", "mirostat_eta",
)  # fmt: skip
WHOLE = ("top_k", "repeat_last_n", "mirostat")
LEVELS = ("low", "medium", "high", "max")
"""Of thinking. True asks for the middle one, as in Ollama's own translation of such words."""
TYPES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"),
)  # fmt: skip
SNIFFED_CHARS = 24
MOST_WHOLE = 2**63


def add_options(asked: Body, body: Body) -> None:
    """`options` of `body`, in `asked`. BadRequest for one that has another type than Ollama takes."""
    given = body.get("options")
    if given is None:
        return
    if not isinstance(given, dict):
        raise wrong("options", "an object")
    options = cast(Body, given)
    for name in FLOATS:
        if (number := _number(options, name)) is not None:
            asked[name] = number
    if "repeat_penalty" in asked:  # llama.cpp has the one name, vLLM the other
        asked["repetition_penalty"] = asked["repeat_penalty"]
    for name in WHOLE:
        if (number := _whole(options, name)) is not None:
            asked[name] = number
    seed, most = _whole(options, "seed"), _whole(options, "num_predict")
    if seed is not None and seed >= 0:  # less asks for any
        asked["seed"] = seed
    if most is not None and most >= 1:  # less asks for as much as there is room for
        asked["max_tokens"] = most
    if stops := _stops(options.get("stop")):
        asked["stop"] = stops


def _stops(stop: Any) -> list[str]:
    stops = cast("list[Any]", [] if stop is None else [stop] if isinstance(stop, str) else stop)
    if type(stops) is not list or not all(isinstance(one, str) for one in stops):
        raise wrong("options.stop", "a list of texts")
    return stops


def _number(options: Body, name: str) -> int | float | None:
    value = options.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise wrong(f"options.{name}", "a number")


def _whole(options: Body, name: str) -> int | None:
    """Without what comes after the point. What no engine could read cannot be written either."""
    value = _number(options, name)
    if value is not None and abs(value) >= MOST_WHOLE:
        raise wrong(f"options.{name}", "a number of at most 64 bits")
    return None if value is None else int(value)


def add_format(asked: Body, body: Body) -> None:
    """`json`, a schema, or nothing."""
    form = body.get("format")
    if form is None or form == "":
        return
    if form == "json":
        asked["response_format"] = {"type": "json_object"}
    elif isinstance(form, dict):
        described = {"name": "answer", "schema": cast(Body, form), "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": described}
    else:
        raise wrong("format", "'json' or a JSON schema")


def add_thinking(asked: Body, body: Body) -> None:
    think = body.get("think")
    if think is None or think == "":
        return
    if isinstance(think, bool):
        asked["reasoning_effort"] = "medium" if think else "none"
    elif think in LEVELS:
        asked["reasoning_effort"] = think
    else:
        raise wrong("think", f"true, false, or one of {', '.join(LEVELS)}")


def add_odds(asked: Body, body: Body) -> None:
    """The probabilities of tokens."""
    wanted, most = body.get("logprobs"), body.get("top_logprobs")
    if wanted is not None and not isinstance(wanted, bool):
        raise wrong("logprobs", "true or false")
    if most is not None and type(most) is not int:
        raise wrong("top_logprobs", "a whole number")
    if wanted:
        asked["logprobs"] = True
        if most:
            asked["top_logprobs"] = most


def refuse(body: Body, name: str, why: str) -> None:
    """BadRequest for a field that asks for something that cannot be carried."""
    if body.get(name):
        raise BadRequest(f"'{name}' is not accepted: {why}.", param=name, code="unsupported_parameter")


def images(where: str, given: Any) -> list[Body]:
    """Parts of a message, one for each image."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise wrong(where, "a list of images in base64")
    return [_image(f"{where}[{place}]", image) for place, image in enumerate(cast("list[Any]", given))]


def _image(where: str, image: Any) -> Body:
    if not isinstance(image, str):
        raise wrong(where, "an image in base64")
    plain = image.strip()
    try:
        head = b64decode(plain[:SNIFFED_CHARS], validate=True)
    except (Error, ValueError):
        raise wrong(where, "an image in base64, without 'data:' before it") from None
    kind = next((kind for mark, kind in TYPES if head.startswith(mark)), None)
    if kind is None and head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        raise wrong(where, "an image: PNG, JPEG, WebP, GIF or BMP")
    if "\n" in plain or "\r" in plain:
        plain = plain.replace("\r", "").replace("\n", "")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{plain}"}}
