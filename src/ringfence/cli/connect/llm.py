"""llm: https://llm.datasette.io/en/stable/other-models.html"""

from __future__ import annotations

from shlex import quote

from ringfence.cli.connected import File, Gateway, Program, Settings
from ringfence.config.changes import scalar


def _settings(gateway: Gateway) -> Settings:
    text = (
        "- model_id: ringfence\n"
        f"  model_name: {scalar(gateway.model)}\n"
        f"  api_base: {scalar(gateway.v1)}\n"
        "  api_key_name: ringfence\n"
        "  supports_tools: true\n"
        "  supports_schema: true\n"
    )
    return Settings(
        files=(File("~/.config/io.datasette.llm/extra-openai-models.yaml", "yaml", text),),
        steps=(f"llm keys set ringfence --value {quote(gateway.key)}",),
        run='llm -m ringfence "Hello"',
        notes=('`dirname "$(llm logs path)"` names the folder of that file where it is another one.',),
    )


PROGRAM = Program("llm", "llm", _settings)
