"""How many tokens a vLLM can keep, as its metrics tell."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.egress.pool import Pool
from ringfence.engines.vllm import ADAPTER, kv_tokens
from ringfence.testing.fake_dialects import FakeModel, kept_page
from ringfence.testing.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        (kept_page(4096), 65_536),
        (kept_page(4096) + kept_page(1024), 81_920),
        (kept_page(None), None),
        (kept_page(0), None),
        ("", None),
        (None, None),
        ({"vllm": 1}, None),
        ('vllm:cache_config_info{num_gpu_blocks="12"} 1.0', None),
        ('x{block_size="16",num_gpu_blocks="12"} 1.0', None),
        ('vllm:cache_config_info{mamba_block_size="9",block_size="16",other="{}",num_gpu_blocks="2"} 1.0', 32),
    ],
)
def test_blocks_times_their_size(page: Any, tokens: int | None) -> None:
    assert kv_tokens(page) == tokens


@pytest.mark.parametrize(("blocks", "tokens"), [(2000, 32_000), (None, None)])
async def test_an_engine_that_is_looked_at_tells(blocks: int | None, tokens: int | None) -> None:
    pool = Pool()
    async with FakeEngine("vllm", (FakeModel(kv_blocks=blocks),)) as engine:
        offers = await ADAPTER.examine(lambda path: pool.fetch(engine.endpoint, path))
    pool.close()
    assert offers is not None and [offer.kv_tokens for offer in offers] == [tokens]
