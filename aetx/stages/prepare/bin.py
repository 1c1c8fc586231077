"""Images of fewer, larger pixels."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.errors import InputError, Problem
from aetx.model import TILT_SERIES

PLANES = ("image", "variance", "mask")


class BinParams(Params):
    """Parameters of `bin`."""

    factor: int = Field(2, ge=1, le=1000, description="pixels along each side that become one")


def _blocks(size: int, factor: int) -> tuple[int, int]:
    """Return the first pixel and the number of blocks, so that a block lies about the centre n // 2 if it can."""
    start = (size // 2 - factor % 2 * (factor // 2)) % factor
    return start, (size - start) // factor


def _forecast(inputs: InputSizes, params: BinParams) -> Forecast:
    sizes = inputs["series"][0]
    made = {axis: _blocks(size, params.factor)[1] if axis in ("y", "x") else size for axis, size in sizes.items()}
    area = sizes.get("y", 1) * sizes.get("x", 1)
    return Forecast(made, memory=area * 40, seconds=1e-3 + sizes.get("tilt", 1) * area * 1e-8)


@stage(
    "prepare.bin",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=BinParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def bin(series: xr.Dataset, params: BinParams) -> xr.Dataset:  # noqa: A001  # the path is the name
    """Images of means over blocks of factor by factor pixels, of the trusted ones where there is a mask.

    J = (sum of I) / n over the n trusted pixels of a block, and its variance (sum of the variances) / n**2: intensities
    keep their unit, and a density that follows from them its scale. A block is trusted if any of its pixels is.

    Coordinates are the means of those of the pixels. A block of an odd factor lies about the rotation centre; of an
    even factor none can, and the coordinates say so: zero is between two of them. Pixels at the edges that fill no
    block are left out.
    """
    factor = params.factor
    if factor == 1:
        return series
    sizes = {axis: _blocks(series.sizes[axis], factor) for axis in ("y", "x")}
    small = [axis for axis, (_, count) in sizes.items() if count < 1]
    if small:
        found = f"{series.sizes[small[0]]} pixels along {small[0]}, factor {factor}"
        raise InputError(Problem("prepare.bin", "factor", found, "at least one block", "take a smaller factor"))
    window = {axis: slice(start, start + count * factor) for axis, (start, count) in sizes.items()}
    cut = series.isel(window)
    names = [name for name in PLANES if name in series]
    outputs = xr.apply_ufunc(
        _means,
        *[cut[name] for name in names],
        kwargs={"names": tuple(names), "factor": factor},
        input_core_dims=[["y", "x"]] * len(names),
        output_core_dims=[["v", "u"]] * len(names),
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"v": sizes["y"][1], "u": sizes["x"][1]}},
        output_dtypes=[np.bool_ if name == "mask" else np.float32 for name in names],
    )
    made = dict(zip(names, outputs if len(names) > 1 else (outputs,), strict=True))
    dropped = [name for name, variable in series.variables.items() if {"y", "x"} & set(variable.dims)]
    coords = {
        axis: (axis, cut[axis].values.reshape(-1, factor).mean(axis=1), series[axis].attrs) for axis in ("y", "x")
    }
    planes = {name: (("tilt", "y", "x"), one.data, series[name].attrs) for name, one in made.items()}
    return series.drop_vars(dropped).assign_coords(coords).assign(planes)


def _means(*planes: np.ndarray, names: tuple[str, ...], factor: int) -> tuple[np.ndarray, ...] | np.ndarray:
    given = dict(zip(names, planes, strict=True))
    trusted = given["mask"] != 0 if "mask" in given else np.ones(given["image"].shape, np.bool_)
    count = _sums(trusted.astype(np.float64), factor)
    used = np.where(_spread(count, factor) > 0, trusted, True)
    divisor = np.where(count > 0, count, factor**2)
    made: list[np.ndarray] = [(_sums(np.where(used, given["image"], 0), factor) / divisor).astype(np.float32)]
    if "variance" in given:
        made.append((_sums(np.where(used, given["variance"], 0), factor) / divisor**2).astype(np.float32))
    if "mask" in given:
        made.append(count > 0)
    return tuple(made) if len(made) > 1 else made[0]


def _sums(images: np.ndarray, factor: int) -> np.ndarray:
    *lead, rows, columns = images.shape
    blocks = images.reshape(*lead, rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.sum(axis=(-3, -1), dtype=np.float64))


def _spread(blocks: np.ndarray, factor: int) -> np.ndarray:
    return blocks.repeat(factor, axis=-2).repeat(factor, axis=-1)
