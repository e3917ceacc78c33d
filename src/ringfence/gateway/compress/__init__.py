"""[pure] What matters most of a text, within a budget of tokens, without a model. Usable alone.

from ringfence.gateway.compress import compress

kept = compress(text, 2000, count=lambda text: len(text.encode()), query="Why did the deployment fail?")
kept.text, kept.before, kept.after
"""

from ringfence.gateway.compress.extract import compress
from ringfence.gateway.compress.kept import Count, Kept, Kind, Span
from ringfence.gateway.compress.kinds import kind_of
from ringfence.gateway.compress.relevance import Question

__all__ = ["Count", "Kept", "Kind", "Question", "Span", "compress", "kind_of"]
