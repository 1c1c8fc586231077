"""One volume from overlapping tiles."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, many, stage
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.projection import F64
from aetx.model import VOLUME, spacing

ALIGNED = 0.02
"""Greatest distance of a tile's voxels from the common grid, in voxels."""


class StitchParams(Params):
    """Parameters of `stitch`."""

    feather: Length = Field(
        0.0, ge=0, le=1000, description="depth over which neighbouring tiles are blended; 0 for a sharp seam"
    )


def _forecast(inputs: InputSizes, _: StitchParams) -> Forecast:
    tiles = inputs["tiles"]
    z = max((tile.get("z", 1) for tile in tiles), default=1)
    y = max((tile.get("y", 1) for tile in tiles), default=1)
    x = sum(tile.get("x", 1) for tile in tiles)
    return Forecast({"z": z, "y": y, "x": x}, memory=z * y * x * 8, seconds=z * y * x * 1e-8)


@stage(
    "reconstruct.stitch",
    takes={"tiles": many(VOLUME)},
    gives=VOLUME,
    params=StitchParams,
    version=1,
    forecast=_forecast,
)
def stitch(tiles: tuple[xr.Dataset, ...], params: StitchParams) -> xr.Dataset:
    """One volume in which each voxel comes from the tile where it lies deepest.

    The depth of a voxel in a tile is the square root of the product of its distances to the nearest face in y and in x
    (Yuan et al., Nat. Mater. 21, 95 (2022), doi:10.1038/s41563-021-01114-z, trim the inner sides instead; the seams
    fall on the same places where tiles are evenly spaced). With `feather`, tiles are blended linearly over that
    difference in depth. The coordinates of the tiles say where they lie: they must share one grid. Above and below a
    thinner tile the density is 0, as its reconstruction has it; columns in no tile are NaN. `tile` is the number of the
    deepest tile of each column, -1 for none; `r1` of the tiles is kept.
    """
    if not tiles:
        raise InputError(Problem("tiles", "tiles", "none", "at least one volume", "name the volumes to stitch"))
    step, axes = _common_grid(tiles)
    corners = [tuple(round((float(t[a].values[0]) - axes[a][0]) / step[a]) for a in "yx") for t in tiles]
    sizes = [(tile.sizes["y"], tile.sizes["x"]) for tile in tiles]
    depth = [np.sqrt(np.outer(*(_depth(size) for size in shape))) for shape in sizes]
    plane = (axes["y"].size, axes["x"].size)
    best, owner = np.zeros(plane), np.full(plane, -1, np.int32)
    places = [tuple(slice(a, a + n) for a, n in zip(c, s, strict=True)) for c, s in zip(corners, sizes, strict=True)]
    for number, (place, deep) in enumerate(zip(places, depth, strict=True)):
        wins = deep > best[place]
        best[place] = np.where(wins, deep, best[place])
        owner[place] = np.where(wins, np.int32(number), owner[place])
    density, total = np.zeros((axes["z"].size, *plane), np.float32), np.zeros(plane)
    reach = params.feather / step["x"]
    for number, (tile, place, deep) in enumerate(zip(tiles, places, depth, strict=True)):
        if reach > 0:
            weight = np.clip(1 - (best[place] - deep) / reach, 0, 1)
        else:
            weight = (owner[place] == number).astype(float)
        total[place] += weight
        values = tile["density"].transpose("z", "y", "x").values
        bottom = round((float(tile["z"].values[0]) - axes["z"][0]) / step["z"])
        part = density[bottom : bottom + len(values), *place]
        part += np.where(weight > 0, values, 0) * weight.astype(np.float32)
    if (owner < 0).any():
        text = f"{100 * (owner < 0).mean():.1f} % of the stitched area lies in no tile and is NaN"
        warnings.warn(text, AetxWarning, stacklevel=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        density /= np.where(owner < 0, np.nan, total).astype(np.float32)
    found = xr.Dataset(
        {
            "density": (("z", "y", "x"), density, {"units": tiles[0]["density"].attrs["units"]}),
            "tile": (("y", "x"), owner, {"units": "1", "long_name": "number of the tile"}),
        },
        {axis: (axis, axes[axis], {"units": "angstrom"}) for axis in "zyx"},
    )
    if all("r1" in tile and tile["r1"].sizes == tiles[0]["r1"].sizes for tile in tiles):
        r1 = np.stack([tile["r1"].values for tile in tiles])
        poses = {n: tiles[0][n].variable for n in ("tilt", "phi", "theta", "psi") if n in tiles[0].coords}
        parts = ("part", np.arange(len(tiles)), {"units": "1"})
        found = found.assign(r1=(("part", "tilt"), r1, {"units": "1"})).assign_coords(poses | {"part": parts})
    return found


def _depth(size: int) -> F64:
    """Return the distance of each voxel's centre to the nearer face, in voxels."""
    index = np.arange(size)
    return np.minimum(index, size - 1 - index) + 0.5


def _common_grid(tiles: tuple[xr.Dataset, ...]) -> tuple[dict[str, float], dict[str, F64]]:
    """Return step and coordinates of the smallest grid that holds all tiles, or say which do not fit together."""
    step = {axis: next((spacing(tile, axis) for tile in tiles if tile.sizes[axis] > 1), 1.0) for axis in "zyx"}
    first = {axis: float(tiles[0][axis].values[0]) for axis in "zyx"}
    problems: list[Problem] = []
    low, high = dict.fromkeys("zyx", 0), {axis: tiles[0].sizes[axis] for axis in "zyx"}
    for number, tile in enumerate(tiles):
        name = f"tiles[{number}]"
        if tile["density"].attrs["units"] != tiles[0]["density"].attrs["units"]:
            wanted = repr(tiles[0]["density"].attrs["units"])
            found = repr(tile["density"].attrs["units"])
            problems.append(Problem(name, "density", f"units {found}", f"{wanted} as in tiles[0]", "convert the tile"))
        for axis in "zyx":
            values = tile[axis].values.astype(float)
            shift = (values[0] - first[axis]) / step[axis]
            if values.size > 1 and abs(spacing(tile, axis) - step[axis]) * values.size > ALIGNED * step[axis]:
                found, wanted = f"step {spacing(tile, axis):g}", f"{step[axis]:g} angstrom as in tiles[0]"
                problems.append(Problem(name, axis, found, wanted, "resample the tile"))
            elif abs(shift - round(shift)) > ALIGNED:
                found, wanted = f"a shift of {shift:.3f} voxels against tiles[0]", "whole voxels"
                problems.append(Problem(name, axis, found, wanted, "reconstruct the tiles on one grid"))
            low[axis] = min(low[axis], round(shift))
            high[axis] = max(high[axis], round(shift) + values.size)
    if problems:
        raise InputError(problems, "the tiles do not share one grid")
    axes = {axis: first[axis] + step[axis] * np.arange(low[axis], high[axis], dtype=np.float64) for axis in "zyx"}
    return step, axes
