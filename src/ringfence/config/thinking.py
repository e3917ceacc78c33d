"""The settings of thinking: which model answers for the name 'orchestrator', which one it may ask, and how often."""

from __future__ import annotations

from ringfence.config.section import Section, setting
from ringfence.config.values import Flag, ModelName, Whole


class ThinkingSettings(Section):
    """Calls for 'orchestrator': a small model answers, and may have the reasoning chain think about a question."""

    offered: Flag = setting(True, "hot", "Whether there is the name 'orchestrator'.")
    model: ModelName = setting("local/fast", "hot", "The model that answers: a model, an alias or a chain.")
    reasoning: ModelName = setting("local/quality", "hot", "What thinks: a model, an alias or a chain.")
    above_effort: Whole = setting(
        6, "hot", "Requests of no more effort than this are answered without thinking.", ge=0, le=10
    )
    thoughts: Whole = setting(3, "hot", "Thoughts that one request may cause; 0: none.", ge=0, le=50)
    depth: Whole = setting(
        1, "hot", "How deep thoughts may lie one within another; 1: what thinks does not ask again.", ge=1, le=5
    )
    tokens: Whole = setting(
        32_768, "hot", "Tokens, in and out, of all calls of one request after which no thought begins.", ge=64
    )
