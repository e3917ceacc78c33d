#!/bin/sh
# Installs the clients that tests/clients runs: Python ones into an environment of their own ($RINGFENCE_CLIENTS_VENV,
# else .venv-clients), npm ones into tests/clients/node/node_modules. Neither is ever a dependency of Ringfence.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${RINGFENCE_CLIENTS_VENV:-$here/../../.venv-clients}

echo "Python clients: $here/requirements.txt -> $venv"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
echo '*' > "$venv/.gitignore"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
"$venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -iE '^(openai|ollama|langchain-openai|llama-index-(core|llms|embeddings)[a-z-]*) '

if command -v npm >/dev/null; then
  echo "npm clients: $here/node/package-lock.json -> $here/node/node_modules"
  (cd "$here/node" && npm ci --no-audit --no-fund --loglevel=error && npm ls --depth=0)
else
  echo "npm clients: no npm on the PATH, left out"
fi
