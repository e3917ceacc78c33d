"""POST /v1/images/generations: a text in, pictures out, inside the answer."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, Passed, Shape, wrong
from ringfence.gateway.dialects.passed import PassedOn

INSIDE = "b64_json"


class Images(PassedOn):
    name = "images"
    paths = ("/v1/images/generations", "/images/generations")
    engine_path = "/v1/images/generations"
    ability = Ability.IMAGES
    passed = Passed(lambda _: Shape.JSON, field="data", item=INSIDE)
    texts = frozenset(("prompt", "negative_prompt"))
    words = frozenset((
        "size", "quality", "style", "response_format", "background", "moderation", "output_format", "aspect_ratio",
        "sampler", "scheduler", "user",
    ))  # fmt: skip

    def check(self, body: Body) -> bool:
        if not body.get("prompt"):
            raise wrong("prompt", "what is to be seen, not empty")
        if body.get("response_format") not in (None, INSIDE):
            raise BadRequest(
                "'response_format' must be 'b64_json': a picture comes inside its answer, for an address at the engine "
                "leads its caller nowhere.",
                param="response_format", code="unsupported_parameter",
            )  # fmt: skip
        if body.get("stream"):
            raise wrong("stream", "absent: pictures come whole")
        return super().check(body)

    def prepare(self, body: Body) -> None:
        body["response_format"] = INSIDE


DIALECT = Images()
