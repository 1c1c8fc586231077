"""4D-STEM: the diffraction pattern of each probe position at each tilt, by multislice."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import dask.array as da
import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, Frequency, InputSizes, Length, SmallAngle, stage
from aetx.core.atoms import elements_of
from aetx.core.lens import WaveParams
from aetx.core.tilts import TiltParams, centred_axis, count_of, pose_coords, poses
from aetx.errors import AetxWarning
from aetx.kernels import rendering
from aetx.kernels.diffraction import binned, patterns_of_atoms
from aetx.kernels.multislice import WaveGrid, good_size
from aetx.model import ATOMS, SCAN_SERIES, positions

WAVES = 2**22
"""Pixels of waves that a block follows together: 32 MB, and three times as much for its patterns."""
BLOCKS = 2
"""Blocks in flight that the forecast counts."""


class DiffractionParams(TiltParams, WaveParams):
    """Parameters of `diffraction`."""

    semi_angle: SmallAngle = Field(21.0, gt=0, le=200, description="half angle of the cone of the probe")
    defocus: Length = Field(0.0, ge=-1e6, le=1e6, description="defocus at the centre of rotation, under focus above 0")
    scan_rows: int = Field(32, ge=1, le=8192, description="probe positions along y")
    scan_columns: int = Field(32, ge=1, le=8192, description="probe positions along x")
    scan_step: Length = Field(0.5, gt=0, le=100, description="distance of neighbouring probe positions")
    pixels: int = Field(64, ge=2, le=4096, description="rows and columns of each pattern")
    reciprocal_pixel: Frequency = Field(0.0625, gt=0, le=10, description="edge of a pixel of the patterns")
    window: Length = Field(
        16.0, gt=0, le=1000, description="least edge of the region around each probe in which its wave is followed"
    )

    @model_validator(mode="after")
    def _in_the_band(self) -> Self:
        wanted, kept = self.pixels * self.reciprocal_pixel / 2, 1 / (3 * self.sampling)
        if wanted > kept:
            raise ValueError(
                f"the patterns reach to {wanted:g} 1/angstrom, a sampling of {self.sampling:g} angstrom to {kept:g}: "
                f"lower sampling to {1 / (3 * wanted):.4g} angstrom"
            )
        return self


def _gathered(params: DiffractionParams) -> int:
    """Return how many frequencies of the window a pixel of the detector gathers along each axis: odd."""
    least = math.ceil(params.window * params.reciprocal_pixel - 1e-9)
    return least + (1 - least % 2)


def _grid(params: DiffractionParams) -> WaveGrid:
    edge = _gathered(params) / params.reciprocal_pixel
    size = good_size(math.ceil(edge / params.sampling))
    return WaveGrid(size, size, edge / size, params.energy)


def _rows(params: DiffractionParams, size: int) -> int:
    """Return how many rows of the scan a block holds."""
    return int(np.clip(WAVES // (params.scan_columns * size**2), 1, params.scan_rows))


def _forecast(inputs: InputSizes, params: DiffractionParams) -> Forecast:
    atoms, size = inputs["atoms"][0].get("atom", 1), _grid(params).rows
    rows, tilts, sets = _rows(params, size), count_of(params), params.repeats
    probes = rows * params.scan_columns
    pixel = _grid(params).pixel
    field = math.prod(count * params.scan_step / pixel + size for count in (rows, params.scan_columns))
    memory = BLOCKS * (
        probes * (size**2 * 28 + params.pixels**2 * 20) + field * (40 + 60 * params.oversampling**2) + atoms * 200
    )
    slices = min(atoms, math.ceil(3 * atoms ** (1 / 3) / params.thickness) + 2)
    each = params.scan_rows * params.scan_columns * slices * size**2 * (2e-8 + 2e-9 * math.log2(size))
    each += math.ceil(params.scan_rows / rows) * (slices * field * 1e-7 + atoms * field**0.5 * 1e-7)
    sizes = {
        "tilt": tilts,
        "scan_y": params.scan_rows,
        "scan_x": params.scan_columns,
        "ky": params.pixels,
        "kx": params.pixels,
    }
    return Forecast(sizes, memory=int(memory) + 60_000_000, seconds=0.1 + tilts * sets * each)


@stage(
    "simulate.diffraction",
    takes={"atoms": ATOMS},
    gives=SCAN_SERIES,
    params=DiffractionParams,
    version=1,
    forecast=_forecast,
)
def diffraction(atoms: xr.Dataset, params: DiffractionParams, *, device: str) -> xr.Dataset:
    """Diffraction patterns |Psi(q; r_p)|**2 of a probe at each scan position and each tilt.

    The atoms are turned to p = transpose(R) r and cut into slices; the probe A exp(-i chi), focused at p_z = 0 but for
    its aberrations, passes them by psi = F**-1 (exp(-i pi lambda d q**2) F (exp(i sigma V) psi)). Each wave is followed
    in a periodic window around its probe whose edge is a whole odd multiple of 1 / `reciprocal_pixel`, so that each
    pixel of the detector sums as many frequencies along each axis. Thermal motion is a Gaussian blur of the potential,
    or, with `configurations`, the mean over random displacements, which alone gives the diffuse background.

    Without `dose` the patterns are fractions of the electrons of each probe position: over all frequencies they sum to
    one. With it they are Poisson counts of `dose` times the squared step, one random stream for each row of the scan.
    Patterns and scan share their axes x and y: no turn between them. Lazy; a block holds some rows of one tilt.

    Weakness: the band of the waves ends at 2/3 of Nyquist, and what scatters beyond is lost.

    References
    ----------
    C. Ophus, Microscopy and Microanalysis 25, 563 (2019), doi:10.1017/S1431927619000497 (4D-STEM);
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2 (multislice).
    """
    numbers = elements_of("simulate.diffraction", atoms)
    angles, grid = poses(params), _grid(params)
    x, y = (
        centred_axis(name, count, params.scan_step)
        for name, count in (("scan_x", params.scan_columns), ("scan_y", params.scan_rows))
    )
    _warn_of_a_small_window(params, grid)
    rows = _rows(params, grid.rows)
    blocks = da.core.normalize_chunks((1, rows), (len(angles), params.scan_rows))
    size = params.pixels
    data = da.map_blocks(
        _block,
        da.arange(len(angles), chunks=1)[:, None],
        da.arange(params.scan_rows, chunks=rows)[None, :],
        new_axis=[2, 3, 4],
        chunks=(*blocks, (params.scan_columns,), (size,), (size,)),
        dtype=np.float32,
        meta=np.empty((0,) * 5, np.float32),
        poses=np.deg2rad(angles),
        position=positions(atoms),
        numbers=numbers,
        scan=(x[1], y[1]),
        grid=grid,
        params=params,
        device=device,
    )
    k = (np.arange(size) - size // 2) * params.reciprocal_pixel
    optional = {"dose": ("tilt", np.full(len(angles), params.dose), {"units": "e/angstrom**2"})} if params.dose else {}
    return xr.Dataset(
        {
            "pattern": (
                ("tilt", "scan_y", "scan_x", "ky", "kx"),
                data,
                {"units": "count" if params.dose else "1"},
            ),
            "energy": ((), params.energy, {"units": "keV"}),
            "semi_angle": ((), params.semi_angle, {"units": "mrad"}),
            "defocus": ((), params.defocus, {"units": "angstrom"}),
            **optional,
        },
        coords={
            **pose_coords(angles),
            "scan_y": y,
            "scan_x": x,
            **{name: (name, k, {"units": "1/angstrom"}) for name in ("ky", "kx")},
        },
    )


def _block(tilt: np.ndarray, row: np.ndarray, **scene: Any) -> np.ndarray:
    return _patterns(int(tilt[0, 0]), row[0], **scene)[None]


def _patterns(
    tilt: int,
    rows: np.ndarray,
    *,
    poses: np.ndarray,
    position: np.ndarray,
    numbers: np.ndarray,
    scan: tuple[np.ndarray, np.ndarray],
    grid: WaveGrid,
    params: DiffractionParams,
    device: str,
) -> np.ndarray:
    """Return the patterns of some rows of a tilt, shape (rows, columns, ky, kx); the draws know their tilt and row."""
    x, y = scan
    probes = np.stack(np.broadcast_arrays(x[None, :], y[rows, None]), axis=-1).reshape(-1, 2)
    lens = params.aberrations(params.defocus)
    total = np.zeros((len(probes), params.pixels, params.pixels))
    for where in params.displaced(position, tilt):
        found = patterns_of_atoms(
            rendering.to_camera(where, *poses[tilt]),
            numbers,
            probes,
            grid,
            params.semi_angle,
            lens,
            params.thickness,
            width=params.width,
            oversampling=params.oversampling,
            device=device,
        )
        total += binned(found, params.pixels, _gathered(params)).cpu().numpy()
    fraction = total / params.repeats
    fraction = fraction.reshape(len(rows), x.size, params.pixels, params.pixels)
    if params.dose == 0:
        return fraction.astype(np.float32)
    electrons = params.dose * params.scan_step**2
    counts = [params.counted(one * electrons, tilt, int(row)) for one, row in zip(fraction, rows, strict=True)]
    return np.stack(counts).astype(np.float32)


def _warn_of_a_small_window(params: DiffractionParams, grid: WaveGrid) -> None:
    """Tell where the cone of the probe, out of focus, does not fit its window."""
    edge = grid.rows * grid.pixel
    width = 2 * abs(params.defocus) * math.tan(params.semi_angle * 1e-3)
    if width > edge:
        text = (
            f"out of focus by {params.defocus:g} angstrom the probe is {width:.3g} angstrom wide, its window {edge:.3g}"
        )
        warnings.warn(f"{text}: it meets itself; raise window", AetxWarning, stacklevel=3)
