"""Every failure that a caller can be told, through the real HTTP server: which class the openai package makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest

from ringfence.core import errors
from ringfence.gateway.http import HttpServer, Limits
from ringfence.gateway.request import Request

CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    405: openai.APIStatusError,
    408: openai.APIStatusError,
    410: openai.APIStatusError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}


def _tree(root: type[errors.Failure]) -> list[type[errors.Failure]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


def _made(kind: type[errors.Failure]) -> errors.Failure:
    if kind is errors.EngineRefused:
        return errors.EngineRefused(400, "no such thing", code="as_told", param="what")
    if kind is errors.ContextLengthExceeded:
        return errors.ContextLengthExceeded(4096, 5000, param="what")
    return kind("no such thing", param="what", retry_after_s=0.3)


@dataclass
class Refusing:
    """A site that refuses everything, with one failure."""

    failure: errors.Failure
    asked: int = 0

    def screen(self, request: Request) -> errors.Failure | None:
        return None

    def serve(self, request: Request) -> None:
        self.asked += 1
        request.fail(self.failure)


EVERY = _tree(errors.Failure)
FINAL = [kind for kind in EVERY if _made(kind).status < 500 and _made(kind).status not in (408, 429)]


@pytest.fixture(params=EVERY, ids=lambda kind: kind.__name__)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Refusing, str]]:
    refusing = Refusing(_made(request.param))
    server = HttpServer(refusing, Limits())
    port = await server.listen("127.0.0.1", 0)
    yield refusing, f"http://127.0.0.1:{port}/v1"
    await server.drain(0)


async def test_each_failure_has_its_class_code_and_parameter(site: tuple[Refusing, str]) -> None:
    refusing, url = site
    failure = refusing.failure
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "a"}])
    error = caught.value
    expected = openai.InternalServerError if failure.status >= 500 else CLASSES[failure.status]
    assert type(error) is expected and error.status_code == failure.status
    assert (error.code, error.param, error.type) == (failure.code, "what", failure.type)
    assert error.body == failure.envelope()["error"]
    if failure.retry_after_s is not None:
        assert error.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("site", FINAL, indirect=True, ids=lambda kind: kind.__name__)
async def test_nothing_that_will_not_help_is_tried_again(site: tuple[Refusing, str]) -> None:
    refusing, url = site
    async with openai.AsyncOpenAI(base_url=url, api_key="any") as client:
        with pytest.raises(openai.APIStatusError):
            await client.models.list()
    assert refusing.asked == 1
