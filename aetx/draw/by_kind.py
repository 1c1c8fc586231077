"""The pictures of a dataset, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import xarray as xr

from aetx.draw.activity import activity, activity_map
from aetx.draw.alignment import alignment
from aetx.draw.atoms import atoms
from aetx.draw.classes import classes
from aetx.draw.columns import columns
from aetx.draw.field import field
from aetx.draw.focal_series import focal_series
from aetx.draw.frames import frames
from aetx.draw.interface import interface
from aetx.draw.lattice import lattice
from aetx.draw.noise import noise
from aetx.draw.order import order
from aetx.draw.picture import Picture
from aetx.draw.raw_series import raw_series
from aetx.draw.refined import refined
from aetx.draw.registered import registered
from aetx.draw.residual import residual
from aetx.draw.scan_series import scan_series
from aetx.draw.score import score
from aetx.draw.strain import strain
from aetx.draw.structure import structure
from aetx.draw.support import support
from aetx.draw.surface import surface
from aetx.draw.tilt_series import tilt_series
from aetx.draw.volume import volume
from aetx.model import kind_of


def _series(dataset: xr.Dataset) -> list[Picture]:
    if {"model", "residual", "r1"} <= set(dataset.variables):
        return residual(dataset)
    return [*tilt_series(dataset), *registered(dataset), *noise(dataset), *alignment(dataset)]


def _atoms(dataset: xr.Dataset) -> list[Picture]:
    return [*atoms(dataset), *classes(dataset), *support(dataset), *refined(dataset), *_meaning(dataset)]


def _lattice(dataset: xr.Dataset) -> list[Picture]:
    return [*atoms(dataset), *lattice(dataset), *strain(dataset), *_meaning(dataset)]


def _meaning(dataset: xr.Dataset) -> list[Picture]:
    """Return what is known of atoms beyond where they are, with a lattice and without."""
    return [*structure(dataset), *order(dataset), *interface(dataset), *surface(dataset), *activity(dataset)]


def _field(dataset: xr.Dataset) -> list[Picture]:
    return activity_map(dataset) if "activity" in dataset else field(dataset)


PAINTERS: Mapping[str, Callable[[xr.Dataset], list[Picture]]] = {
    "tilt_series": _series,
    "scan_series": scan_series,
    "focal_series": focal_series,
    "raw_series": raw_series,
    "frames": frames,
    "volume": volume,
    "atoms": _atoms,
    "columns": columns,
    "lattice": _lattice,
    "field": _field,
    "score": score,
}


def draw(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a dataset; none for a kind that has nothing to look at.

    Reads single images, slices and central blocks, so that memory stays small however large the dataset is.
    """
    painter = PAINTERS.get(kind_of(dataset).name)
    return painter(dataset) if painter is not None else []
