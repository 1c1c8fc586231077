"""What a filter did to a volume: against the images, and in Fourier space."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, Frequency, InputSizes, Params, stage
from aetx.core.projected import compared, projected, volume_grid
from aetx.core.tomography import forecast_bytes, grid, pixel_size, rotations
from aetx.errors import InputError, Problem
from aetx.kernels.agreement import agreement, matched
from aetx.kernels.projection import F64, Projector
from aetx.kernels.reconstruction import mean_of_seen
from aetx.kernels.wedge import REGIONS, Power, half_power, section, shell_power, tapered
from aetx.model import SCORE, TILT_SERIES, VOLUME, same_grid

F32 = NDArray[np.float32]
Table = dict[str, tuple[Any, ...]]

FORMS = ("raw", "filtered")
EDGE = 256
"""Greatest edge of the central block whose power is taken, in voxels."""
MIXED = 6
"""Innermost shells, in which the window mixes directions."""
SHOWN = 3
"""Images that are kept to look at."""


class FilterParams(Params):
    """Parameters of `filter`."""

    extended: bool = Field(
        False, description="the specimen goes on beyond the volume: compare only pixels whose whole ray lies in it"
    )
    section: Frequency = Field(
        0.1, gt=0, le=10, description="half thickness of the section through the power that is kept to look at"
    )


def _forecast(inputs: InputSizes, _: FilterParams) -> Forecast:
    series, raw = inputs["series"][0], inputs["raw"][0]
    tilts, y, x = (series.get(axis, 1) for axis in ("tilt", "y", "x"))
    box = tuple(raw.get(axis, 1) for axis in "zyx")
    block = [min(size, EDGE) for size in box]
    part = float(np.prod(block))
    sizes = {"tilt": tilts, "form": 2, "y": y, "x": x, "shown": min(SHOWN, tilts)}
    sizes |= {"region": 2, "shell": min(block) // 2, "kz": block[0], "kx": block[2]}
    memory = forecast_bytes(tilts, box, (y, x)) + int(part * 24)
    return Forecast(sizes, memory, 0.5 + 2 * tilts * (np.prod(box, dtype=float) * 1e-9) + part * (tilts + 20) * 4e-9)


@stage(
    "measure.filter",
    takes={"series": TILT_SERIES, "raw": VOLUME, "filtered": VOLUME},
    gives=SCORE,
    params=FilterParams,
    version=1,
    forecast=_forecast,
)
def filter(  # noqa: A001 - the name of the stage is its file's
    series: xr.Dataset, raw: xr.Dataset, filtered: xr.Dataset, params: FilterParams, *, device: str
) -> xr.Dataset:
    """R of a volume against the images, and its Fourier power where none measured it, before and after a filter.

    Each `form` of the volume, raw and filtered, is projected at the poses of the images. `r1` = sum |k c - o| / sum |o|
    of each, with the factor k of each image by least squares (`scale`). A filter also gives atoms another shape than
    the images have, and that alone raises R: `r1_matched` is taken after one factor for each spatial frequency, common
    to all images, has given the projections the shape that agrees best. `measured` and `projected` are the images that
    agree worst, in the middle and best after the filter, matched.

    `power` is the mean of |F|**2 of the central block, at most 256 voxels along each axis, under a Hann window, shell
    by shell, over directions that images measured and over those farther from every measured plane than three quarters
    of the step between images; each form over its mean in measured directions. `filled` is the power of missing over
    that of measured directions in each shell, and `median_filled` the median of all shells but the innermost six: 0
    where nothing is known, about 1 where a volume is as if it had been measured from all sides; single shells of a
    crystal have their peaks in one or the other. `section` is the power near the plane of kx and kz. What is in the
    wedge was not measured: it is what the filter knows about atoms.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (power in the
    wedge, R before and after).
    """
    if not same_grid(raw, filtered):
        have = " and ".join(str(tuple(one.sizes[axis] for axis in "zyx")) for one in (raw, filtered))
        fix = "filter the volume as it is"
        raise InputError(Problem("measure.filter: filtered", "z, y, x", f"grids {have}", "one grid for both", fix))
    step, turned, image = pixel_size(series), rotations(series), grid(series, "yx", pixel_size(series))
    observed = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    volumes = {"raw": raw, "filtered": filtered}
    box = volume_grid(raw, step, series, "measure.filter: raw")
    trusted = compared(series, params.extended, turned, image, box)
    projector = Projector(turned, box, image, device)
    plain, shaped = [], []
    for name, volume in volumes.items():
        drawn = projected(volume, projector, f"measure.filter: {name}") * np.float32(step)
        plain.append(agreement(drawn, observed, trusted, "tilt"))
        same = matched(drawn, observed, trusted, plain[-1].scale)
        shaped.append(agreement(same, observed, trusted, "tilt"))
    made = _images(observed, same * shaped[-1].scale[:, None, None].astype(np.float32), shaped[-1].r1, trusted, series)
    one = {"units": "1"}
    for name, values in (
        ("r1", [score.r1 for score in plain]),
        ("r1_matched", [score.r1 for score in shaped]),
        ("scale", [score.scale for score in plain]),
    ):
        made[name] = (("form", "tilt"), np.stack(values), one)
        if name != "scale":
            made[f"mean_{name}"] = ("form", np.array([mean_of_seen(values[i]) for i in range(2)]), one)
    made |= _power([_block(one) for one in volumes.values()], step, turned[:, :, 2], params.section)
    labels = {"form": list(FORMS), "region": list(REGIONS)}
    kept = {name: series[name].variable for name in ("tilt", "phi", "theta", "psi", "y", "x")}
    axes = {name: made.pop(name) for name in ("frequency", "kz", "kx")}
    return xr.Dataset(made, {**labels, **kept, **axes})


def _images(observed: F32, drawn: F32, r1: F64, trusted: NDArray[np.bool_], series: xr.Dataset) -> Table:
    """Return the images that agree worst, in the middle and best, and those of the volume beside them."""
    known = np.flatnonzero(np.isfinite(r1))
    order = known[np.argsort(-r1[known], kind="stable")] if known.size else np.zeros(1, np.int64)
    picked = order[np.round(np.linspace(0, order.size - 1, min(SHOWN, len(r1)))).astype(int)]
    unit, grids = {"units": series["image"].attrs["units"]}, ("shown", "y", "x")
    hidden = ~trusted[picked]
    seen, made = (np.where(hidden, np.float32(np.nan), one[picked]) for one in (observed, drawn))
    number = ("shown", series["tilt"].values[picked], {"units": "1"})
    return {"measured": (grids, seen, unit), "projected": (grids, made, unit), "shown_tilt": number}


def _block(volume: xr.Dataset) -> F32:
    """Return the central block of a volume."""
    picks = {}
    for axis in "zyx":
        kept = min(volume.sizes[axis], EDGE)
        first = (volume.sizes[axis] - kept) // 2
        picks[axis] = slice(first, first + kept)
    return np.asarray(volume["density"].isel(picks).transpose("z", "y", "x").values, np.float32)


def _power(blocks: list[F32], step: float, beams: F64, thick: float) -> Table:
    columns, one = blocks[0].shape[2], {"units": "1"}
    found: list[Power] = []
    sections = []
    for block in blocks:
        power = half_power(tapered(block))
        found.append(shell_power(power, columns, step, beams))
        plane, kz, kx = section(power, columns, step, thick)
        sections.append(plane)
    usual = np.array([_mean(part.mean[0], part.count[0]) for part in found])[:, None, None]
    usual = np.where(usual > 0, usual, np.nan)
    relative = np.stack([part.mean for part in found]) / usual
    with np.errstate(invalid="ignore", divide="ignore"):
        filled = relative[:, 1] / relative[:, 0]
    outer = filled[:, MIXED:]
    known = np.isfinite(outer).all(axis=0)
    middle = np.median(outer[:, known], axis=1) if known.any() else np.full(len(FORMS), np.nan)
    inverse = {"units": "1/angstrom"}
    return {
        "power": (("form", "region", "shell"), relative.astype(np.float32), one),
        "filled": (("form", "shell"), filled, one),
        "median_filled": ("form", middle, one),
        "section": (("form", "kz", "kx"), np.stack(sections) / usual.astype(np.float32), one),
        "frequency": ("shell", found[0].frequency, inverse),
        "kz": ("kz", kz, inverse),
        "kx": ("kx", kx, inverse),
    }


def _mean(power: F64, count: F64) -> float:
    """Return the mean over all coefficients; NaN where there are none."""
    total = float(count.sum())
    return float(np.nansum(power * count)) / total if total > 0 else float("nan")
