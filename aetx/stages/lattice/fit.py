"""The lattice of each grain, and the site of each atom."""

from __future__ import annotations

import math
import warnings
from typing import Annotated, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.element import Element, atomic_number
from aetx.core.lattice import grain_table
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import grains as kernel
from aetx.kernels import unit_cell
from aetx.kernels.flat import in_plane
from aetx.kernels.surface import neighbour_distance
from aetx.model import ATOMS, LATTICE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

IDEAL = math.sqrt(8 / 3)
"""c/a of closest packing."""
FORMER = ["grain_id", "grain_id2", "vector", "plane", "layer_id"]
"""Dimensions of what is known of an earlier lattice, which another fit makes obsolete."""
LAYER = 0.5
"""Greatest root mean square height of atoms of one layer, over the distance of neighbours."""
Shape = Annotated[float, Field(ge=-1e4, le=1e4)]
Vector = tuple[Shape, ...]


class FitParams(Params):
    """Parameters of `fit`."""

    type: Literal["fcc", "hcp", "bcc", "sc", "diamond", "perovskite", "hex2d", "user"] | None = Field(
        None, description="lattice that the specimen is known to have; must be stated"
    )
    spacing: Length | None = Field(
        None,
        gt=0.5,
        le=50,
        description="distance of nearest neighbours to begin with, of A and B in perovskite; none to find it",
    )
    ratio: float = Field(IDEAL, gt=1, le=3, description="c/a of hcp")
    elements: tuple[Element, ...] = Field((), max_length=3, description="elements on A, B and O of perovskite")
    vectors: tuple[Vector, ...] = Field(
        (), max_length=3, description="two or three cell vectors of the user's lattice, each of x, y, z in one unit"
    )
    motif: tuple[Vector, ...] = Field(
        (), max_length=200, description="sites of the user's lattice in units of its vectors"
    )
    shape: Literal["rigid", "affine"] = Field(
        "rigid", description="cell of the shape of the crystal and free size, or free in both"
    )
    tolerance: Length = Field(0.7, gt=0, le=10, description="farthest of an atom from the end of a bond")
    walk: Literal["atom", "site"] = Field(
        "atom", description="where bonds to the next atom begin: at the atom, or at its site"
    )
    misorientation: Angle = Field(
        5.0, gt=0, le=20, description="least angle between neighbouring atoms of different grains"
    )
    least: int = Field(10, ge=1, le=1_000_000, description="fewest atoms with all neighbours of a grain that counts")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        for name, of in (("ratio", "hcp"), ("elements", "perovskite"), ("vectors", "user"), ("motif", "user")):
            if name in self.model_fields_set and self.type != of:
                raise ValueError(f"{name} is for {of}, not {self.type}")
        if self.type == "perovskite" and len(set(self.elements)) != 3:
            raise ValueError("perovskite needs elements: three different ones, on A, B and O")
        if self.type == "user":
            self._check_cell()
        return self

    def _check_cell(self) -> None:
        if len(self.vectors) not in (2, 3) or any(len(one) != 3 for one in self.vectors) or not self.motif:
            raise ValueError("user needs two or three vectors of x, y, z each, and a motif")
        if any(len(one) != len(self.vectors) for one in self.motif):
            raise ValueError("each site of the motif needs as many numbers as there are vectors")
        vectors = np.array(self.vectors)
        if len(vectors) == 2 and np.abs(vectors[:, 2]).max() > 0:
            raise ValueError("two vectors must lie in the plane z = 0")
        size = np.linalg.svd(vectors, compute_uv=False)
        if size[-1] <= 1e-6 * size[0]:
            raise ValueError("vectors that lie in a plane or on a line")


def _forecast(inputs: InputSizes, params: FitParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    vectors = len(params.vectors) or (2 if params.type == "hex2d" else 3)
    sizes = {"atom": atoms, "grain_id": 1, "vector": vectors, "axis": 3, "axis2": 3}
    return Forecast(sizes, 60_000_000 + 2500 * atoms, 0.5 + 3e-5 * atoms)


@stage("lattice.fit", takes={"atoms": ATOMS}, gives=LATTICE, params=FitParams, version=1, forecast=_forecast)
def fit(atoms: xr.Dataset, params: FitParams) -> xr.Dataset:
    """Lattice fitted to each grain, with the site of every atom and its displacement from it.

    Nothing but the type of lattice need be known. Atoms whose neighbours are those of the crystal, one to one, tell its
    orientation; connected ones that differ by less than `misorientation` begin a grain, so that twins and grains come
    apart. Each grain, greatest first, is walked through breadth-first: the nearest atom within `tolerance` of the end
    of each bond has that site; an atom with another orientation is left to its own grain, and of two atoms for one site
    the nearer has it. The lattice r = origin + site @ basis is fitted to all atoms of the grain, and walk and fit
    repeat until the cell vectors change by less than 1e-5 angstrom altogether. An atom on a twin plane is on a site of
    either grain: the greater one has it.

    Weights are the inverse of C + s**2 I: C is the covariance of each position (column `covariance` or `sigma`), s the
    `disorder`, which is what C leaves unexplained. Errors are those that C carries into the fit; without C they follow
    from the scatter of displacements, taken for errors (``attrs["errors"]`` says which), and `displacement_error` is
    unknown. `displacement_covariance` is that of the atom minus its site, that is, with the errors of the fit and
    their correlation with those of the atom.

    Each grain has `basis` and `origin` in the frame of the atoms, `lattice_constant` (the edge a of the conventional
    cell, of an affine fit the geometric mean of what the edges became), `orientation` (the rotation from the axes of
    the crystal), `orientation_error` (standard error of a turn about x, y, z), `rmsd` of the displacements, and
    `grain_atoms`. `site` is in units of `basis`; grain -1 and NaN where an atom is on no site. `mismatch` counts the
    bonds of an atom that lead to a neighbour whose site is another one; where there is a dislocation, `burgers` is the
    most frequent difference, in units of `basis`.

    In specimens that are partly disordered a walk from atom to atom goes astray; with walk: site it stays where atoms
    are within `tolerance` of the fitted lattice.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022), Methods; S. Umeyama, IEEE Trans. Pattern Anal.
    Mach. Intell. 13, 376 (1991), doi:10.1109/34.88573.
    """
    place = finite_positions("lattice.fit: atoms", atoms)
    cell = _cell(params)
    known = covariances(atoms)
    frame, centre = np.eye(3), np.zeros(3)
    if cell.flat and len(place) > 3:
        frame, centre = in_plane(place)
        _require_layer(place, frame, centre)
    role, kind = _kinds(atoms, cell, params)
    search = kernel.Search(
        params.spacing,
        params.tolerance,
        math.radians(params.misorientation),
        params.least,
        params.shape == "affine",
        params.walk == "atom",
    )
    turned = np.ascontiguousarray((place - centre) @ frame)
    covariance = frame.T @ known @ frame if np.isfinite(known).any() else None
    found = kernel.find(turned, covariance, cell, role, kind, search)
    _warn(found, len(place), params)
    table = grain_table(found, cell, covariance, turned, (frame, centre))
    axis2 = {} if "axis2" in atoms.coords else {"axis2": ["x", "y", "z"]}
    told = {"lattice": params.type, "errors": "scatter" if covariance is None else "covariance"}
    return atoms.drop_dims(FORMER, errors="ignore").assign(table).assign_coords(axis2).assign_attrs(told)


def _cell(params: FitParams) -> unit_cell.UnitCell:
    if params.type is None:
        fix = "state type: fcc, hcp, bcc, sc, diamond, perovskite, hex2d or user"
        raise InputError(Problem("lattice.fit", "type", "nothing", "the lattice that the specimen has", fix))
    if params.type == "user":
        return unit_cell.of_motif(np.array(params.vectors), np.array(params.motif))
    return unit_cell.named(params.type, params.ratio)


def _kinds(atoms: xr.Dataset, cell: unit_cell.UnitCell, params: FitParams) -> tuple[I64, I64]:
    """Return the kind of atom that belongs on each site of the motif, and that each atom is; -1 for any."""
    role, kind = np.full(len(cell.motif), -1, np.int64), np.full(atoms.sizes["atom"], -1, np.int64)
    if params.type == "perovskite":
        role[:] = [0, 1, 2, 2, 2]
        for number, element in enumerate(params.elements):
            kind[atoms["species"].values == atomic_number(element)] = number
    return role, kind


def _require_layer(place: F64, frame: F64, centre: F64) -> None:
    height, distance = float(((place - centre) @ frame[:, 2]).std()), neighbour_distance(place)
    if height > LAYER * distance:
        found = f"{height:.2g} angstrom root mean square from a plane"
        wanted, fix = "atoms of one layer", "take the atoms of one layer, or a lattice of three dimensions"
        raise InputError(Problem("lattice.fit: atoms", "position", found, wanted, fix))


def _warn(found: list[kernel.Grain], atoms: int, params: FitParams) -> None:
    if not found:
        text = f"none of {atoms} atoms has the neighbours of {params.type}, or fewer than {params.least} together have"
        warnings.warn(f"{text}: there is no grain", AetxWarning, stacklevel=3)
    rounds = [str(number) for number, one in enumerate(found) if not one.settled]
    if rounds:
        text = f"the lattice of grain {', '.join(rounds)} still changes after {kernel.ROUNDS} rounds"
        warnings.warn(text, AetxWarning, stacklevel=3)
    for number, one in enumerate(found):
        if len(one.mismatch):
            text = f"neighbours of grain {number} are not on neighbouring sites ({len(one.mismatch) // 2} pairs)"
            warnings.warn(f"{text}: a dislocation, or a wrong turn of the walk", AetxWarning, stacklevel=3)
