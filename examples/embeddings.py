"""Which of some texts is nearest to a question. Needs `pip install openai`, and your key in RINGFENCE_API_KEY.

The demo model makes embeddings, but they mean little: use an embedding model for real work.
"""

import math
import os

from openai import OpenAI

TEXTS = ["Keys are bound to profiles.", "The console shows the last requests.", "Models are files on a disk."]
QUESTION = "Where do models come from?"

client = OpenAI(
    base_url=os.environ.get("RINGFENCE_URL", "http://127.0.0.1:7464/v1"), api_key=os.environ["RINGFENCE_API_KEY"]
)
vectors = [row.embedding for row in client.embeddings.create(model="auto", input=[QUESTION, *TEXTS]).data]


def likeness(one: list[float], other: list[float]) -> float:
    """The cosine of the angle between two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


for text, vector in zip(TEXTS, vectors[1:], strict=True):
    print(f"{likeness(vectors[0], vector):.3f}  {text}")
