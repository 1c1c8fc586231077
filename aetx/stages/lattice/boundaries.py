"""Misorientation of grains, twins, and twin planes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Angle, Forecast, InputSizes, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.lattice import basis_of
from aetx.errors import InputError, Problem
from aetx.kernels import misorientation as kernel
from aetx.kernels import neighbours
from aetx.kernels.rotation import nearest_rotation
from aetx.kernels.unit_cell import UnitCell, named, turns
from aetx.model import LATTICE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

TWINNED = ("fcc", "diamond")
"""Lattices whose twins share a {111} plane."""
BOND = 1.2
"""Neighbours are within this times the distance of nearest sites."""
SHARED = 0.25
"""Farthest from a site of the other grain of an atom that both share, over the distance of nearest sites."""
ONE, ANGSTROM, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}
IDEAL = math.sqrt(8 / 3)


class BoundariesParams(Params):
    """Parameters of `boundaries`."""

    tolerance: Angle = Field(2.0, gt=0, le=15, description="greatest deviation of a twin from the perfect one")
    least: int = Field(3, ge=1, le=1_000_000, description="fewest atoms of a twin plane")


def _forecast(inputs: InputSizes, _: BoundariesParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    kept = {axis: sizes[axis] for axis in ("atom", "grain_id", "vector", "axis", "axis2") if axis in sizes}
    return Forecast(kept, 10_000_000 + 2000 * atoms, 0.2 + 1e-5 * atoms)


@stage(
    "lattice.boundaries",
    takes={"lattice": LATTICE},
    gives=LATTICE,
    params=BoundariesParams,
    version=1,
    forecast=_forecast,
)
def boundaries(lattice: xr.Dataset, params: BoundariesParams) -> xr.Dataset:
    """Lattice with the misorientation of its grains, the pairs that are twins, and the twin planes between them.

    `misorientation` is the smallest angle by which one grain must be turned to have the orientation of the other, with
    its axis and standard error. Of fcc and diamond, grains are twins where they are within `tolerance` of half a turn
    about a common <111> (sigma 3): `twin_deviation` is what remains, NaN where they are none. `twist` is the turn of
    one grain against the other about their common normal, positive if right-handed along the way from one to the other:
    of twins after the twin operation is taken off, of two grains that are twins of the same third one, about the same
    normal within `tolerance`, as it is.

    A twin plane is a layer that the lattices of both twins share where they meet. Each has `plane_normal` (from the
    first of `plane_grains` to the second), `plane_height` along it, and `plane_atoms`; `twin_plane` says which one an
    atom is in, -1 for none. Errors are those of the orientations, `orientation_covariance`, which knows only the errors
    of atoms and not that grains may be bent.

    References
    ----------
    V. Randle, "The coincidence site lattice and the sigma enigma", Mater. Charact. 47, 411 (2001),
    doi:10.1016/S1044-5803(02)00193-6.
    """
    grains = _grains(lattice)
    count = len(grains.orientation)
    angle, error = np.full((count, count), np.nan), np.full((count, count), np.nan)
    axis = np.full((count, count, 3), np.nan)
    for i, j in permutations(range(count), 2):
        turn = kernel.between(grains.orientation[i], grains.orientation[j], grains.turns)
        angle[i, j], axis[i, j] = turn.angle, turn.axis
        error[i, j] = turn.error(grains.covariance[i] + grains.covariance[j])
    np.fill_diagonal(angle, 0.0)
    pair = ("grain_id", "grain_id2")
    found = _twins(grains, math.radians(params.tolerance)) if lattice.attrs.get("lattice") in TWINNED else {}
    table: dict[str, tuple[Any, ...]] = {
        "misorientation": (pair, np.rad2deg(angle), DEGREE),
        "misorientation_error": (pair, np.rad2deg(error), DEGREE),
        "misorientation_axis": ((*pair, "axis"), axis, ONE),
        **_twist(grains, found, math.radians(params.tolerance)),
        **_planes(lattice, grains, found, params.least),
    }
    return lattice.drop_dims(["plane"], errors="ignore").assign(table)


@dataclass(frozen=True)
class _Grains:
    orientation: F64
    covariance: F64
    middle: F64
    turns: F64
    cell: UnitCell

    def onwards(self, first: int, second: int, normal: F64) -> F64:
        """Return the normal so that it points from one grain to the other."""
        return normal if (self.middle[second] - self.middle[first]) @ normal >= 0 else -normal


def _grains(lattice: xr.Dataset) -> _Grains:
    name = str(lattice.attrs.get("lattice", "unknown"))
    if name not in ("fcc", "bcc", "sc", "diamond", "perovskite", "hcp", "hex2d"):
        fix = "give the result of lattice.fit with a type of its own"
        raise InputError(Problem("lattice.boundaries: lattice", "attrs['lattice']", name, "a named lattice", fix))
    cell = named(name, IDEAL)
    basis = basis_of(lattice)
    orientation = np.array([_rotation(cell.vectors, one) for one in basis]).reshape(-1, 3, 3)
    if "orientation_covariance" in lattice:
        order = {"axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]}
        spread = lattice["orientation_covariance"].sel(order).transpose("grain_id", "axis", "axis2").values
        covariance = np.deg2rad(np.deg2rad(spread))
    else:
        covariance = np.full((len(basis), 3, 3), np.nan)
    place, grain = finite_positions("lattice.boundaries: lattice", lattice), lattice["grain"].values
    middle = np.array([place[grain == number].mean(axis=0) for number in range(len(basis))]).reshape(-1, 3)
    return _Grains(orientation, covariance, middle, turns(cell), cell)


def _rotation(vectors: F64, basis: F64) -> F64:
    """Return the rotation nearest to what takes the cell of the crystal to a basis; a flat cell keeps its normal."""
    if len(vectors) == 2:
        vectors = np.concatenate([vectors, np.cross(vectors[:1], vectors[1:])])
        basis = np.concatenate([basis, np.cross(basis[:1], basis[1:])])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True), np.linalg.norm(basis, axis=1, keepdims=True)
    return np.asarray(nearest_rotation((basis / lengths[1]).T @ (vectors / lengths[0])))


Pairs = dict[tuple[int, int], kernel.Twin]


def _twins(grains: _Grains, tolerance: float) -> Pairs:
    made: Pairs = {}
    for i, j in combinations(range(len(grains.orientation)), 2):
        one = kernel.twin(grains.orientation[i], grains.orientation[j], grains.turns)
        if one.rest.angle <= tolerance:
            made[i, j] = replace(one, normal=grains.onwards(i, j, one.normal))
    return made


def _twist(grains: _Grains, twins: Pairs, tolerance: float) -> dict[str, tuple[Any, ...]]:
    """Return what is left of twins, and the turns about normals."""
    count = len(grains.orientation)
    rest, rest_error, twist, twist_error = (np.full((count, count), np.nan) for _ in range(4))
    for (i, j), one in twins.items():
        covariance = grains.covariance[i] + grains.covariance[j]
        rest[i, j] = rest[j, i] = one.rest.angle
        rest_error[i, j] = rest_error[j, i] = one.rest.error(covariance)
        _set(twist, twist_error, (i, j), one.rest, one.normal, covariance)
    for i, j in combinations(range(count), 2):
        normal = _common(twins, i, j, tolerance)
        if normal is not None and (i, j) not in twins:
            normal = grains.onwards(i, j, normal)
            turn = kernel.between(grains.orientation[i], grains.orientation[j], grains.turns)
            _set(twist, twist_error, (i, j), turn, normal, grains.covariance[i] + grains.covariance[j])
    pair = ("grain_id", "grain_id2")
    return {
        "twin_deviation": (pair, np.rad2deg(rest), DEGREE),
        "twin_deviation_error": (pair, np.rad2deg(rest_error), DEGREE),
        "twist": (pair, np.rad2deg(twist), DEGREE),
        "twist_error": (pair, np.rad2deg(twist_error), DEGREE),
    }


def _set(twist: F64, error: F64, pair: tuple[int, int], turn: kernel.Turn, normal: F64, covariance: F64) -> None:
    """Write a turn about a normal from the first grain to the second; the other way, both change their sign."""
    i, j = pair
    twist[i, j] = twist[j, i] = turn.about(normal)
    error[i, j] = error[j, i] = math.sqrt(float(normal @ covariance @ normal))


def _common(twins: Pairs, i: int, j: int, tolerance: float) -> F64 | None:
    """Return the normal that two grains share as twins of a third one, None where they do not."""
    for third in {k for pair in twins for k in pair} - {i, j}:
        one, other = (twins.get((min(k, third), max(k, third))) for k in (i, j))
        if one is not None and other is not None:
            cosine = float(one.normal @ other.normal)
            if abs(cosine) > math.cos(tolerance):
                total = one.normal + math.copysign(1.0, cosine) * other.normal
                return np.asarray(total / np.linalg.norm(total))
    return None


def _planes(lattice: xr.Dataset, grains: _Grains, twins: Pairs, least: int) -> dict[str, tuple[Any, ...]]:
    place = finite_positions("lattice.boundaries: lattice", lattice)
    grain = np.asarray(lattice["grain"].values, np.int64)
    basis = basis_of(lattice)
    origin = lattice["origin"].sel(axis=["x", "y", "z"]).transpose("grain_id", "axis").values
    found: list[tuple[tuple[int, int], F64, float, I64]] = []
    if twins:
        edge = float(np.linalg.norm(basis[0, 0]))
        distance = edge / grains.cell.edge
        near = neighbours.within(place, BOND * distance)
        one_side, other_side = grain[near.source], grain[near.index]
        for (i, j), one in twins.items():
            meet = ((one_side == i) & (other_side == j)) | ((one_side == j) & (other_side == i))
            edge_atoms = np.unique(near.source[meet])
            off = [kernel.off_site(place[edge_atoms], origin[k], basis[k], grains.cell.motif) for k in (i, j)]
            shared = edge_atoms[np.maximum(*off) < SHARED * distance]
            if not shared.size:
                continue
            parts = kernel.planes(shared, place, one.normal, edge / math.sqrt(3), least)
            found += [((i, j), one.normal, height, atoms) for height, atoms in parts]
    found.sort(key=lambda one: -one[3].size)
    plane = np.full(len(place), -1, np.int32)
    for number in reversed(range(len(found))):
        plane[found[number][3]] = number
    return {
        "twin_plane": ("atom", plane, ONE),
        "plane_normal": (("plane", "axis"), np.array([one[1] for one in found]).reshape(-1, 3), ONE),
        "plane_height": ("plane", np.array([one[2] for one in found], np.float64), ANGSTROM),
        "plane_atoms": ("plane", np.array([one[3].size for one in found], np.int64), ONE),
        "plane_grains": (("plane", "side"), np.array([one[0] for one in found], np.int64).reshape(-1, 2), ONE),
    }
