"""One volume from overlapping tiles."""

from __future__ import annotations

import uuid
import warnings
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, many, stage
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.projection import F64
from aetx.model import VOLUME, spacing

F32 = NDArray[np.float32]
PATCH = 128
"""Edge of a block of the result, in voxels along y and x."""
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
    return Forecast({"z": z, "y": y, "x": x}, memory=z * PATCH**2 * 4 * 6 + y * x * 24, seconds=z * y * x * 1e-8)


@stage(
    "reconstruct.stitch",
    takes={"tiles": many(VOLUME)},
    gives=VOLUME,
    params=StitchParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def stitch(tiles: tuple[xr.Dataset, ...], params: StitchParams) -> xr.Dataset:
    """One volume in which each voxel comes from the tile where it lies deepest.

    The depth of a voxel in a tile is the square root of the product of its distances to the nearest face in y and in x
    (Yuan et al., Nat. Mater. 21, 95 (2022), doi:10.1038/s41563-021-01114-z, trim the inner sides instead; the seams
    fall on the same places where tiles are evenly spaced). With `feather`, tiles are blended linearly over that
    difference in depth. The coordinates of the tiles say where they lie: they must share one grid. Above and below a
    thinner tile the density is 0, as its reconstruction has it; columns in no tile are NaN. `tile` is the number of the
    deepest tile of each column, -1 for none; `r1` of the tiles is kept. Lazy: each block reads its parts of the tiles.
    """
    if not tiles:
        raise InputError(Problem("tiles", "tiles", "none", "at least one volume", "name the volumes to stitch"))
    step, axes = _common_grid(tiles)
    corners = [tuple(round((float(t[a].values[0]) - axes[a][0]) / step[a]) for a in "yx") for t in tiles]
    sizes = [(tile.sizes["y"], tile.sizes["x"]) for tile in tiles]
    depth = [np.sqrt(np.outer(*(_depth(size) for size in shape))) for shape in sizes]
    plane = (axes["y"].size, axes["x"].size)
    best, owner = np.zeros(plane), np.full(plane, -1, np.int32)
    places = [(slice(y, y + down), slice(x, x + across)) for (y, x), (down, across) in zip(corners, sizes, strict=True)]
    for number, (place, deep) in enumerate(zip(places, depth, strict=True)):
        wins = deep > best[place]
        best[place] = np.where(wins, deep, best[place])
        owner[place] = np.where(wins, np.int32(number), owner[place])
    if (owner < 0).any():
        text = f"{100 * (owner < 0).mean():.1f} % of the stitched area lies in no tile and is NaN"
        warnings.warn(text, AetxWarning, stacklevel=2)
    bottoms = [round((float(tile["z"].values[0]) - axes["z"][0]) / step["z"]) for tile in tiles]
    laid = [_Tile(*one) for one in zip((t["density"].variable for t in tiles), bottoms, places, depth, strict=True)]
    work = _Patchwork(laid, best, owner, params.feather / step["x"])
    chunks = da.core.normalize_chunks((axes["z"].size, PATCH, PATCH), (axes["z"].size, *plane))
    empty = np.empty((0, 0, 0), np.float32)
    density = da.map_blocks(work.patch, name=f"stitch-{work.token}", chunks=chunks, dtype=np.float32, meta=empty)
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


@dataclass(frozen=True)
class _Tile:
    """The density of a tile, unread, where it lies in the whole, and the depth of its columns."""

    density: xr.Variable
    bottom: int
    place: tuple[slice, slice]
    deep: F64


class _Patchwork:
    """Makes blocks of the whole. Opaque to dask, which would else read all tiles to hand them over."""

    def __init__(self, tiles: list[_Tile], best: F64, owner: NDArray[np.int32], reach: float) -> None:
        self.tiles, self.best, self.owner, self.reach = tiles, best, owner, reach
        self.token = uuid.uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self.token

    def patch(self, block_info: Any = None) -> F32:
        """Return the density of one block."""
        (_, height), *box = block_info[None]["array-location"]
        here = tuple(slice(int(low), int(high)) for low, high in box)
        best, owner = self.best[here], self.owner[here]
        density, total = np.zeros((height, *best.shape), np.float32), np.zeros(best.shape)
        for number, tile in enumerate(self.tiles):
            met = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(here, tile.place, strict=True)]
            if any(low >= high for low, high in met):
                continue
            into, cut = (
                tuple(slice(low - frame.start, high - frame.start) for (low, high), frame in zip(met, one, strict=True))
                for one in (here, tile.place)
            )
            if self.reach > 0:
                weight = np.clip(1 - (best[into] - tile.deep[cut]) / self.reach, 0, 1)
            else:
                weight = (owner[into] == number).astype(float)
            if not weight.any():
                continue
            total[into] += weight
            values = _read(tile.density[{"y": cut[0], "x": cut[1]}].transpose("z", "y", "x"))
            part = density[tile.bottom : tile.bottom + len(values), *into]
            part += np.where(weight > 0, values, 0) * weight.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            density /= np.where(owner < 0, np.nan, total).astype(np.float32)
        return density


def _read(part: xr.Variable) -> F32:
    # a task waits for its own piece: a second pool of threads would double the memory
    loaded = part.compute(scheduler="synchronous") if part.chunks is not None else part
    return np.asarray(loaded.values, np.float32)


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
