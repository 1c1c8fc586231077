"""ADF-STEM tilt series of atoms by multislice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, optional, stage
from aetx.core.stem import Raster, StemParams, scanned_series
from aetx.core.tilts import series_sizes
from aetx.kernels.stem import CELL, F32, F64, MARGIN, TILE, Box, scan_multislice
from aetx.model import ATOMS, TILT_SERIES


class MultisliceParams(StemParams):
    """Parameters of `multislice`."""

    window: Length = Field(
        16.0, ge=0, le=1000, description="edge of the square in which the wave of a probe is followed; 0 for the box"
    )


def _forecast(inputs: InputSizes, params: MultisliceParams) -> Forecast:
    sizes = series_sizes(inputs, params)
    atoms = inputs["atoms"][0].get("atom", 1)
    extent = 2 * (atoms * 15 * 3 / (4 * math.pi)) ** (1 / 3)
    slices = extent / params.thickness + 1
    box = ((extent + 2 * params.reach + params.window / 2) / params.wave_pixel) ** 2
    pixels = min(box, (params.window / params.wave_pixel) ** 2) if params.window else box
    step = params.pixel_size
    probes = min(sizes["y"] * sizes["x"], math.pi * (extent / 2 + params.reach) ** 2 / step**2)
    work = probes * slices * pixels * 6e-9 * math.log2(pixels + 2) / 15 + slices * box * params.oversampling**2 * (
        1e-7 + atoms * 4e-11
    )
    if params.window:
        box = min(box, ((TILE + params.window + 2 * MARGIN + CELL) / params.wave_pixel) ** 2)
    memory = slices * box * 8 + box * 60 * params.oversampling**2 + 64 * 2**20
    return Forecast(sizes, memory=int(memory), seconds=sizes["tilt"] * params.repeats * work + 0.1)


@stage(
    "simulate.multislice",
    takes={"atoms": ATOMS, "like": optional(TILT_SERIES)},
    gives=TILT_SERIES,
    params=MultisliceParams,
    version=1,
    forecast=_forecast,
)
def multislice(atoms: xr.Dataset, like: xr.Dataset | None, params: MultisliceParams, device: str) -> xr.Dataset:
    """ADF-STEM images by multislice: the fraction of the electrons of each probe that falls on the detector.

    In the frame of the camera, p = transpose(R) r, the atoms are cut into slices along the beam. A probe with the
    aberrations of the lens, focused at p_z = 0, goes through them, each acting in its middle,

        psi <- F**-1[ P(q) F[ exp(i sigma V) psi ] ],     P(q) = exp(-i pi lambda dz q**2)

    and |F psi|**2 is summed over the annulus. V is summed from Kirkland's scattering factors with every atom at its
    exact place; waves are kept within 2/3 of the highest frequency. Frozen phonons are averaged: normal displacements
    in pairs of opposite sign. The wave of a probe is followed in a window around it, which sees the rest of the box as
    if it were not there: at 25 mrad through 3 nm of Pt, 16 angstrom change images by less than 1 % of their maximum.
    Probes further from every atom than `reach` see vacuum: at 5 angstrom they would have 1e-3 of the maximum at most.
    The image is blurred by the source last. Images are drawn with `true_phi`, `true_theta` and `true_psi`; the
    coordinates phi, theta and psi are those without the error. Lazy, one image per chunk.

    Vibrations are the same for all atoms and directions, and inelastic scattering is left out.

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2.
    """
    return scanned_series(
        "simulate.multislice", atoms, like, params, _scan, {"window": params.window, "device": device}
    )


def _scan(
    box: Box,
    position: F64,
    numbers: NDArray[np.integer],
    raster: Raster,
    params: MultisliceParams,
    *,
    window: float,
    device: str,
) -> F32:
    image = np.zeros(raster.wanted.shape, np.float32)
    rows, columns = np.nonzero(raster.wanted)
    probes = np.column_stack([raster.x[columns], raster.y[rows]])
    found: Any = scan_multislice(box, position, numbers, probes, params.optics, params.slicing, window, device)
    image[rows, columns] = found
    return image
