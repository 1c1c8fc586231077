"""R factors of a volume against images."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.core.tomography import forecast_bytes, grid, origin, pixel_size, rotations
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.projection import F64, Grid, Projector
from aetx.kernels.reconstruction import mean_of_seen, whole_rays
from aetx.model import SCORE, TILT_SERIES, VOLUME, spacing


class RFactorParams(Params):
    """Parameters of `r_factor`."""

    extended: bool = Field(
        False, description="the specimen goes on beyond the volume: compare only pixels whose whole ray lies in it"
    )
    scaled: bool = Field(False, description="scale each projection to its image by least squares first")


def _forecast(inputs: InputSizes, _: RFactorParams) -> Forecast:
    series, volume = inputs["series"][0], inputs["volume"][0]
    box = tuple(volume.get(axis, 1) for axis in "zyx")
    image = (series.get("y", 1), series.get("x", 1))
    tilts = series.get("tilt", 1)
    return Forecast({"tilt": tilts}, forecast_bytes(tilts, box, image), tilts * np.prod(box, dtype=float) * 1e-9 + 0.5)


@stage(
    "measure.r_factor",
    takes={"series": TILT_SERIES, "volume": VOLUME},
    gives=SCORE,
    params=RFactorParams,
    version=1,
    forecast=_forecast,
)
def r_factor(series: xr.Dataset, volume: xr.Dataset, params: RFactorParams, *, device: str) -> xr.Dataset:
    """R factors of a volume against the images of a series, from the volume alone.

    For each tilt `r1` = sum|k c - o| / sum|o| and `r2`, its least-squares analogue, with the computed image c, the
    image o and the scale k (1 unless `scaled`), over the `pixels` compared; `mean_r1` and `mean_r2` are means over the
    tilts, `global_r1` is the sum of all |k c - o| over the sum of all |o|. NaN where nothing can be compared. The
    coordinates of the volume say where it lies; for a sub-area the series' `origin` is where its rotation centre is.
    A mask of the series is honoured. R depends on how much empty background is compared: compare it at equal masks.
    """
    step = pixel_size(series)
    turned = rotations(series)
    box, image = _volume_grid(volume, step, series), grid(series, "yx", step)
    projector = Projector(turned, box, image, device)
    density = volume["density"].transpose("z", "y", "x").values.astype(np.float32)
    if not np.isfinite(density).all():
        found = f"{int((~np.isfinite(density)).sum())} voxels that are not finite"
        raise InputError(Problem("volume", "density", found, "finite values", "cut the volume to where it is known"))
    computed = projector.images_out(projector.project(projector.volume_in(density)))
    observed = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    trusted = whole_rays(turned, image, box) if params.extended else np.ones(observed.shape, bool)
    if "mask" in series:
        trusted &= series["mask"].transpose("tilt", "y", "x").values.astype(bool)
    score = _score(
        computed.astype(float) * step, np.where(trusted, observed, 0.0).astype(float), trusted, params.scaled
    )
    if not score["pixels"][1].all():
        text = f"{int((score['pixels'][1] == 0).sum())} of {len(turned)} tilts have no pixel to compare: R is NaN there"
        warnings.warn(text, AetxWarning, stacklevel=2)
    unit = {"units": "1"}
    poses = {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")}
    return xr.Dataset({name: (dims, values, unit) for name, (dims, values) in score.items()}, poses)


def _volume_grid(volume: xr.Dataset, step: float, series: xr.Dataset) -> Grid:
    for axis in "zyx":
        if volume.sizes[axis] > 1 and abs(spacing(volume, axis) - step) > 1e-3 * step:
            found = f"{spacing(volume, axis):g} angstrom"
            raise InputError(
                Problem("volume", axis, found, f"the pixel size {step:g} angstrom", "resample one of the two")
            )
    return grid(volume, "zyx", step, origin(series))


def _score(computed: F64, observed: F64, trusted: np.ndarray, scaled: bool) -> dict[str, tuple[tuple[str, ...], F64]]:
    computed = np.where(trusted, computed, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.ones(len(computed))
        if scaled:
            scale = (computed * observed).sum(axis=(1, 2)) / np.square(computed).sum(axis=(1, 2))
        off = np.abs(scale[:, None, None] * computed - observed)
        size = np.abs(observed).sum(axis=(1, 2))
        r1 = np.where(size > 0, off.sum(axis=(1, 2)) / size, np.nan)
        r2 = np.sqrt(np.square(off).sum(axis=(1, 2)) / np.square(observed).sum(axis=(1, 2)))
        whole = off.sum() / size.sum()
    r2 = np.where(size > 0, r2, np.nan)
    return {
        "r1": (("tilt",), r1),
        "r2": (("tilt",), r2),
        "scale": (("tilt",), scale),
        "pixels": (("tilt",), trusted.sum(axis=(1, 2)).astype(np.int64)),
        "mean_r1": ((), np.float64(mean_of_seen(r1))),
        "mean_r2": ((), np.float64(mean_of_seen(r2))),
        "global_r1": ((), np.float64(whole)),
    }
