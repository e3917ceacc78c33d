"""Open WebUI: https://docs.openwebui.com/reference/env-configuration"""

from __future__ import annotations

from shlex import quote

from ringfence.cli.connected import IN_CONTAINER, Gateway, Program, Settings


def _settings(gateway: Gateway) -> Settings:
    variables = {
        "OPENAI_API_BASE_URL": gateway.v1,
        "OPENAI_API_KEY": gateway.key,
        "ENABLE_OLLAMA_API": "false",
    }
    inside = variables | {"OPENAI_API_BASE_URL": gateway.from_container}
    told = " ".join(f"-e {quote(f'{name}={value}')}" for name, value in inside.items())
    host = f"--add-host={IN_CONTAINER}:host-gateway"
    volume = "-v open-webui:/app/backend/data"
    return Settings(
        variables,
        run=f"docker run -d -p 3000:8080 {host} {told} {volume} --name open-webui ghcr.io/open-webui/open-webui:main",
        notes=(
            "Read at its first start; later it keeps what stands under Admin Panel > Settings > Connections.",
            "In a container, 127.0.0.1 is the container: have the gateway listen where it is reached (server.host), "
            f"and list {IN_CONTAINER} under server.allowed_hosts.",
            "With its Ollama connection on as well, and pointed here, every model shows twice.",
        ),
    )


PROGRAM = Program("open-webui", "Open WebUI", _settings)
