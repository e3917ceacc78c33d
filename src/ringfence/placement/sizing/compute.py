"""Bytes of what an engine computes in, beside weights and caches, as llama.cpp lays its graph out.

llama.cpp reserves one buffer for the largest graph that it may be asked for: a step of `min(batch, window x parallel)`
tokens (llama-context.cpp, `sched_reserve`). Its allocator (ggml-alloc.c) gives the place of a row to the next one as
soon as nobody reads it any more, so that the buffer is as large as the widest place of the graph. With rows of 4 bytes
an element, and W = hidden, Q = queries, K = keys, F = feed-forward, the places are, by what llama.cpp b11549 reported
for models of varied widths (tests/unit/placement/sizing/test_whole_models.py checks them):

- attention: max(5 W, min(3 Q + 3 W, 2 Q + 5 W) + max(0, 2 K - W)); with a gate beside the queries
  min(4 Q + 5 W, 5 Q + W);
- latent attention, of each head: 2 rank + plain + 4 rope, and 4 W;
- feed-forward: 3 F + 5 W; 2 F without a gate, 3 W where F < 2 W;
- u experts of width E that work: 5 W and max(3 u E, u W + u E), but u W + 3 u E where 2 u E < u W, as then nothing is
  freed that is wide enough, and u W where u E <= W;
- a state: Mamba 3.5 W + 5.5 inner + 6 grouped; a delta net 4.5 W + 4 values + 3 keys; a short convolution 8 W; and the
  state itself of all requests, once more;
- the output: the vocabulary + 5 W, for all tokens of a step where embeddings are on (as Ringfence starts it), else for
  one of each request.

The mask of attention stands beside all of them: 2 bytes for each token of the step and each cell of the cache of one
request, once for full attention and once for sliding windows. The logits that are handed out are 4 bytes for each word
of the vocabulary and each request.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.placement.sizing.architecture import Architecture, Kind
from ringfence.placement.sizing.kv import CELLS, sliding_cells
from ringfence.placement.sizing.widths import Widths

ELEMENT, MASK_ELEMENT = 4, 2
FEW_LOGITS = frozenset(("lfm2",))
"""Architectures that reserve no more room for logits with embeddings on, as llama.cpp b11549 reported."""


@dataclass(frozen=True, slots=True)
class Compute:
    """`widest` says which place of the graph decides."""

    graph_bytes: int
    mask_bytes: int
    output_bytes: int
    widest: str

    @property
    def total_bytes(self) -> int:
        return self.graph_bytes + self.mask_bytes + self.output_bytes


def compute(
    architecture: Architecture, widths: Widths, window: int, parallel: int, step: int, embeddings: bool = True
) -> Compute:
    """For `parallel` requests of so many tokens each."""
    tokens = min(step, window * parallel)
    places = {name: ELEMENT * tokens * row for name, row in _rows(architecture, widths).items()}
    outputs = tokens if embeddings and architecture.name not in FEW_LOGITS else parallel
    places["output"] = ELEMENT * (outputs * widths.vocabulary + tokens * 5 * widths.hidden)
    if "state" in places:
        places["state"] += parallel * max(
            group.cache.state_bytes for group in architecture.groups if group.cache.kind is Kind.STATE
        )
    widest = max(places, key=lambda name: places[name])
    handed_out = ELEMENT * parallel * (widths.vocabulary + (widths.hidden if embeddings else 0))
    return Compute(places[widest], _mask_bytes(architecture, window, tokens, step), handed_out, widest)


def _rows(architecture: Architecture, widths: Widths) -> dict[str, int]:
    """Elements for each token, at each place of the graph."""
    hidden, kinds = widths.hidden, {group.cache.kind for group in architecture.groups}
    found = {"hidden": 5 * hidden}
    if kinds & {Kind.FULL, Kind.SLIDING} or not kinds:
        found["attention"] = _attention(widths)
    if Kind.LATENT in kinds:
        each = 2 * widths.latent + widths.latent_plain + 4 * widths.latent_rope
        found["attention"] = widths.heads * each + 4 * hidden
    if widths.forward:
        beside = 5 if widths.forward >= 2 * hidden else 3  # a narrow row finds room between others
        found["feed-forward"] = (3 if widths.has_gate else 2) * widths.forward + beside * hidden
    if architecture.experts and widths.experts_used:
        found["experts"] = _experts(hidden, widths.experts_used * hidden, widths.experts_used * widths.expert)
    if Kind.STATE in kinds:
        found["state"] = _state(widths)
    return found


def _attention(widths: Widths) -> int:
    hidden, queries = widths.hidden, widths.queries
    if widths.is_gated:
        return min(4 * queries + 5 * hidden, 5 * queries + hidden)
    beside = max(0, 2 * widths.keys - hidden)
    return max(5 * hidden, min(3 * queries + 3 * hidden, 2 * queries + 5 * hidden) + beside)


def _experts(hidden: int, down: int, up: int) -> int:
    """`up` is of all experts that work for a token, before their answers of `down` in all are added."""
    if up <= hidden:
        return down + 5 * hidden  # they find room between other rows
    if 2 * up < down:
        return down + 3 * up + 5 * hidden  # the answers do not fit where two of the others were
    return max(3 * up, down + up) + 5 * hidden


def _state(widths: Widths) -> int:
    hidden = widths.hidden
    if widths.convolution:
        return 8 * hidden
    if widths.is_delta:
        return 9 * hidden // 2 + 4 * widths.inner + 3 * widths.grouped
    return (7 * hidden + 11 * widths.inner) // 2 + 6 * widths.grouped


def _mask_bytes(architecture: Architecture, window: int, tokens: int, step: int) -> int:
    """One of all layers with full attention, one of all with a sliding window."""
    cells = -(-window // CELLS) * CELLS
    kinds = {group.cache.kind for group in architecture.groups}
    seen = cells if kinds & {Kind.FULL, Kind.LATENT} else 0
    windows = [group.cache.window for group in architecture.groups if group.cache.kind is Kind.SLIDING]
    return MASK_ELEMENT * tokens * (seen + (sliding_cells(max(windows), cells, step) if windows else 0))
