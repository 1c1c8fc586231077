"""One image of several frames, moved to where they agree."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.raw_frames import RegistrationParams, averaged, directions
from aetx.core.tomography import pixel_size
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import registration, scan_distortion
from aetx.model import RAW_SERIES, TILT_SERIES


class FramesParams(RegistrationParams):
    """Parameters of `frames`."""

    within: bool = Field(True, description="undo the drift within each frame too, as it is between the frames")


def _forecast(inputs: InputSizes, _: FramesParams) -> Forecast:
    sizes = dict(inputs["series"][0])
    frames = sizes.pop("frame", 1)
    area = sizes.get("y", 1) * sizes.get("x", 1)
    pairs = frames * (frames - 1) / 2
    seconds = sizes.get("tilt", 1) * area * (pairs * 1.2e-6 + frames * 0.5e-6)
    return Forecast(sizes, memory=area * (400 + 40 * frames), seconds=seconds + 0.01)


@stage(
    "prepare.frames",
    takes={"series": RAW_SERIES},
    gives=TILT_SERIES,
    params=FramesParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "frame": -1, "y": -1, "x": -1},
    forecast=_forecast,
)
def frames(series: xr.Dataset, params: FramesParams) -> xr.Dataset:
    """One image for each tilt: the mean of its frames, moved to where they agree.

    The shifts of all pairs of frames (correlation of what lies between `smoothing` and `background` in size) give the
    place of each by least squares: `frame_x` and `frame_y`, how far its content lies from the mean of all frames, with
    standard errors that hold for noise that is independent from pixel to pixel. A first round with smoothing four
    times as wide keeps a lattice from being taken for its neighbour. A drift s from one frame to the next also shears
    and stretches each frame of height H, by v = s / (1 + pause + s_slow / H) from its first row to its last, as content
    that drifts along the slow direction meets the scan again later: with `within`, that is undone row by row.

    Each frame is sampled once: a phase ramp along rows, a spline across. `variance` is that of the mean:
    level + rise * signal, fitted to the scatter of the frames; a single frame has none. `mask` holds what any of the
    frames saw. Frames of different scan directions are for `prepare.scan`, which also mends rows that tremble.

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Optics Letters 33, 156 (2008), doi:10.1364/OL.33.000156.
    """
    turns = directions(series)
    if np.ptp(turns) > 0:
        found, wanted = f"{', '.join(f'{turn:g}' for turn in turns)} degree", "one scan direction"
        problem = Problem("prepare.frames: series", "scan_direction", found, wanted, "use the stage prepare.scan")
        raise InputError(problem)
    step, count = pixel_size(series), series.sizes["frame"]
    per_frame = ["frame_y", "frame_x", "frame_y_error", "frame_x_error"]
    names = ["image", "variance", "mask", *per_frame]
    made = xr.apply_ufunc(
        _average,
        series["image"],
        kwargs={"params": params, "step": step, "turn": float(np.deg2rad(turns[0]))},
        input_core_dims=[["frame", "y", "x"]],
        output_core_dims=[["y", "x"]] * 3 + [["frame"]] * 4,
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.bool_, *[np.float64] * 4],
    )
    return averaged(series, dict(zip(names, made, strict=True)), count)


def _average(images: np.ndarray, *, params: FramesParams, step: float, turn: float) -> tuple[np.ndarray, ...]:
    """Average the frames of each tilt; shape (tilts, frames, rows, columns). Lengths are in pixels."""
    tilts, count, rows, columns = images.shape
    mean, variance = (np.empty((tilts, rows, columns), np.float32) for _ in range(2))
    mask = np.empty((tilts, rows, columns), np.bool_)
    places, errors = np.zeros((tilts, count, 2)), np.zeros((tilts, count, 2))
    fine, coarse = params.bands(step)
    for i, one in enumerate(images.astype(np.float32)):
        reach, near = params.reach / step, params.nearest / step
        places[i], covariance = registration.registered(one, fine, coarse, reach, near)
        if not np.isfinite(covariance).all():
            text = f"frames of a tilt have nothing in common within {params.reach:g} angstrom; their shift is a guess"
            warnings.warn(text, AetxWarning, stacklevel=2)
        lines = scan_distortion.drifting_lines(places[i], params.pause, rows, params.within)
        made = [scan_distortion.straightened(*each) for each in zip(one, lines[..., 0], lines[..., 1], strict=True)]
        back, saw = zip(*(scan_distortion.turned_back(*each, turn) for each in made), strict=True)
        mean[i], variance[i], mask[i] = scan_distortion.mean_of(np.stack(back), np.stack(saw))
        c, s = np.cos(turn), np.sin(turn)
        places[i] = places[i] @ np.array([[c, -s], [s, c]])
        errors[i] = np.sqrt(np.einsum("ji,kjl,li->ki", [[c, -s], [s, c]], covariance, [[c, -s], [s, c]]))
    return mean, variance, mask, places[..., 0], places[..., 1], errors[..., 0], errors[..., 1]
