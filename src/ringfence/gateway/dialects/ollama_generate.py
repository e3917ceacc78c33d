"""POST /api/generate: Ollama's continuation of one prompt.

What is `raw` is continued as it stands, and so is a text with a `suffix`; anything else goes through the template of
the model, as a message of the user.
"""

from __future__ import annotations

from ringfence.gateway.dialects import chat, completions
from ringfence.gateway.dialects.dialect import Body, Dialect
from ringfence.gateway.dialects.ollama_asked import add_format, add_odds, add_options, add_thinking, images, refuse
from ringfence.gateway.dialects.ollama_chat import LOADING, begun
from ringfence.gateway.dialects.ollama_told import InOllama, check_keep_alive, flag, text
from ringfence.gateway.dialects.ollama_voice import GENERATE, OllamaVoice
from ringfence.gateway.head import Head
from ringfence.gateway.route import Foreign, Heard

OF_A_TEMPLATE = "a raw prompt, or one with a suffix, goes through no template"


class OllamaGenerate(InOllama, Foreign):
    name = "ollama_generate"
    paths = ("/api/generate",)
    goes_as: Dialect = chat.DIALECT

    def heard(self, body: Body, head: Head) -> Heard:
        prompt, suffix, system = text(body, "prompt"), text(body, "suffix"), text(body, "system")
        for name in ("truncate", "shift"):
            flag(body, name, True)
        refuse(body, "template", "a model's template is its own; raw prompts go without one")
        refuse(body, "context", "send the conversation to /api/chat; no token ids are given out here")
        pictures = images("images", body.get("images"))
        is_load = not prompt and not suffix and not system and not pictures
        check_keep_alive(body, is_bare=is_load)
        if is_load:
            return Heard({"model": body["model"], **LOADING}, OllamaVoice(GENERATE, body["model"], is_load=True))
        asked = begun(body)
        voice = OllamaVoice(GENERATE, body["model"])
        if flag(body, "raw", False) or suffix:
            for name in ("system", "images", "think"):
                refuse(body, name, OF_A_TEMPLATE)
            asked["prompt"] = prompt
            if suffix:
                asked["suffix"] = suffix
            add_options(asked, body)
            add_format(asked, body)
            if body.get("logprobs"):
                asked["logprobs"] = body.get("top_logprobs") or 1
            return Heard(asked, voice, completions.DIALECT)
        said = [{"role": "system", "content": system}] if system else []
        content = [*([{"type": "text", "text": prompt}] if prompt else []), *pictures] if pictures else prompt
        asked["messages"] = [*said, {"role": "user", "content": content}]
        add_options(asked, body)
        add_format(asked, body)
        add_thinking(asked, body)
        add_odds(asked, body)
        return Heard(asked, voice, said_in="prompt")


DIALECT = OllamaGenerate()
