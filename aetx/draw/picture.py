"""One picture, and the function that draws a dataset by its kind."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr
from matplotlib.figure import Figure

from aetx.model import kind_of

DPI = 144


@dataclass(frozen=True)
class Picture:
    """A figure with a name for its file, a title and a sentence that says what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        """Return the picture as a PNG file of about 1300 pixels across; the same bytes for the same data."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()


def draw(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a dataset; none for a kind that has nothing to look at.

    Reads single images, slices and central blocks, so that memory stays small however large the dataset is.
    """
    painter = _painters().get(kind_of(dataset).name)
    return painter(dataset) if painter is not None else []


def _painters() -> dict[str, Callable[[xr.Dataset], list[Picture]]]:
    from aetx.draw.atoms import atoms
    from aetx.draw.field import field
    from aetx.draw.score import score
    from aetx.draw.tilt_series import tilt_series
    from aetx.draw.volume import volume

    return {
        "tilt_series": tilt_series,
        "volume": volume,
        "atoms": atoms,
        "lattice": atoms,
        "field": field,
        "score": score,
    }
