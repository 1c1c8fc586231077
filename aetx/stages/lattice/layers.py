"""Close-packed layers: their hexagonal lattices, disorder, stacking and rotation."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.lattice import basis_of
from aetx.errors import InputError, Problem
from aetx.kernels import layers as kernel
from aetx.kernels.flat import about
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import LATTICE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Sign = Literal[-1, 1]

TYPES = ("fcc", "hcp")
ONE, ANGSTROM, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}
LETTERS = {**ONE, "flag_values": [-1, 0, 1, 2], "flag_meanings": "unknown A B C"}
STACKINGS = {**ONE, "flag_values": [-1, 1, 2], "flag_meanings": "unknown fcc hcp"}


class LayersParams(Params):
    """Parameters of `layers`."""

    normal: tuple[Sign, Sign, Sign] | None = Field(
        None,
        description="<111> of fcc across the layers, in the lattice of `grain`; none for its greatest twin plane",
    )
    grain: int = Field(0, ge=0, le=1_000_000, description="grain whose lattice says how layers lie")
    separation: float = Field(
        0.5, gt=0, le=0.5, description="farthest of an atom from the height of its layer, over the spacing of layers"
    )
    tolerance: Length = Field(0.7, gt=0, le=10, description="farthest of an atom from the end of a bond in its layer")
    least: int = Field(3, ge=1, le=1_000_000, description="fewest atoms with six neighbours of a layer that is fitted")
    surface: float = Field(
        1.5,
        gt=0.5,
        le=100,
        description="radius of the alpha shape that tells surface from core, where no column `surface` does, in median "
        "distances of nearest neighbours",
    )


def _forecast(inputs: InputSizes, _: LayersParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    kept = {axis: sizes[axis] for axis in ("atom", "grain_id", "vector", "axis", "axis2") if axis in sizes}
    return Forecast(kept, 10_000_000 + 4000 * atoms, 0.3 + 6e-5 * atoms)


@stage("lattice.layers", takes={"lattice": LATTICE}, gives=LATTICE, params=LayersParams, version=1, forecast=_forecast)
def layers(lattice: xr.Dataset, params: LayersParams) -> xr.Dataset:
    """Lattice with its close-packed layers: height, hexagonal lattice and RMSD of each, stacking, and rotation.

    Layers are across a <111> of fcc, or the axis of hcp. Without `normal` it is that of the greatest twin plane of the
    grain, from lattice.boundaries. `layer` counts them along the normal from 0, -1 for atoms that are in none. The
    atoms of each are projected along the normal, and a lattice of equilateral triangles is fitted to them as by
    lattice.fit: `layer_rmsd` = sqrt(mean d**2) with d the distance in the plane of an atom from its site, for all atoms
    on sites, those of the surface and the others; `layer_spacing` is the distance of neighbours, `layer_angle` how
    far the lattice is turned about the normal from the first axis of the plane, modulo 60 degrees, and
    `layer_rotation` how far from the layer below. `layer_letter` is A, B or C by the hollows in which each layer lies
    on the one below, starting with A at the lowest layer that is fitted; `layer_stacking` is fcc where the layers above
    and below differ, hcp where they are the same letter; `layer_share` is how many atoms agree on the hollow that leads
    from the layer below. ``attrs["stacking"]`` spells the letters from the lowest layer up.

    NaN, and -1, where a layer has too few atoms. Errors are as in lattice.fit.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022), Methods.
    """
    place = finite_positions("lattice.layers: lattice", lattice)
    distance, spacing, normal = _geometry(lattice, params)
    axes = about(normal)
    axes = axes if axes[:, 2] @ normal > 0 else axes * [1.0, -1.0, -1.0]
    flat = place @ axes
    known = covariances(lattice)
    covariance = axes.T @ known @ axes if np.isfinite(known).any() else None
    number, height = kernel.split(flat[:, 2], spacing, params.separation)
    members = [np.flatnonzero(number == k) for k in range(len(height))]
    found = [kernel.fitted(flat, covariance, one, distance, params.tolerance, params.least) for one in members]
    outer = _outer(lattice, place, params)
    step, share = kernel.steps(flat, found, members)
    lowest = next((k for k, one in enumerate(found) if one.grain is not None), 0)
    letter = kernel.letters(step, lowest) if found else np.empty(0, np.int64)
    text = "".join("?ABC"[one + 1] for one in letter)
    table = {"layer": ("atom", number.astype(np.int32), ONE), "layer_normal": ("axis", axes[:, 2].copy(), ONE)}
    columns = _columns(found, members, height, outer, letter, kernel.stacking(step) if found else letter, share)
    return lattice.drop_dims("layer_id", errors="ignore").assign({**table, **columns}).assign_attrs(stacking=text)


def _geometry(lattice: xr.Dataset, params: LayersParams) -> tuple[float, float, F64]:
    """Return the distance of neighbours, the spacing of layers, and their normal, which is a unit vector."""
    where, name = "lattice.layers: lattice", str(lattice.attrs.get("lattice", "unknown"))
    if name not in TYPES:
        fix = "fit a lattice of one of these types"
        raise InputError(Problem(where, "attrs['lattice']", name, "fcc or hcp", fix))
    grains = lattice.sizes.get("grain_id", 0)
    if params.grain >= grains:
        raise InputError(
            Problem(where, "grain", str(params.grain), f"one of {grains} grains", "name one that is there")
        )
    basis = basis_of(lattice)[params.grain]
    if name == "hcp":
        if params.normal is not None:
            fix = "leave normal out"
            raise InputError(Problem(where, "normal", str(params.normal), "none: layers of hcp are across c", fix))
        across, edge = np.cross(basis[0], basis[1]), float(np.linalg.norm(basis[0]))
        normal = across / np.linalg.norm(across)
        return edge, 0.5 * float(abs(basis[2] @ normal)), normal
    edge = float(abs(np.linalg.det(basis)) ** (1 / 3))
    if params.normal is None:
        return edge / math.sqrt(2), edge / math.sqrt(3), _twin_normal(lattice, params.grain)
    reciprocal = np.linalg.inv(basis) @ np.array(params.normal, float)
    return edge / math.sqrt(2), 1 / float(np.linalg.norm(reciprocal)), reciprocal / np.linalg.norm(reciprocal)


def _twin_normal(lattice: xr.Dataset, grain: int) -> F64:
    """Return the normal of the greatest twin plane of a grain, towards +z."""
    if "plane_grains" in lattice:
        own = np.flatnonzero((lattice["plane_grains"].values == grain).any(axis=1))
        if own.size:
            greatest = own[lattice["plane_atoms"].values[own].argmax()]
            normal = lattice["plane_normal"].sel(axis=["x", "y", "z"]).transpose("plane", "axis").values[greatest]
            return np.asarray(about(normal)[:, 2])
    fix = "state normal, for example (1, 1, 1), or run lattice.boundaries on a lattice with twins first"
    raise InputError(Problem("lattice.layers: lattice", "normal", "no twin plane", "which <111> is meant", fix))


def _outer(lattice: xr.Dataset, place: F64, params: LayersParams) -> Mask:
    if "surface" in lattice:
        return np.asarray(lattice["surface"].values, bool)
    return surface(place, params.surface * neighbour_distance(place))


def _columns(
    found: list[kernel.Layer],
    members: list[I64],
    height: F64,
    outer: Mask,
    letter: I64,
    stacked: I64,
    share: F64,
) -> dict[str, tuple[Any, ...]]:
    count = len(found)
    turn = [(math.nan, math.nan), *(kernel.relative(a, b) for a, b in pairwise(found))][:count]
    rmsd = np.array([[_rmsd(one, part) for part in (None, outer, ~outer)] for one in found]).reshape(count, 3)

    def column(values: Any, attrs: dict[str, Any]) -> tuple[Any, ...]:
        return "layer_id", np.asarray(values), attrs

    def angles(values: list[float]) -> tuple[Any, ...]:
        return column(np.rad2deg(np.array(values, np.float64)), DEGREE)

    return {
        "layer_height": column(height, ANGSTROM),
        "layer_atoms": column(np.array([one.size for one in members], np.int64), ONE),
        "layer_on_site": column(np.array([one.member.size for one in found], np.int64), ONE),
        "layer_rmsd": column(rmsd[:, 0], ANGSTROM),
        "layer_rmsd_surface": column(rmsd[:, 1], ANGSTROM),
        "layer_rmsd_core": column(rmsd[:, 2], ANGSTROM),
        "layer_spacing": column([_of(one, "scale") for one in found], ANGSTROM),
        "layer_spacing_error": column([_of(one, "scale_error") for one in found], ANGSTROM),
        "layer_angle": angles([one.angle for one in found]),
        "layer_angle_error": angles([one.angle_error for one in found]),
        "layer_rotation": angles([one[0] for one in turn]),
        "layer_rotation_error": angles([one[1] for one in turn]),
        "layer_letter": column(letter.astype(np.int32), LETTERS),
        "layer_stacking": column(stacked.astype(np.int32), STACKINGS),
        "layer_share": column(np.concatenate([[math.nan], share])[:count], ONE),
    }


def _of(one: kernel.Layer, name: str) -> float:
    return math.nan if one.grain is None else float(getattr(one.grain.fit, name))


def _rmsd(one: kernel.Layer, part: Mask | None) -> float:
    if one.grain is None:
        return math.nan
    away = one.grain.fit.residual if part is None else one.grain.fit.residual[part[one.member]]
    return math.sqrt(float((away**2).sum(axis=1).mean())) if len(away) else math.nan
