#!/bin/sh
# The API with nothing but curl. Your key is taken from RINGFENCE_API_KEY.
set -eu
url=${RINGFENCE_URL:-http://127.0.0.1:7464/v1}

echo "Models:"
curl --fail-with-body --silent "$url/models" -H "Authorization: Bearer $RINGFENCE_API_KEY"

echo
echo "An answer, as it is written:"
curl --fail-with-body --silent --no-buffer "$url/chat/completions" \
  -H "Authorization: Bearer $RINGFENCE_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"model": "auto", "stream": true, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}'
