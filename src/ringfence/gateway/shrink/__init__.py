"""[pure] Making a request fit its window: what it is made of (`pieces`), what is given up (`plan`), and how (`fit`)."""

from __future__ import annotations

from ringfence.gateway.shrink.fit import Fitted, fit_request
from ringfence.gateway.shrink.pieces import Shape
from ringfence.gateway.shrink.shapes import SHAPES

__all__ = ["SHAPES", "Fitted", "Shape", "fit_request"]
