"""Pictures of datasets, by kind."""

from aetx.draw.picture import Picture, draw

__all__ = ["Picture", "draw"]
