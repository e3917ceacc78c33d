"""What is taken out of a translated request that has no messages."""

from __future__ import annotations

import pytest

from ringfence.gateway.carried import for_cloud, for_engine

BODIES = [{"model": "m", "input": ["a watch"], "encoding_format": "float"}, {"model": "m", "prompt": "a watch"}]


@pytest.mark.parametrize("body", BODIES)
def test_a_prompt_or_texts_to_embed_go_on_as_they_are(body: dict[str, object]) -> None:
    for kind in ("llamacpp", "vllm", "ollama"):
        assert for_engine(body, kind) == body
    for kind in ("openai", "anthropic"):
        assert for_cloud(body, kind, "https://api.example.com") == body
