"""Linear ADF images of atoms: what a detector would see on average, without channelling."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, Self

import dask.array as da
import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Energy, Forecast, InputSizes, Length, SmallAngle, optional, stage
from aetx.core.atoms import column_of, cross_sections, require_elements
from aetx.core.tilts import SeriesParams, framed, series_sizes
from aetx.errors import AetxWarning
from aetx.kernels import rendering
from aetx.kernels.profiles import NARROW
from aetx.model import ATOMS, TILT_SERIES, positions, units

WIDTHS, HEIGHTS = (1 / 3, 2.0), (1 / 2, 3 / 2)
"""Limits of an atom's width and height in units of their means, as in the published training data."""


class ImagesParams(SeriesParams):
    """Parameters of `images`."""

    width: Length = Field(0.45, gt=0, le=10, description="mean Gaussian standard deviation of an atom in the image")
    width_spread: Length = Field(0.0, ge=0, le=5, description="standard deviation of the width from atom to atom")
    height_spread: float = Field(
        0.0, ge=0, le=1, description="standard deviation of the signal from atom to atom, as a fraction of it"
    )
    columns: tuple[Literal["width", "intensity"], ...] = Field(
        (), max_length=2, description="columns of the atoms that say the width, or the integral, of each"
    )
    profile: Literal["gaussian", "kirkland"] = Field(
        "gaussian", description="shape of an atom: a Gaussian, or that with the element's scattering factor f(q)/f(0)"
    )
    contrast: Literal["element", "equal"] = Field(
        "element", description="signal of an atom: by its element (Born approximation), or that of Pt for all"
    )
    energy: Energy = Field(300.0, gt=0, le=5000, description="kinetic energy of the electrons")
    inner: SmallAngle = Field(40.0, ge=0, le=1000, description="inner edge of the annular detector")
    outer: SmallAngle = Field(200.0, gt=0, le=1000, description="outer edge of the annular detector")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the errors of the angles and of what varies")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner below outer, {self.outer:g} mrad")
        voided = {"width": {"width", "width_spread"}, "intensity": set(SIGNAL)}
        for column in self.columns:
            if twice := sorted(voided[column] & self.model_fields_set):
                raise ValueError(f"either the column {column} or {', '.join(twice)}, not both")
        return self


SIGNAL = ("height_spread", "contrast", "energy", "inner", "outer")
"""Parameters that say how much signal an atom gives."""


def _forecast(inputs: InputSizes, params: ImagesParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    sizes = series_sizes(inputs, params)
    area = sizes["y"] * sizes["x"]
    window = min((2 * rendering.REACH * params.width / params.pixel_size + 2) ** 2, float(area))
    pixels = area * (1 + 25 * _finer(params) ** 2 * (params.profile == "kirkland"))
    seconds = sizes["tilt"] * (pixels * 2e-9 + atoms * (window * 6e-10 + 6e-8)) + 0.05
    return Forecast(sizes, memory=2 * int(area * 12 + (pixels - area) * 1.2) + atoms * 200, seconds=seconds)


def _finer(params: ImagesParams) -> int:
    """Return into how many along each axis the narrowest atoms divide a pixel."""
    narrowest = params.width * (WIDTHS[0] if params.width_spread else 1) / params.pixel_size
    return min(math.ceil(NARROW / narrowest), rendering.FINEST)


@stage(
    "simulate.images",
    takes={"atoms": ATOMS, "like": optional(TILT_SERIES)},
    gives=TILT_SERIES,
    params=ImagesParams,
    version=2,
    forecast=_forecast,
)
def images(atoms: xr.Dataset, like: xr.Dataset | None, params: ImagesParams) -> xr.Dataset:
    """Linear ADF-STEM images of atoms at given tilts, as fractions of the incident electrons, without noise.

    An atom at r appears at the x and y of p = transpose(R) r with R = Rz(phi) Ry(theta) Rx(psi), as

        I(x, y) = sigma * G(x - p_x, y - p_y),     G(x, y) = exp(-(x**2 + y**2) / (2 w**2)) / (2 pi w**2)

    whose integral is the cross-section sigma for scattering onto the annular detector (0.0229 angstrom**2 for Pt in
    the first Born approximation, 40-200 mrad, 300 keV: 175 electrons at 7,656 e/angstrom**2); Gaussians narrower than
    a pixel are integrated over it. With `profile: kirkland` the transform of G is multiplied by f(q) / f(0) of the
    element. An `intensity` among the columns is that integral; where its unit is not angstrom**2, the images have its
    unit per angstrom**2.

    The poses and the pixels are those stated, or those of a series `like`. Images are drawn with `true_phi`,
    `true_theta` and `true_psi`; the coordinates phi, theta and psi are those without the error, which is what an
    experimenter knows. Widths that vary stay within 1/3 and 2 of their mean, signals within 1/2 and 3/2. Lazy, one
    image per chunk.

    A linear model knows no channelling: real columns of atoms along the beam are brighter than their sum.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (conditions);
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2 (cross-sections).
    """
    generator = np.random.default_rng(params.seed)
    frame = framed("simulate.images", params, like, generator)
    series, step = frame.series, frame.step
    width = _widths(atoms, params, generator)
    height, unit = _heights(atoms, params, generator)
    species = atoms["species"].values
    if params.profile == "kirkland":
        require_elements("simulate.images", species, "set profile: gaussian")
    position = positions(atoms) - frame.centre
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    count, rows, columns = (series.sizes[axis] for axis in ("tilt", "y", "x"))
    last = (corner[0] + (columns - 1) * step, corner[1] + (rows - 1) * step)
    _warn_of_atoms_outside(position, frame.true, corner, last)
    data = da.map_blocks(
        _draw,
        da.arange(count, chunks=1),
        new_axis=[1, 2],
        chunks=((1,) * count, (rows,), (columns,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        poses=np.deg2rad(frame.true),
        position=position,
        height=height,
        width=width / step,
        species=species if params.profile == "kirkland" else None,
        corner=corner,
        step=step,
        shape=(rows, columns),
    )
    return series.assign(image=(("tilt", "y", "x"), data, {"units": unit}))


def _draw(number: np.ndarray, **scene: Any) -> np.ndarray:
    return np.stack([_image(int(index), **scene) for index in number])


def _image(
    index: int,
    *,
    poses: np.ndarray,
    position: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    species: np.ndarray | None,
    corner: np.ndarray,
    step: float,
    shape: tuple[int, int],
) -> np.ndarray:
    """Draw one image: heights in units of pixel**2 go in, so that the sum of the image times pixel**2 is theirs."""
    seen = (rendering.to_camera(position, *poses[index])[:, :2] - corner) / step
    x, y = np.ascontiguousarray(seen[:, 0]), np.ascontiguousarray(seen[:, 1])
    if species is None:
        return rendering.render(x, y, height / step**2, width, *shape)
    return rendering.scattered(x, y, height / step**2, width, species, step, *shape)


def _widths(atoms: xr.Dataset, params: ImagesParams, generator: np.random.Generator) -> np.ndarray:
    """Return the width of each atom, angstrom."""
    if "width" in params.columns:
        return column_of("simulate.images", atoms, "width", above=0)
    return params.width * _spread(params.width_spread / params.width, WIDTHS, atoms.sizes["atom"], generator)


def _heights(atoms: xr.Dataset, params: ImagesParams, generator: np.random.Generator) -> tuple[np.ndarray, str]:
    """Return the integral of each atom, and the unit of the images."""
    if "intensity" in params.columns:
        height = column_of("simulate.images", atoms, "intensity")
        return height, units.canonical(f"({atoms['intensity'].attrs['units']})/angstrom**2")
    species = atoms["species"].values
    height = cross_sections("simulate.images", species, params.contrast, params.energy, params.inner, params.outer)
    return height * _spread(params.height_spread, HEIGHTS, species.size, generator), "1"


def _spread(spread: float, limits: tuple[float, float], count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw factors about one from a normal distribution cut at the limits."""
    factor = np.ones(count)
    if spread > 0:
        factor = generator.normal(1.0, spread, count)
        while (outside := (factor < limits[0]) | (factor > limits[1])).any():
            factor[outside] = generator.normal(1.0, spread, int(outside.sum()))
    return factor


def _warn_of_atoms_outside(
    position: np.ndarray, angles: np.ndarray, first: np.ndarray, last: tuple[float, float]
) -> None:
    outside = np.zeros(len(position), bool)
    for pose in np.deg2rad(angles):
        seen = rendering.to_camera(position, *pose)[:, :2]
        outside |= ((seen < first) | (seen > last)).any(axis=1)
    if outside.any():
        text = f"{int(outside.sum())} of {len(position)} atoms are outside the images at some tilts"
        warnings.warn(f"{text}: raise 'pixels' if they should be seen", AetxWarning, stacklevel=4)
