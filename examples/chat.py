"""One question, one answer. Needs `pip install openai`, and your key in RINGFENCE_API_KEY."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("RINGFENCE_URL", "http://127.0.0.1:7464/v1"), api_key=os.environ["RINGFENCE_API_KEY"]
)
answer = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "What is Ringfence?"}],
    max_tokens=100,
    temperature=0,
)
print(answer.choices[0].message.content)
