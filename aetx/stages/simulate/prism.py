"""ADF-STEM tilt series of atoms by PRISM."""

from __future__ import annotations

import math
import warnings

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, optional, stage
from aetx.core.stem import BAND, Raster, StemParams, scanned_series
from aetx.core.tilts import poses, series_sizes
from aetx.errors import AetxWarning
from aetx.kernels import rendering
from aetx.kernels.prism import scan_prism
from aetx.kernels.scattering import wavelength
from aetx.kernels.stem import F32, F64, Box
from aetx.model import ATOMS, TILT_SERIES, positions

SHORTEST = 10.0
"""Edge of the window of a probe, angstrom, below which images change by more than some 2 % of their maximum."""


class PrismParams(StemParams):
    """Parameters of `prism`."""

    interpolation: int = Field(
        2, ge=1, le=32, description="every how many plane waves are computed; a probe has 1 / this of the box"
    )


def _forecast(inputs: InputSizes, params: PrismParams) -> Forecast:
    sizes = series_sizes(inputs, params)
    atoms = inputs["atoms"][0].get("atom", 1)
    extent = 2 * (atoms * 15 * 3 / (4 * math.pi)) ** (1 / 3)
    slices = extent / params.thickness + 1
    edge = extent + 2 * params.reach
    box = (edge / params.wave_pixel) ** 2
    beams = math.pi * (params.semi_angle * 1e-3 / wavelength(params.energy) * edge / params.interpolation + 1) ** 2
    probes = min(sizes["y"] * sizes["x"], math.pi * (extent / 2 + params.reach) ** 2 / params.pixel_size**2)
    matrix = beams * box * BAND**2
    window = box * BAND**2 / params.interpolation**2
    work = beams * slices * box * 6e-9 * math.log2(box + 2) / 15
    work += probes * window * math.sqrt(beams) * 4e-10 + math.sqrt(probes) * matrix / params.interpolation * 2e-9
    memory = (
        matrix * 8 * (1 + 1.2 / params.interpolation)
        + slices * box * 8
        + box * 60 * params.oversampling**2
        + 64 * 2**20
    )
    return Forecast(sizes, memory=int(memory), seconds=sizes["tilt"] * params.repeats * work + 0.1)


@stage(
    "simulate.prism",
    takes={"atoms": ATOMS, "like": optional(TILT_SERIES)},
    gives=TILT_SERIES,
    params=PrismParams,
    version=1,
    forecast=_forecast,
)
def prism(atoms: xr.Dataset, like: xr.Dataset | None, params: PrismParams, device: str) -> xr.Dataset:
    """ADF-STEM images by PRISM: the fraction of the electrons of each probe that falls on the detector.

    The physics and the parameters are those of `simulate.multislice`, but the plane waves of the probe go through
    the specimen, not the probes: every f-th of them, S_b, once for each configuration, and a probe at r is

        psi_r = sum_b A(q_b) exp(-i chi(q_b) - 2 pi i q_b r) S_b

    in a window of 1 / f of the box around it. With f = 1 that is multislice to round-off; with more, windows that
    are short beside the probe fold its tails. The scattering matrix, which lies in memory, has 8 bytes for each beam
    and pixel of the band. Quicker than multislice where probes are many and the box is small. Lazy, one image per
    chunk.

    References
    ----------
    C. Ophus, Advanced Structural and Chemical Imaging 3, 13 (2017), doi:10.1186/s40679-017-0046-1.
    """
    options = {"interpolation": params.interpolation, "device": device}
    _warn_of_short_windows(positions(atoms), poses(params, like), params)
    return scanned_series("simulate.prism", atoms, like, params, _scan, options)


def _warn_of_short_windows(position: F64, angles: F64, params: PrismParams) -> None:
    extents = [np.ptp(rendering.to_camera(position, *np.deg2rad(one))[:, :2], axis=0).min() for one in angles]
    window = (min(extents) + 2 * params.reach) / params.interpolation
    if params.interpolation > 1 and window < SHORTEST:
        text = f"with an interpolation of {params.interpolation} a probe has a window of {window:.1f} angstrom"
        warnings.warn(f"{text}, which folds its tails: a lower one, or a greater reach", AetxWarning, stacklevel=4)


def _scan(
    box: Box,
    position: F64,
    numbers: NDArray[np.integer],
    raster: Raster,
    params: PrismParams,
    *,
    interpolation: int,
    device: str,
) -> F32:
    return scan_prism(
        box,
        position,
        numbers,
        raster.x,
        raster.y,
        raster.wanted,
        params.optics,
        params.slicing,
        interpolation,
        device,
    )
