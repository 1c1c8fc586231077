"""One picture, and the function that draws a dataset by its kind."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with a name for its file, a title and a sentence that says what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure


def draw(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a dataset; none for a kind that has nothing to look at."""
    return []
