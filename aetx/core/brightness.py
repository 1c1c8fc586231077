"""How bright atoms are: the density in a box around each, or the intensity that a fit gave it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.atoms import finite_positions
from aetx.core.halo import Box
from aetx.core.params import Params
from aetx.core.peaks import Blocks
from aetx.core.stage import Forecast, InputSizes
from aetx.errors import InputError, Problem
from aetx.kernels import boxes as kernel
from aetx.kernels.polynomial import coefficients
from aetx.model import units

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

COPIES = 9
"""float32 arrays of a padded block's size that a task holds while it is made into spline coefficients."""
EDGE = 170
"""Edge of the cube of voxels that are in memory at once, at most, as a forecast counts them."""
REJECTED = 64
"""Flag of an atom that was looked at and found to be none."""


class BoxParams(Params):
    """How the density around an atom is looked at."""

    half_size: int = Field(
        3, ge=1, le=20, description="points of the box to each side of an atom; of it the inscribed ball is used"
    )
    oversampling: int = Field(3, ge=1, le=10, description="points of the box to an edge of a voxel")


class Brightness(NamedTuple):
    """Boxes, shape (atoms, points), their places, shape (points, 3), and integrals, shape (atoms,), with their unit.

    Where atoms bring an intensity and no volume, a box is that one number.
    """

    boxes: F32
    points: I64
    intensity: F64
    units: str
    position: F64

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which atoms have an intensity."""
        return np.isfinite(self.intensity)


def brightness(
    stage: str, atoms: xr.Dataset, volume: xr.Dataset | None, params: BoxParams, memory: int | None
) -> Brightness:
    """Return how bright each atom is, from the volume where one is given, else from the atoms' own intensity.

    Parameters
    ----------
    stage
        Who asks.
    atoms, volume
        Of these kinds.
    params
        Size and spacing of the boxes.
    memory
        Bytes for reading the volume.
    """
    position = finite_positions(f"{stage}: atoms", atoms)
    if not len(position):
        raise InputError(Problem(f"{stage}: atoms", "atom", "0", "at least one atom", "trace a volume first"))
    if volume is None:
        if "intensity" not in atoms:
            have, fix = ", ".join(map(str, atoms.data_vars)), "give the volume too, or fit the atoms to images first"
            raise InputError(Problem(f"{stage}: atoms", "intensity", have, "an intensity of each atom", fix))
        values = atoms["intensity"].values.astype(np.float64)
        unit = str(atoms["intensity"].attrs["units"])
        return Brightness(values[:, None].astype(np.float32), np.zeros((1, 3), np.int64), values, unit, position)
    blocks = Blocks.of(volume, memory)
    place = indices(stage, volume, position)
    points = kernel.ball(params.half_size)
    cut = np.empty((len(place), len(points)), np.float32)
    work = partial(_cut, place=place, shape=np.array(blocks.shape), points=points, params=params)
    for mine, part in blocks.tables(work, kernel.reach(params.half_size, params.oversampling), COPIES):
        cut[mine] = part
    cell = float(np.prod(blocks.steps)) / params.oversampling**3
    unit = units.canonical(f"({volume['density'].attrs['units']})*angstrom**3")
    return Brightness(cut, points, cut.sum(axis=1, dtype=np.float64) * cell, unit, position)


def brightness_forecast(inputs: InputSizes, params: BoxParams) -> Forecast:
    """Return the forecast of `brightness`: of the inputs `atoms`, and `volume` where there is one."""
    atoms = inputs["atoms"][0].get("atom", 1)
    memory, seconds = 200 * atoms, 0.01 + 1e-7 * atoms
    if volume := inputs["volume"]:
        voxels = int(np.prod([volume[0][axis] for axis in ("z", "y", "x")]))
        points = (2 * params.half_size + 1) ** 3
        memory += 36 * min(voxels, EDGE**3) + 4 * atoms * points
        seconds += 1e-7 * voxels + 3e-8 * atoms * points
    return Forecast({"atom": atoms, "axis": 3}, memory=memory, seconds=seconds)


def indices(stage: str, volume: xr.Dataset, position: F64) -> F64:
    """Return the index z, y, x of each atom, with fractions; refuse atoms that the volume does not show."""
    place = np.empty_like(position)
    for k, axis in enumerate(("z", "y", "x")):
        grid = volume[axis].values.astype(np.float64)
        if grid.size < 2:
            wanted = "at least two voxels along each axis"
            raise InputError(Problem(f"{stage}: volume", axis, "1 voxel", wanted, "give the volume of the atoms"))
        place[:, k] = (position[:, 2 - k] - grid[0]) * (grid.size - 1) / (grid[-1] - grid[0])
    last = np.array([volume.sizes[axis] for axis in ("z", "y", "x")]) - 1
    outside = int(((place < -0.5) | (place > last + 0.5)).any(axis=1).sum())
    if outside:
        fix = "give the volume that the atoms were traced in"
        raise InputError(Problem(f"{stage}: atoms", "position", f"{outside} outside the volume", "none", fix))
    return place


def _cut(
    block: NDArray[Any], box: Box, outer: Box, *, place: F64, shape: I64, points: I64, params: BoxParams
) -> tuple[I64, F32]:
    low, high = np.array(box).T
    voxel = np.clip(np.rint(place).astype(np.int64), 0, shape - 1)
    mine = np.flatnonzero(((voxel >= low) & (voxel < high)).all(axis=1))
    if not mine.size:
        return mine, np.empty((0, len(points)), np.float32)
    spline = coefficients(np.asarray(block, np.float32))
    corner = np.array(outer)[:, 0]
    return mine, kernel.cut(spline, corner, shape, place[mine], points, params.half_size, params.oversampling)
