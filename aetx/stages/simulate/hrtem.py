"""HRTEM: bright-field images at each tilt and focus, by multislice, with partial coherence, dose and camera."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, Self

import dask.array as da
import numpy as np
import torch
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, SmallAngle, stage
from aetx.core.atoms import elements_of
from aetx.core.lens import WaveParams
from aetx.core.tilts import TiltParams, centred_axis, count_of, pose_coords, poses
from aetx.errors import AetxWarning
from aetx.kernels import rendering
from aetx.kernels.bright_field import Coherence, exit_wave, intensity, lens_transfer
from aetx.kernels.multislice import WaveGrid, good_size
from aetx.kernels.transfer import Camera
from aetx.model import ATOMS, FOCAL_SERIES, positions

BLOCKS = 2
"""Tilts in flight that the forecast counts."""


class HrtemParams(TiltParams, WaveParams):
    """Parameters of `hrtem`."""

    tilts: int = Field(1, ge=1, le=10_000, description="number of tilts, at even steps from first to last")
    first: Angle = Field(0.0, ge=-360, le=360, description="theta of the first tilt")
    last: Angle = Field(0.0, ge=-360, le=360, description="theta of the last tilt")
    defocus: tuple[Length, ...] = Field(
        (60.0,), min_length=1, max_length=1000, description="defocus of each image, under focus above 0"
    )
    spread: Length = Field(30.0, ge=0, le=1e4, description="spread of the focus, by energy and current")
    spread_is: Literal["half_width", "standard_deviation"] = Field(
        "half_width", description="what spread means: half width at 1/e, which is sqrt(2) larger, or standard deviation"
    )
    source: SmallAngle = Field(0.1, ge=0, le=20, description="half width at 1/e of the illumination angles")
    aperture: SmallAngle = Field(0.0, ge=0, le=500, description="half angle of the objective aperture; 0 for none")
    blur: Length = Field(0.0, ge=0, le=50, description="standard deviation of a Gaussian blur of the image")
    pixels: int = Field(256, ge=2, le=16384, description="rows and columns of each image")
    pixel_size: Length = Field(0.2, gt=0, le=10, description="edge of a pixel of the camera")
    margin: Length = Field(5.0, ge=0, le=1000, description="least room around the images, against wrapped waves")
    sampling: Length = Field(0.1, gt=0.005, le=1, description="greatest pixel of the wave")
    mtf_floor: float = Field(0.0, ge=0, lt=1, description="modulation transfer at highest frequencies, c1")
    mtf_half: float = Field(
        0.5, gt=0, le=100, description="where the modulation transfer has fallen by half, over twice Nyquist: c2"
    )
    mtf_power: float = Field(2.0, gt=0, le=20, description="steepness of the modulation transfer, c3")
    mtf_exponent: float = Field(
        1.0, ge=0, le=4, description="power to which the modulation transfer is raised; 0 for a perfect camera"
    )

    @model_validator(mode="after")
    def _nothing_is_void(self) -> Self:
        unused = sorted({"mtf_floor", "mtf_half", "mtf_power"} & self.model_fields_set)
        if self.mtf_exponent == 0 and unused:
            raise ValueError(f"mtf_exponent 0 leaves {', '.join(unused)} without effect")
        if self.spread == 0 and "spread_is" in self.model_fields_set:
            raise ValueError("spread 0 leaves spread_is without effect")
        return self


def _box(params: HrtemParams) -> tuple[int, int]:
    """Return the camera pixels of the periodic box, and how many pixels of the wave each has along an axis."""
    finer = math.ceil(params.pixel_size / params.sampling - 1e-9)
    size = params.pixels + 2 * math.ceil(params.margin / params.pixel_size)
    while good_size(size * finer) != size * finer:
        size += 1
    return size, finer


def _forecast(inputs: InputSizes, params: HrtemParams) -> Forecast:
    atoms, (size, finer) = inputs["atoms"][0].get("atom", 1), _box(params)
    area, foci = (size * finer) ** 2, len(params.defocus)
    slices = min(atoms, math.ceil(3 * atoms ** (1 / 3) / params.thickness) + 2)
    each = slices * area * 1.5e-7 + atoms * area**0.5 * 2e-8 + foci * area * 3e-7
    seconds = 0.1 + count_of(params) * (params.repeats * each + foci * size**2 * 3e-7)
    sizes = {"tilt": count_of(params), "focus": foci, "y": params.pixels, "x": params.pixels}
    memory = min(BLOCKS, count_of(params)) * (
        area * (240 + 40 * params.oversampling**2 + 8 * foci) + foci * size**2 * 40 + atoms * 200
    )
    return Forecast(sizes, memory=int(memory) + 100_000_000, seconds=seconds)


@stage(
    "simulate.hrtem",
    takes={"atoms": ATOMS},
    gives=FOCAL_SERIES,
    params=HrtemParams,
    version=1,
    forecast=_forecast,
)
def hrtem(atoms: xr.Dataset, params: HrtemParams, *, device: str) -> xr.Dataset:
    """Bright-field images of atoms at each tilt and defocus, as a camera records them.

    A plane wave passes the atoms, turned to p = transpose(R) r, slice by slice; behind the lens

        I = |F**-1(psi(q) A(q) exp(-i chi(q)) E_t(q) E_s(q))|**2

    with the defocus counted from p_z = 0, E_t = exp(-(pi lambda q**2 spread)**2 / 2) for a standard deviation, and
    E_s = exp(-(source / 2)**2 |gradient of chi|**2). Thermal motion is a Gaussian blur of the potential or, with
    `configurations`, the mean of the images over random displacements. The image is blurred, taken at the middle of
    each pixel, and scaled to a mean of `dose` times the area of a pixel, or of one; electrons are counted (Poisson);
    at last the spectrum of the counts, noise and all, is multiplied by the modulation transfer of the camera

        ((1 - c1) / (1 + (q / (2 c2 q_N))**c3) + c1)**exponent.

    Lazy, one tilt to a chunk. Weakness: quasi-coherent, so interference between scattered waves is damped as if each
    met the undisturbed wave alone.

    References
    ----------
    J. Madsen et al., Advanced Theory and Simulations 1, 1800037 (2018), doi:10.1002/adts.201800037 (camera, dose);
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2 (envelopes).
    """
    numbers = elements_of("simulate.hrtem", atoms)
    angles, defocus = poses(params), np.array(params.defocus, float)
    position = positions(atoms)
    _warn_of_atoms_outside(position, angles, params)
    shape = (len(angles), defocus.size, params.pixels, params.pixels)
    data = da.map_blocks(
        _images,
        da.arange(len(angles), chunks=1),
        new_axis=[1, 2, 3],
        chunks=((1,) * shape[0], *((size,) for size in shape[1:])),
        dtype=np.float32,
        meta=np.empty((0,) * 4, np.float32),
        poses=np.deg2rad(angles),
        position=position,
        numbers=numbers,
        params=params,
        device=device,
    )
    dose = {"dose": ("tilt", np.full(shape[0], params.dose), {"units": "e/angstrom**2"})}
    return xr.Dataset(
        {
            "image": (("tilt", "focus", "y", "x"), data, {"units": "count" if params.dose else "1"}),
            "defocus": (("tilt", "focus"), np.tile(defocus, (shape[0], 1)), {"units": "angstrom"}),
            "energy": ((), params.energy, {"units": "keV"}),
            **(dose if params.dose else {}),
        },
        coords={
            **pose_coords(angles),
            "y": centred_axis("y", params.pixels, params.pixel_size),
            "x": centred_axis("x", params.pixels, params.pixel_size),
        },
    )


def _images(tilt: np.ndarray, **scene: Any) -> np.ndarray:
    return np.stack([_focal_series(int(index), **scene) for index in tilt])


def _focal_series(
    tilt: int, *, poses: np.ndarray, position: np.ndarray, numbers: np.ndarray, params: HrtemParams, device: str
) -> np.ndarray:
    """Return the images of a tilt, shape (focus, y, x); the draws know their tilt and focus only."""
    size, finer = _box(params)
    grid = WaveGrid(size * finer, size * finer, params.pixel_size / finer, params.energy)
    expected = _expected(tilt, poses[tilt], position, numbers, grid, params, device)[:, ::finer, ::finer]
    start = size // 2 - params.pixels // 2
    view = (slice(None), slice(start, start + params.pixels), slice(start, start + params.pixels))
    expected = np.maximum(expected, 0) / expected[view].mean(axis=(1, 2), keepdims=True)
    if params.dose > 0:
        electrons = params.dose * params.pixel_size**2
        expected = np.stack([params.counted(one * electrons, tilt, i) for i, one in enumerate(expected)])
    camera = Camera(params.mtf_floor, params.mtf_half, params.mtf_power, params.mtf_exponent)
    return np.ascontiguousarray(camera.read(expected)[view])


def _expected(
    tilt: int,
    pose: np.ndarray,
    position: np.ndarray,
    numbers: np.ndarray,
    grid: WaveGrid,
    params: HrtemParams,
    device: str,
) -> np.ndarray:
    """Return the images on the grid of the wave, shape (focus, rows, columns), 1 in vacuum; float64."""
    spread = params.spread / math.sqrt(2) if params.spread_is == "half_width" else params.spread
    coherence = Coherence(spread, params.source, params.aperture)
    middle = (_box(params)[0] // 2) * params.pixel_size
    edge = grid.rows * grid.pixel
    total = np.zeros((len(params.defocus), grid.rows, grid.columns))
    for where in params.displaced(position, tilt):
        seen = rendering.to_camera(where, *pose) + np.array([middle, middle, 0.0])
        inside = ((seen[:, :2] >= 0) & (seen[:, :2] < edge)).all(axis=1)
        wave = exit_wave(
            seen[inside],
            numbers[inside],
            grid,
            params.thickness,
            width=params.width,
            oversampling=params.oversampling,
            device=device,
        )
        with torch.no_grad():
            for i, defocus in enumerate(params.defocus):
                lens = lens_transfer(grid, params.aberrations(defocus), coherence, device=device)
                total[i] += intensity(wave, lens, grid, params.blur).cpu().numpy()
    return total / params.repeats


def _warn_of_atoms_outside(position: np.ndarray, angles: np.ndarray, params: HrtemParams) -> None:
    room = (params.pixels // 2) * params.pixel_size
    outside = np.zeros(len(position), bool)
    for pose in np.deg2rad(angles):
        outside |= (np.abs(rendering.to_camera(position, *pose)[:, :2]) > room).any(axis=1)
    if outside.any():
        text = f"{int(outside.sum())} of {len(position)} atoms are at some tilt beyond the edge of the images"
        warnings.warn(f"{text}, {room:.1f} angstrom from the centre", AetxWarning, stacklevel=3)
