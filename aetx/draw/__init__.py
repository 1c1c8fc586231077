"""Pictures of datasets, by kind."""

from aetx.draw.by_kind import draw
from aetx.draw.picture import Picture

__all__ = ["Picture", "draw"]
