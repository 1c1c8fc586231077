"""One image of scans whose lines lie elsewhere than on an even grid."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.raw_frames import RegistrationParams, averaged, directions
from aetx.core.tomography import pixel_size
from aetx.errors import AetxWarning
from aetx.kernels import scan_distortion, scan_drift, scan_lines
from aetx.model import RAW_SERIES, TILT_SERIES


class ScanParams(RegistrationParams):
    """Parameters of `scan`."""

    smooth: float = Field(
        20.0, ge=1, le=1000, description="standard deviation in lines that tells smooth motion from jitter"
    )
    across: bool = Field(False, description="lines jump across themselves too, not only along")
    rounds: int = Field(8, ge=0, le=200, description="how often lines are compared; none for even drift alone")
    largest_drift: Length = Field(
        3.0, gt=0, le=1000, description="largest drift along an axis in the time of a frame, if all scans differ"
    )
    combine: Literal["mean", "fast"] = Field(
        "mean", description="plain mean of the scans, or each wave from the scans that run along it (two directions)"
    )


def _forecast(inputs: InputSizes, params: ScanParams) -> Forecast:
    sizes = dict(inputs["series"][0])
    frames = sizes.pop("frame", 1)
    area = sizes.get("y", 1) * sizes.get("x", 1)
    pairs = frames * (frames - 1) / 2
    seconds = sizes.get("tilt", 1) * area * (pairs * 1.5e-6 + frames * (1e-6 + params.rounds * 1.0e-6))
    return Forecast({**sizes, "frame": frames}, memory=area * (350 + 70 * frames), seconds=seconds + 0.01)


@stage(
    "prepare.scan",
    takes={"series": RAW_SERIES},
    gives=TILT_SERIES,
    params=ScanParams,
    version=2,
    flow="chunkwise",
    chunks={"tilt": 1, "frame": -1, "y": -1, "x": -1},
    forecast=_forecast,
)
def scan(series: xr.Dataset, params: ScanParams) -> xr.Dataset:
    """One image for each tilt: the mean of its scans, with every line put where it belongs.

    The scans may run in one direction or in several, as `scan_direction` says; one scan is enough, two at right angles
    are best. First they are placed as if the specimen drifted evenly (as `prepare.frames` does, or by the drift with
    which scans of different directions agree best). Then each line is compared with the picture that all other lines
    make, each wave as far as it stands out of the noise, and moved along itself (and across, if told), again and again:
    I = b P(r - delta), by least squares, drawn towards its neighbours as its standard error demands of the jitter,
    which is estimated with it: where counts are too few to tell, lines stay where they are.

    From scans of one direction, motion that is the same in each and even over a few lines cannot be told from the
    shape of the specimen, but for an even drift: two thirds of their common jitter stay at usual doses. From a single
    scan, only the fast part of the jitter is found.

    `line_x` and `line_y` hold how far the content had moved when a row was scanned, `line_error` the standard error
    along the row, `jitter` its standard deviation for each tilt; `frame_x` and `frame_y` the means of each frame.
    `variance` and `mask` are those of `prepare.frames`. With `combine: fast`, waves come from the scans that run along
    them (weights cos**2 of the angle between): less distorted, and noisier: 1.4 times the variance.

    References
    ----------
    C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016), doi:10.1016/j.ultramic.2015.12.002 (the idea and
    the weights of `fast`).
    """
    step, count = pixel_size(series), series.sizes["frame"]
    turns = np.deg2rad(directions(series))
    names = ["image", "variance", "mask", "line_y", "line_x", "line_error", "frame_y", "frame_x", "jitter"]
    made = xr.apply_ufunc(
        _mended,
        series["image"],
        kwargs={"params": params, "step": step, "turns": turns},
        input_core_dims=[["frame", "y", "x"]],
        output_core_dims=[["y", "x"]] * 3 + [["frame", "y"]] * 3 + [["frame"]] * 2 + [[]],
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.bool_, *[np.float32] * 3, *[np.float64] * 3],
    )
    return averaged(series, dict(zip(names, made, strict=True)), count)


def _mended(images: np.ndarray, *, params: ScanParams, step: float, turns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mend and average the scans of each tilt; shape (tilts, frames, rows, columns). Lengths are in pixels."""
    tilts, count, rows, columns = images.shape
    mean, variance = (np.empty((tilts, rows, columns), np.float32) for _ in range(2))
    mask = np.empty((tilts, rows, columns), np.bool_)
    lines, error = np.empty((tilts, count, rows, 2)), np.empty((tilts, count, rows))
    jitter = np.zeros(tilts)
    reach = params.nearest / step, params.reach / step
    for i, one in enumerate(images.astype(np.float32)):
        start, covariance = scan_drift.drifting_scans(
            one, turns, params.pause, params.bands(step), reach, params.largest_drift / step
        )
        if not np.isfinite(covariance).all():
            text = f"scans of a tilt have nothing in common within {params.reach:g} angstrom; their shift is a guess"
            warnings.warn(text, AetxWarning, stacklevel=2)
        found = scan_lines.found_lines(one, turns, start, params.smooth, params.across, params.rounds)
        made = [scan_distortion.straightened(*each) for each in zip(one, *np.moveaxis(found.place, -1, 0), strict=True)]
        upright = [scan_distortion.turned_back(*each, turn) for each, turn in zip(made, turns, strict=True)]
        back, seen = (np.stack(part) for part in zip(*upright, strict=True))
        mean[i], variance[i], mask[i] = scan_distortion.mean_of(back, seen)
        if params.combine == "fast":
            mean[i], more = scan_distortion.along_the_rows(np.where(seen, back, mean[i]), turns)
            variance[i] *= more
        lines[i] = np.einsum("kij,krj->kri", scan_drift.turn(turns), found.place)
        error[i], jitter[i] = found.error[..., 1], found.jitter[1] if params.rounds else np.nan
    shift = lines.mean(axis=2)
    single = lines.astype(np.float32)
    return (
        mean,
        variance,
        mask,
        single[..., 0],
        single[..., 1],
        error.astype(np.float32),
        shift[..., 0],
        shift[..., 1],
        jitter,
    )
