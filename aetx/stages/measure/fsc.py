"""Fourier shell correlation of two volumes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.tilts import elongation
from aetx.errors import InputError, Problem
from aetx.kernels.correlation import DIRECTIONS, Correlation, crossing, scrambled, shell_correlation, transform
from aetx.model import SCORE, VOLUME, same_grid, spacing

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

THRESHOLDS = (0.143, 0.5)
"""Where the curve of two halves of the data crosses: the usual criterion, and a strict one."""


class FscParams(Params):
    """Parameters of `fsc`."""

    cone: Angle = Field(30.0, gt=0, lt=90, description="half angle of the cones about z, and of the belt about x and y")
    mask: Length | None = Field(
        None, gt=0, description="radius of a soft spherical mask about the middle of the box; none for no mask"
    )
    edge: Length = Field(3.0, gt=0, description="width over which the mask falls from one to zero, outside its radius")
    randomise: float = Field(
        0.8, gt=0, lt=1, description="phases are made random from where the correlation without mask falls below this"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random phases")
    diameter: Length | None = Field(
        None, gt=0, description="of the specimen, for the limit of Crowther; none for that of the mask, else of the box"
    )

    @model_validator(mode="after")
    def _nothing_void(self) -> Self:
        named = sorted({"edge", "randomise", "seed"} & self.model_fields_set)
        if self.mask is None and named:
            raise ValueError(f"{', '.join(named)} without a mask")
        return self


def _forecast(inputs: InputSizes, params: FscParams) -> Forecast:
    first = inputs["first"][0]
    voxels = first.get("z", 1) * first.get("y", 1) * first.get("x", 1)
    passes = 1 if params.mask is None else 3
    return Forecast(
        {"direction": 3}, memory=voxels * (24 if passes == 1 else 48) + 10**6, seconds=voxels * passes * 1e-7 + 0.1
    )


@stage(
    "measure.fsc",
    takes={"first": VOLUME, "second": VOLUME},
    gives=SCORE,
    params=FscParams,
    version=1,
    forecast=_forecast,
)
def fsc(first: xr.Dataset, second: xr.Dataset, params: FscParams) -> xr.Dataset:
    """Fourier shell correlation of two volumes made from two halves of the data, in all directions and by cones.

        fsc = Re sum F1 conj(F2) / (sum |F1|**2 sum |F2|**2) ** 1/2

    over shells one pixel wide, up to the Nyquist frequency; `direction` is all of a shell, the part within `cone` of
    z, which a missing wedge about z empties, and the part within `cone` of the plane of x and y. `resolution` is one
    over the frequency at which a curve falls below a `threshold` for two shells; NaN where it never does. Independent
    noise scatters about 0 with the standard deviation `noise` = 1 / (Fourier coefficients) ** 1/2, more under a mask.

    With a `mask` the correlation of the mask itself is taken out: `fsc` = (masked - random) / (1 - random) from two
    shells beyond where phases were made random, `fsc_masked` before that, and `fsc_unmasked`, `fsc_masked` and
    `fsc_random` are beside it.

    Where the volumes know their tilts, with the half range a and the mean step s of all tilts of both: `elongation` =
    ((a + sin a cos a) / (a - sin a cos a)) ** 1/2 along z, and `crowther` = diameter * s, the resolution that the
    number of tilts allows, (pi D / N over the full range). Neither knows of positivity, by which atoms are found far
    below it.

    The two halves must share nothing but the specimen: one alignment for both makes them alike where they are wrong.

    References
    ----------
    P. B. Rosenthal, R. Henderson, J. Mol. Biol. 333, 721 (2003), doi:10.1016/j.jmb.2003.07.013 (0.143); S. Chen et
    al., Ultramicroscopy 135, 24 (2013), doi:10.1016/j.ultramic.2013.06.004 (mask); M. Radermacher, J. Electron
    Microsc. Tech. 9, 359 (1988), doi:10.1002/jemt.1060090405 (elongation).
    """
    one, other, step = _density(first, "first"), _density(second, "second"), _step(first, second)
    box, cone = (one.shape[0], one.shape[1], one.shape[2]), float(np.deg2rad(params.cone))
    waves = transform(one), transform(other)
    plain = shell_correlation(*waves, box, step, cone)
    made: dict[str, tuple[Any, ...]] = {}
    curve = plain.value
    if params.mask is not None:
        parts = _masked((one, other), waves, plain, step, params)
        curve = parts["fsc"]
        for name, values in parts.items():
            made[name] = (("direction", "shell"), values, {"units": "1"})
        made["fsc_unmasked"] = (("direction", "shell"), plain.value, {"units": "1"})
    with np.errstate(divide="ignore"):
        noise = np.where(plain.count > 0, 1 / np.sqrt(plain.count), np.nan)
        crossed = [[1 / crossing(row, plain.frequency, level) for level in THRESHOLDS] for row in curve]
    wide = params.diameter or (2 * params.mask if params.mask else max(box) * step)
    elongation, crowther = _tilts(first, second, wide)
    made |= {
        "fsc": (("direction", "shell"), curve, {"units": "1"}),
        "noise": (("direction", "shell"), noise, {"units": "1"}),
        "resolution": (("direction", "threshold"), np.array(crossed), {"units": "angstrom"}),
        "elongation": ((), elongation, {"units": "1"}),
        "crowther": ((), crowther, {"units": "angstrom"}),
    }
    return xr.Dataset(
        made,
        {
            "direction": list(DIRECTIONS),
            "frequency": ("shell", plain.frequency, {"units": "1/angstrom"}),
            "threshold": ("threshold", list(THRESHOLDS), {"units": "1"}),
        },
    )


def _density(volume: xr.Dataset, name: str) -> F32:
    density: F32 = volume["density"].transpose("z", "y", "x").values.astype(np.float32)
    bad = int((~np.isfinite(density)).sum())
    if bad:
        fix = "cut the volume to where it is known"
        raise InputError(Problem(f"measure.fsc: {name}", "density", f"{bad} voxels that are not finite", "none", fix))
    return density


def _step(first: xr.Dataset, second: xr.Dataset) -> float:
    if not same_grid(first, second):
        have = " and ".join(str(tuple(one.sizes[axis] for axis in "zyx")) for one in (first, second))
        fix = "make both on the grid of one"
        raise InputError(Problem("measure.fsc: second", "z, y, x", f"grids {have}", "one grid for both", fix))
    steps = [spacing(first, axis) for axis in "zyx"]
    if max(steps) - min(steps) > 1e-3 * steps[0]:
        found = " by ".join(f"{value:g}" for value in steps)
        raise InputError(Problem("measure.fsc: first", "z, y, x", f"{found} angstrom", "cubic voxels", "resample"))
    return steps[0]


def _masked(
    volumes: tuple[F32, F32], waves: tuple[Any, Any], plain: Correlation, step: float, params: FscParams
) -> dict[str, F64]:
    """Return the correlation under the mask, that of random phases under it, and the one without the mask's part."""
    assert params.mask is not None
    shape, cone = volumes[0].shape, float(np.deg2rad(params.cone))
    box = (shape[0], shape[1], shape[2])
    weight = _sphere(box, step, params.mask, params.edge)
    masked = shell_correlation(transform(volumes[0] * weight), transform(volumes[1] * weight), box, step, cone).value
    low = np.flatnonzero(~(plain.value[0] >= params.randomise))
    beyond = int(low[0]) + 1 if low.size else masked.shape[1] + 1
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence(params.seed).spawn(2)]
    mixed = [transform(scrambled(waves[i], box, beyond, streams[i]) * weight) for i in (0, 1)]
    random = shell_correlation(mixed[0], mixed[1], box, step, cone).value
    far = np.arange(1, masked.shape[1] + 1) >= beyond + 2
    with np.errstate(invalid="ignore", divide="ignore"):
        corrected = np.where(far, (masked - random) / (1 - random), masked)
    return {"fsc": corrected, "fsc_masked": masked, "fsc_random": random}


def _sphere(shape: tuple[int, int, int], step: float, radius: float, edge: float) -> F32:
    """Return one within the radius about the middle, falling as a cosine to zero over the edge."""
    axes = [step * (np.arange(size) - size // 2) for size in shape]
    away = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((away - radius) / edge, 0, 1))).astype(np.float32)


def _tilts(first: xr.Dataset, second: xr.Dataset, diameter: float) -> tuple[float, float]:
    """Return the elongation and the limit of Crowther; NaN where the volumes do not know their tilts."""
    if "theta" not in first.coords or "theta" not in second.coords:
        return float("nan"), float("nan")
    theta = np.unique(np.concatenate([one["theta"].values.astype(float) for one in (first, second)]))
    if theta.size < 2:
        return float("nan"), float("nan")
    half = min((theta[-1] - theta[0]) / 2, 90.0)
    return float(elongation(half)), float(diameter * np.deg2rad(np.diff(theta)).mean())
