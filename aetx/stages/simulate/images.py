"""Linear ADF images of atoms, with counting noise and errors of the angles."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Angle, Dose, Forecast, InputSizes, Length, Params, stage
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import rendering
from aetx.model import ATOMS, TILT_SERIES, positions

NARROWEST, WIDEST = 1 / 3, 2.0
"""Limits of an atom's width in units of the mean width, as in the published training data."""


class ImagesParams(Params):
    """Parameters of `images`."""

    tilts: int = Field(21, ge=1, le=10_000, description="number of images, at even steps from first to last")
    first: Angle = Field(-65.0, ge=-360, le=360, description="theta of the first image")
    last: Angle = Field(65.0, ge=-360, le=360, description="theta of the last image")
    angles: tuple[Angle, ...] = Field(
        (), max_length=10_000, description="theta of every image; then first, last and tilts are not used"
    )
    phi: Angle = Field(0.0, ge=-360, le=360, description="phi of every image")
    psi: Angle = Field(0.0, ge=-360, le=360, description="psi of every image")
    tilt_error: Angle = Field(
        0.4, ge=0, le=20, description="greatest error of each of the three angles; the series carries those without"
    )
    pixels: int = Field(256, ge=2, le=16384, description="rows and columns of each image")
    pixel_size: Length = Field(0.358, gt=0, le=10, description="edge of a pixel")
    width: Length = Field(0.45, gt=0, le=10, description="mean Gaussian standard deviation of an atom in the image")
    width_spread: Length = Field(0.0, ge=0, le=5, description="standard deviation of the width from atom to atom")
    contrast: Literal["element", "equal"] = Field(
        "element", description="signal of an atom: by its element (Born approximation), or that of Pt for all"
    )
    dose: Dose = Field(7656.0, gt=0, le=1e9, description="electrons per area of each image")
    background: float = Field(0.0, ge=0, le=1e6, description="mean electrons per pixel beside those of the atoms")
    background_variation: float = Field(
        0.0, ge=0, le=1, description="greatest smooth deviation of the background, as a fraction of it"
    )
    noise: Literal["poisson", "none"] = Field("poisson", description="counting and reading noise, or neither")
    gain: float = Field(1.0, gt=0, le=1e6, description="counts per detected electron")
    offset: float = Field(0.0, ge=-1e6, le=1e6, description="counts without any electron")
    read_noise: float = Field(0.0, ge=0, le=1e6, description="standard deviation of the reading noise, counts")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers, one stream for each image")


def _forecast(inputs: InputSizes, params: ImagesParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    tilts = len(params.angles) or params.tilts
    window = (2 * (rendering.REACH * params.width / params.pixel_size + 2)) ** 2
    area = params.pixels**2
    seconds = tilts * (area * 1e-7 + min(atoms * window, atoms * float(area)) * 1e-9) + 0.05
    return Forecast(
        {"tilt": tilts, "y": params.pixels, "x": params.pixels}, memory=2 * area * 40 + atoms * 100, seconds=seconds
    )


@stage(
    "simulate.images",
    takes={"atoms": ATOMS},
    gives=TILT_SERIES,
    params=ImagesParams,
    version=1,
    forecast=_forecast,
)
def images(atoms: xr.Dataset, params: ImagesParams) -> xr.Dataset:
    """Linear ADF-STEM images of atoms at given tilts, in counts.

    An atom at r appears at the x and y of p = transpose(R) r with R = Rz(phi) Ry(theta) Rx(psi), as a Gaussian

        I(x, y) = dose * pixel**2 * sigma / (2 pi w**2) * exp(-((x - p_x)**2 + (y - p_y)**2) / (2 w**2))

    whose sum is dose times the cross-section sigma for scattering onto the detector (0.0229 angstrom**2 for Pt in
    the first Born approximation, 40-200 mrad, 300 keV: 175 electrons at 7,656 e/angstrom**2); widths below one
    pixel are integrated over the pixel. The background is added, then z = gain * Poisson(I) + offset +
    Normal(0, read_noise). Images are drawn with `true_phi`, `true_theta` and `true_psi`; the coordinates phi, theta
    and psi are those without the error, which is what an experimenter knows. Lazy, one image per chunk.

    A linear model knows no channelling: real columns of atoms along the beam are brighter than their sum.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (conditions);
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2 (cross-sections).
    """
    theta = np.array(params.angles) if params.angles else np.linspace(params.first, params.last, params.tilts)
    nominal = np.stack([np.full(theta.size, params.phi), theta, np.full(theta.size, params.psi)], axis=1)
    streams = np.random.SeedSequence(params.seed).spawn(theta.size + 1)
    generator = np.random.default_rng(streams[0])
    true = nominal + generator.uniform(-params.tilt_error, params.tilt_error, nominal.shape)
    position = positions(atoms)
    width = np.full(len(position), params.width)
    if params.width_spread > 0:
        width = _spread(params.width, params.width_spread, len(position), generator)
    _warn_of_atoms_outside(position, params)
    scene = {
        "poses": np.deg2rad(true),
        "position": position,
        "height": params.dose * _cross_sections(atoms, params),
        "width": width,
        "params": params,
        "streams": streams[1:],
    }
    size = params.pixels
    data = da.map_blocks(
        _draw,
        da.arange(theta.size, chunks=1),
        new_axis=[1, 2],
        chunks=((1,) * theta.size, (size,), (size,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        **scene,
    )
    return _label(data, nominal, true, params)


def _draw(number: np.ndarray, **scene: Any) -> np.ndarray:
    return np.stack([_image(int(index), **scene) for index in number])


def _image(
    index: int,
    *,
    poses: np.ndarray,
    position: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    params: ImagesParams,
    streams: list[np.random.SeedSequence],
) -> np.ndarray:
    """Draw one image; its random numbers depend on the seed and on its number only."""
    size, step = params.pixels, params.pixel_size
    seen = rendering.to_camera(position, *poses[index]) / step + size // 2
    small = bool(width.size and width.min() < step)
    expected = rendering.render(
        np.ascontiguousarray(seen[:, 0]), np.ascontiguousarray(seen[:, 1]), height, width / step, size, size, small
    )
    generator = np.random.default_rng(streams[index])
    expected += rendering.smooth_level(size, size, params.background, params.background_variation, generator)
    if params.noise == "none":
        return (params.gain * expected + params.offset).astype(np.float32)
    return rendering.detect(expected, params.gain, params.offset, params.read_noise, generator)


def _cross_sections(atoms: xr.Dataset, params: ImagesParams) -> np.ndarray:
    species = atoms["species"].values
    if params.contrast == "equal":
        return np.full(species.size, rendering.PLATINUM)
    unknown = int((species <= 0).sum())
    if unknown:
        raise InputError(
            Problem(
                "simulate.images: atoms",
                "species",
                f"{unknown} atoms of unknown element",
                "an atomic number for each",
                "name the elements, or set contrast: equal",
            )
        )
    return rendering.adf_cross_section(species)


def _spread(mean: float, spread: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw widths from a normal distribution cut at the limits."""
    width = generator.normal(mean, spread, count)
    while (outside := (width < NARROWEST * mean) | (width > WIDEST * mean)).any():
        width[outside] = generator.normal(mean, spread, int(outside.sum()))
    return width


def _warn_of_atoms_outside(position: np.ndarray, params: ImagesParams) -> None:
    room = (params.pixels - params.pixels // 2 - 1) * params.pixel_size
    outside = int((np.linalg.norm(position, axis=1) > room).sum())
    if outside:
        text = f"{outside} of {len(position)} atoms are further from the centre than the edge of the images, {room:.1f}"
        warnings.warn(f"{text} angstrom: at some tilts they may not be seen", AetxWarning, stacklevel=4)


def _label(data: da.Array, nominal: np.ndarray, true: np.ndarray, params: ImagesParams) -> xr.Dataset:
    count, size = len(nominal), params.pixels
    axis = (np.arange(size) - size // 2) * params.pixel_size
    names = ("phi", "theta", "psi")
    return xr.Dataset(
        {
            "image": (("tilt", "y", "x"), data, {"units": "count"}),
            "dose": ("tilt", np.full(count, params.dose), {"units": "e/angstrom**2"}),
            **{f"true_{name}": ("tilt", true[:, i], {"units": "degree"}) for i, name in enumerate(names)},
        },
        coords={
            "tilt": ("tilt", np.arange(count), {"units": "1"}),
            **{name: ("tilt", nominal[:, i], {"units": "degree"}) for i, name in enumerate(names)},
            "y": ("y", axis, {"units": "angstrom"}),
            "x": ("x", axis, {"units": "angstrom"}),
        },
    )
