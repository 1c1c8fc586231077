"""What images would tell about atoms: the parameters that all bounds share, and the Fisher information they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.atoms import column_of, cross_sections, require_elements
from aetx.core.params import Energy, Length, Params, SmallAngle
from aetx.core.tomography import pixel_size
from aetx.errors import InputError, Problem
from aetx.kernels import bound, fisher
from aetx.kernels.mixtures import gaussians, radius
from aetx.kernels.projection import rotation
from aetx.kernels.scattering import kirkland
from aetx.model import positions

F64 = NDArray[np.float64]

BEYOND = 5e-4
"""Part of the information about a lone atom that may lie outside its window."""
DENSE = 6000
"""Unknowns of atoms up to which the bound is computed exactly unless the method is named."""

Freedom = Literal["fixed", "shared", "each"]


class InformationParams(Params):
    """How atoms are seen, what beside their positions is unknown, and how the bound is computed."""

    pixel_size: Length = Field(0.358, gt=0, le=10, description="edge of a pixel")
    width: Length = Field(0.45, gt=0, le=10, description="Gaussian standard deviation of an atom in the image")
    columns: tuple[Literal["width"], ...] = Field(
        (), max_length=1, description="columns of the atoms that say the width of each"
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
    background: float = Field(0.0, ge=0, le=1e6, description="mean electrons per pixel beside those of the atoms")
    read_noise: float = Field(0.0, ge=0, le=1e6, description="standard deviation of the reading noise, electrons")
    angles: bool = Field(True, description="the three angles of each image are unknown")
    shifts: bool = Field(True, description="the shift of each image is unknown")
    scale: bool = Field(False, description="the intensity scale of each image is unknown")
    heights: Freedom = Field(
        "fixed", description="signal of the atoms: known, one unknown for each element, or one for each atom"
    )
    widths: Freedom = Field(
        "fixed", description="width of the atoms: known, one unknown for each element, or one for each atom"
    )
    method: Literal["auto", "exact", "stochastic"] = Field(
        "auto", description="the whole matrix, random errors with the right covariance, or by the number of atoms"
    )
    samples: int = Field(16, ge=2, le=10_000, description="random errors of the stochastic method")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random errors")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner below outer, {self.outer:g} mrad")
        if self.columns and "width" in self.model_fields_set:
            raise ValueError("either the column width or width, not both")
        if self.method == "exact" and (twice := sorted({"samples", "seed"} & self.model_fields_set)):
            raise ValueError(f"either the exact method or {', '.join(twice)}, not both")
        return self

    @property
    def free(self) -> bound.Free:
        """What is unknown beside the positions."""
        return bound.Free(self.angles, self.shifts, self.scale, self.heights, self.widths)

    def in_words(self) -> str:
        """Name what is unknown."""
        found = ["positions"]
        found += [name for name in ("angles", "shifts", "scale") if getattr(self, name)]
        for name in ("heights", "widths"):
            choice = getattr(self, name)
            if choice != "fixed":
                found.append(f"{name} of {'each atom' if choice == 'each' else 'each element'}")
        return ", ".join(found)

    def chosen(self, atoms: int, most: int = DENSE) -> Literal["exact", "stochastic"]:
        """Return the method for a number of atoms."""
        if self.method != "auto":
            return self.method
        return "exact" if atoms * self.free.unknowns <= most else "stochastic"


def electrons(stage: str, species: NDArray[np.integer], params: InformationParams) -> F64:
    """Return the cross-section of each atom for scattering onto the detector, angstrom**2, shape (atoms,)."""
    if params.profile == "kirkland":
        require_elements(stage, species, "set profile: gaussian")
    return cross_sections(stage, species, params.contrast, params.energy, params.inner, params.outer)


def information(
    stage: str,
    atoms: xr.Dataset,
    params: InformationParams,
    angles: F64,
    dose: F64,
    frame: xr.Dataset | None = None,
    place: Mapping[str, float] | None = None,
) -> bound.Information:
    """Return the Fisher information about atoms in images that are not yet taken.

    Parameters
    ----------
    stage
        Who asks, for the messages.
    atoms
        At least one, each with a finite position.
    params
        How they are seen and what is unknown.
    angles
        phi, theta, psi of each image, degree, shape (images, 3).
    dose
        Electrons per angstrom**2 of each image, shape (images,).
    frame
        Coordinates `y` and `x` of the pixels, and `mask` where there is one; None for pixels that hold every atom.
    place
        Position of the rotation centre by the names of the axes, angstrom.
    """
    centre = place or dict.fromkeys("xyz", 0.0)
    position = positions(atoms) - np.array([centre[axis] for axis in "xyz"])
    if not len(position) or not np.isfinite(position).all():
        found = f"{int((~np.isfinite(position)).any(axis=1).sum())} of {len(position)} atoms without a position"
        raise InputError(Problem(f"{stage}: atoms", "position", found, "at least one, and each finite", "mend them"))
    species, step = atoms["species"].values, params.pixel_size
    width = column_of(stage, atoms, "width", above=0) if params.columns else np.full(species.size, params.width)
    if frame is not None:
        step = pixel_size(frame)
    height = dose[:, None] * electrons(stage, species, params)
    turned = rotation(*np.deg2rad(angles).T)
    numbers, sort = np.unique(species, return_inverse=True)
    weight, spread, reach = _profiles(numbers, width, params)
    half = math.ceil(reach / step)
    seen = np.einsum("nk,tkl->tnl", position, turned)[:, :, :2] / step
    low, size, mask = _pixels(seen, half, frame, step)
    scene = fisher.Scene(
        seen - low, height, width / step, sort.astype(np.int64), weight, spread / step, half, size[1], size[0]
    )
    ones = np.ones((len(position), 1, 1))
    kinds = np.array([fisher.HEIGHT], np.int64)
    told = np.empty((len(angles), size[1], size[0]))
    for image in range(len(angles)):
        variance = scene.forward(image, kinds, ones)[:, :, 0] + params.background + params.read_noise**2
        told[image] = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
    if mask is not None:
        told *= mask
    return bound.Information(scene, position, turned, step, told, params.free)


def solved(stage: str, made: bound.Information, params: InformationParams, method: str, samples: int) -> bound.Bound:
    """Return the bound, or say in words why there is none."""
    try:
        if method == "exact":
            return bound.exact(made)
        return bound.stochastic(made, samples, params.seed)
    except bound.UndeterminedError as error:
        raise InputError(
            Problem(
                f"{stage}: atoms",
                "unknowns",
                f"{len(made.position)} atoms in {len(made.turned)} images: {error}",
                "images that determine every atom",
                f"take more images over a wider range, or free less than {params.in_words()}",
            )
        ) from error


def forecast_of(atoms: int, images: int, params: InformationParams, method: str, samples: int) -> tuple[int, float]:
    """Return bytes and seconds for a bound of some atoms in some images."""
    size = atoms * params.free.unknowns
    nuisances = images * params.free.per_image + 8
    window = (10 * params.width / params.pixel_size + (8 if params.profile == "kirkland" else 2)) ** 2
    edge = 3.0 * max(atoms, 1) ** (1 / 3) / params.pixel_size + 2 * math.sqrt(window)
    pictures = images * edge**2 * 8
    if method == "exact":
        memory = 8 * size**2 + 32 * size * nuisances + pictures
        return int(memory) + 50_000_000, 1.0 + size**3 * 2e-11 + images * atoms ** (5 / 3) * window * 2e-9
    memory = size * (24 * nuisances + 80 * bound.BATCH) + pictures + edge**2 * bound.BATCH * 32
    return int(memory) + 50_000_000, 1.0 + images * atoms * window * math.ceil(samples / bound.BATCH) * 8e-7


def _profiles(numbers: NDArray[np.integer], width: F64, params: InformationParams) -> tuple[F64, F64, float]:
    """Return weights and spreads of the Gaussians of each element, and how far an atom reaches, angstrom."""
    least, most = float(width.min()), float(width.max())
    pairs = [(np.ones(1), np.zeros(1))] * len(numbers)
    if params.profile == "kirkland":
        pairs = [gaussians(lambda q, z=int(z): kirkland(z, q) / kirkland(z, 0.0), least) for z in numbers]  # type: ignore[misc]
    weight, spread = (np.zeros((len(pairs), max(len(one[0]) for one in pairs))) for _ in range(2))
    for row, (share, wide) in enumerate(pairs):
        weight[row, : share.size], spread[row, : wide.size] = share, wide
    return weight, spread, max(radius(*pair, most, BEYOND) for pair in pairs)


def _pixels(seen: F64, half: int, frame: xr.Dataset | None, step: float) -> tuple[F64, tuple[int, int], Any]:
    """Return the pixel of index 0, the columns and rows, and the mask of the part of the images that atoms reach."""
    low = np.floor(seen.min(axis=(0, 1))) - half - 1
    high = np.ceil(seen.max(axis=(0, 1))) + half + 2
    if frame is None:
        return low, (int(high[0] - low[0]), int(high[1] - low[1])), None
    corner = np.array([float(frame[axis][0]) / step for axis in "xy"])
    size = np.array([frame.sizes[axis] for axis in "xy"])
    first = np.clip(low - np.floor(corner), 0, size - 1).astype(int)
    last = np.clip(high - np.floor(corner), first + 1, size).astype(int)
    mask = None
    if "mask" in frame:
        part = frame["mask"].transpose("tilt", "y", "x")[:, first[1] : last[1], first[0] : last[0]]
        mask = part.values.astype(bool)
    return corner + first, (int(last[0] - first[0]), int(last[1] - first[1])), mask
