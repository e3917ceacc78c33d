"""How much memory a model and its requests take, and which window fits. Usable alone: no engine, clock or network.

model = read_model(Path("model.gguf"))                                # or a config.json, or a folder
bytes_per_token(model.architecture, TYPES["q8_0"])
window_that_fits(model.architecture, TYPES["q8_0"], 8 << 30, parallel=4)
advise(model.architecture, device_bytes=24 << 30, weights_bytes=16 << 30).rows
footprint(model, Use(window=32768, parallel=4, kv_type=TYPES["q8_0"])).total_bytes
"""

from ringfence.placement.sizing.advice import Advice, Row, advise
from ringfence.placement.sizing.architecture import Architecture, Cache, Group, Kind, NotSized
from ringfence.placement.sizing.footprint import Footprint, Use, footprint, table
from ringfence.placement.sizing.gguf_model import from_gguf
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.kv import bytes_per_sequence, bytes_per_token, group_bytes, window_that_fits
from ringfence.placement.sizing.kv_types import TYPES, KvType, why_not
from ringfence.placement.sizing.read import ModelFiles, read_model
from ringfence.placement.sizing.weights import Weights

__all__ = [
    "TYPES", "Advice", "Architecture", "Cache", "Footprint", "Group", "Kind", "KvType", "ModelFiles", "NotSized", "Row",
    "Use", "Weights", "advise", "bytes_per_sequence", "bytes_per_token", "footprint", "from_config", "from_gguf",
    "group_bytes", "read_model", "table", "why_not", "window_that_fits",
]  # fmt: skip
