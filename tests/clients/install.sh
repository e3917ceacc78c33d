#!/bin/sh
# Installs the clients that tests/clients runs: Python ones into an environment of their own ($RINGFENCE_CLIENTS_VENV,
# else .venv-clients), Aider into another ($RINGFENCE_AIDER_VENV, else .venv-aider), npm ones into
# tests/clients/node/node_modules. None is ever a dependency of Ringfence.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${RINGFENCE_CLIENTS_VENV:-$here/../../.venv-clients}
aider=${RINGFENCE_AIDER_VENV:-$here/../../.venv-aider}

python_clients() {  # LOCK ENVIRONMENT: nothing is compiled ahead, for most of what comes along is never run
  echo "Python clients: $1 -> $2"
  [ -x "$2/bin/pip" ] || "${PYTHON:-python3}" -m venv "$2"
  echo '*' > "$2/.gitignore"
  "$2/bin/python" -m pip install --quiet --no-compile --no-deps --require-hashes --disable-pip-version-check --requirement "$1"
  "$2/bin/python" -m pip list --disable-pip-version-check 2>/dev/null |
    grep -iE '^(aider-chat|openai|ollama|litellm|llm|langchain-openai|llama-index-(core|llms|embeddings)[a-z-]*) '
}

python_clients "$here/aider.lock" "$aider" &
installs_aider=$!
python_clients "$here/requirements.lock" "$venv"

if command -v npm >/dev/null; then
  echo "npm clients: $here/node/package-lock.json -> $here/node/node_modules"
  (cd "$here/node" && npm ci --no-audit --no-fund --loglevel=error && npm ls --depth=0)
else
  echo "npm clients: no npm on the PATH, left out"
fi
wait "$installs_aider"
