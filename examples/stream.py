"""An answer as it is written, and what it used. Needs `pip install openai`, and your key in RINGFENCE_API_KEY."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("RINGFENCE_URL", "http://127.0.0.1:7464/v1"), api_key=os.environ["RINGFENCE_API_KEY"]
)
events = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "What is a boundary?"}],
    max_tokens=100,
    stream=True,
    stream_options={"include_usage": True},
)
for event in events:
    for choice in event.choices:
        print(choice.delta.content or "", end="", flush=True)
    if event.usage:
        print(f"\n({event.usage.prompt_tokens} tokens in, {event.usage.completion_tokens} out)")
