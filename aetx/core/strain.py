"""Displacements from a reference lattice, and how strain is told: its frame, its variables and what is significant."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.atoms import covariances
from aetx.core.params import Length, Params
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import deformation
from aetx.kernels.bonds import polar
from aetx.kernels.regression import Cloud, cloud, scatter
from aetx.model import positions

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Variables = dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]
Miller = Annotated[float, Field(ge=-50, le=50)]
Direction = tuple[Miller, Miller, Miller]

CUBIC = ("fcc", "bcc", "sc", "diamond", "perovskite")
"""Lattices whose conventional cell has one edge."""
NINE = (0, 5, 4, 5, 1, 3, 4, 3, 2)
"""Which of the six components each of the nine of a symmetric tensor is."""
TURNED = (0, 2, 1, 2, 0, 0, 1, 0, 0)
"""Which of the components yz, xz, xy each of the nine of an antisymmetric tensor is, zero or not."""
SIGN = (0, 1, 1, -1, 0, 1, -1, -1, 0)
SURFACE = 0.98
"""Density of atoms, over that inside, at a depth of two widths of the kernel below a flat surface."""
ONE, ANGSTROM = {"units": "1"}, {"units": "angstrom"}


class ReferenceParams(Params):
    """Which lattice strain is counted from."""

    lattice_constant: Length | None = Field(
        None, gt=1, le=50, description="edge of the unstrained cubic cell; none for the lattice fitted to each grain"
    )


class TensorParams(ReferenceParams):
    """How a strain tensor is told."""

    frame: Literal["lab", "crystal"] = Field(
        "lab", description="axes of the tensors: those of the images, or the grain"
    )
    x_axis: Direction = Field((1, 0, 0), description="direction of the crystal called x, in units of its cell")
    z_axis: Direction = Field((0, 0, 1), description="direction of the crystal called z, in units of its cell")
    centre: tuple[Length, Length, Length] | None = Field(
        None, description="x, y, z from which radial strain is taken; none for the mean place of the atoms"
    )
    significance: float = Field(2.0, gt=0, le=100, description="standard errors above which a strain is significant")

    @model_validator(mode="after")
    def _axes_have_a_use(self) -> Self:
        given = sorted({"x_axis", "z_axis"} & self.model_fields_set)
        if self.frame == "lab" and given:
            raise ValueError(f"{' and '.join(given)} for frame crystal only")
        if not np.linalg.norm(np.cross(self.x_axis, self.z_axis)) > 1e-6:
            raise ValueError("x_axis and z_axis not along one line")
        return self


class RegressionParams(TensorParams):
    """How displacements become a field."""

    width: Length = Field(2.7, gt=0, le=50, description="standard deviation of the Gaussian kernel")
    order: Literal[0, 1] = Field(
        1, description="1: straight lines through displacements, exact at surfaces; 0: weighted means, as published"
    )
    grains: Literal["separate", "joined"] = Field(
        "separate", description="atoms of one grain make one field, or atoms of all grains, whose lattices then agree"
    )
    weights: Literal["equal", "errors"] = Field(
        "equal", description="atoms weigh by their distance alone, or also by the inverse of their variance"
    )
    errors: Literal["positions", "scatter"] = Field(
        "positions",
        description="errors of positions by their covariance, or, where they have none, one for all atoms by the "
        "scatter of displacements about the field",
    )

    @model_validator(mode="after")
    def _errors_that_differ(self) -> Self:
        if self.weights == "errors" and self.errors == "scatter":
            raise ValueError("weights: equal where errors are one scatter for all atoms")
        return self


@dataclass(frozen=True)
class Reference:
    """Atoms that have a site: which they are, their sites, displacements, covariances, grains and the grains' axes."""

    atom: I64
    site: F64
    displacement: F64
    covariance: F64
    grain: I64
    basis: F64
    name: str

    @property
    def middle(self) -> F64:
        """Mean site, shape (3,), angstrom."""
        return np.asarray(self.site.mean(axis=0))


def reference_of(stage: str, lattice: xr.Dataset, params: ReferenceParams, cubes: bool = False) -> Reference:
    """Return the atoms of a lattice with the places that they have without strain; refuse one without such atoms.

    With a stated edge, the cell of each grain becomes a cube of it, turned as the fitted cell is by the polar
    decomposition, and the sites move about their mean in the grain.

    Parameters
    ----------
    stage
        Who asks.
    lattice
        Of the kind lattice.
    params
        The edge, if one is stated.
    cubes
        Whether cells of cubic lattices become cubes of the same volume where no edge is stated.
    """
    basis = lattice["basis"].sel(axis=["x", "y", "z"]).transpose("grain_id", "vector", "axis").values.astype(float)
    where = f"{stage}: lattice"
    if basis.shape[1] != 3:
        found, fix = f"{basis.shape[1]} lattice vectors", "fit a lattice of three dimensions"
        raise InputError(Problem(where, "basis", found, "three, as strain in space needs", fix))
    place = positions(lattice)
    moved = lattice["displacement"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values.astype(float)
    grain = lattice["grain"].values.astype(np.int64)
    names = lattice["grain_id"].values if "grain_id" in lattice.coords else np.arange(len(basis))
    row = np.full(len(grain), -1)
    for k, name in enumerate(names):
        row[grain == name] = k
    atom = np.flatnonzero((row >= 0) & np.isfinite(place).all(axis=1) & np.isfinite(moved).all(axis=1))
    if not atom.size:
        fix = "fit a lattice that atoms belong to"
        raise InputError(Problem(where, "grain", "no atom with a site", "atoms on sites of a lattice", fix))
    row, place, moved = row[atom], place[atom], moved[atom]
    site, name = place - moved, "the lattice fitted to each grain"
    cubic = str(lattice.attrs.get("lattice")) in CUBIC
    if params.lattice_constant is None and cubes and cubic:
        site, basis = _restated(site, row, basis, np.abs(np.linalg.det(basis)) ** (1 / 3))
    if params.lattice_constant is not None:
        if not cubic:
            found, wanted = str(lattice.attrs.get("lattice")), f"one of {', '.join(CUBIC)}"
            raise InputError(Problem(where, "attrs['lattice']", found, wanted, "leave out 'lattice_constant'"))
        site, basis = _restated(site, row, basis, np.full(len(basis), params.lattice_constant))
        name = f"a cubic lattice of {params.lattice_constant:g} angstrom, turned as each grain is"
    return Reference(atom, site, place - site, covariances(lattice)[atom], row, basis, name)


def _restated(site: F64, row: I64, basis: F64, edge: F64) -> tuple[F64, F64]:
    """Return sites and cells of cubic lattices with other edges."""
    site, basis = site.copy(), basis.copy()
    for k in np.unique(row):
        own = row == k
        cube = edge[k] * polar(basis[k])[1]
        middle = site[own].mean(axis=0)
        site[own] = middle + (site[own] - middle) @ np.linalg.inv(basis[k]) @ cube
        basis[k] = cube
    return site, basis


def frames_of(reference: Reference, params: TensorParams) -> F64:
    """Return the axes of the results for each grain, one in each row, shape (grains, 3, 3)."""
    if params.frame == "lab":
        return np.tile(np.eye(3), (len(reference.basis), 1, 1))
    up = np.asarray(params.z_axis, float) @ reference.basis
    along = np.asarray(params.x_axis, float) @ reference.basis
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    along -= (along * up).sum(axis=1, keepdims=True) * up
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([along, np.cross(up, along), up], axis=1)


def centre_of(reference: Reference, params: TensorParams) -> F64:
    """Return from where radial strain is taken, shape (3,), angstrom."""
    return reference.middle if params.centre is None else np.asarray(params.centre, float)


def cloud_of(stage: str, reference: Reference, params: RegressionParams) -> Cloud:
    """Return the atoms in cells, with errors and weights; refuse weights by errors that are not known."""
    trust = np.ones(len(reference.atom))
    if params.weights == "errors":
        variance = np.einsum("naa->n", reference.covariance) / 3
        unknown = int((~(variance > 0)).sum())
        if unknown:
            found, fix = f"{unknown} atoms without a standard error", "set weights: equal, or refine the atoms"
            raise InputError(Problem(f"{stage}: lattice", "covariance", found, "one of each atom", fix))
        trust = np.median(variance) / variance
    made = cloud(reference.site, reference.displacement, reference.covariance, trust, reference.grain, params.width)
    if params.errors == "positions":
        return made
    alike = np.zeros_like(made.covariance)
    alike[:, :3] = scatter(made, params.grains == "joined")
    return made._replace(covariance=alike)


def inside_of(density: F64, params: RegressionParams) -> float:
    """Return the density inside, the greatest of those at the atoms; warn of order 0, which is too small at surfaces.

    Parameters
    ----------
    density
        At the site of each atom, shape (atoms,).
    params
        The order.
    """
    inside = float(density.max())
    if params.order == 0:
        near = int((density < SURFACE * inside).sum())
        text = f"order 0 tells too small a strain near surfaces: 36 % of it there, and less than 90 % at {near} of"
        warnings.warn(f"{text} {len(density)} atoms; order 1 has no such bias", AetxWarning, stacklevel=3)
    return inside


def told(columns: Any, dims: tuple[str, ...], significance: float) -> Variables:
    """Return strain and rotation as variables, from the columns of `kernels.deformation.derive`.

    Parameters
    ----------
    columns
        Shape (..., deformation.COLUMNS), in memory or lazy.
    dims
        Names of the leading dimensions.
    significance
        Standard errors above which a component is significant.
    """
    tensor, shape = (*dims, "axis", "axis2"), (*columns.shape[:-1], 3, 3)
    made: Variables = {}
    for name, first, pick in (("strain", deformation.STRAIN, NINE), ("rotation", deformation.ROTATION, TURNED)):
        count = 6 if name == "strain" else 3
        factor = np.ones(9) if name == "strain" else np.array(SIGN, float)
        values = (columns[..., [first + k for k in pick]] * factor.astype(columns.dtype)).reshape(shape)
        error = columns[..., [first + count + k for k in pick]] * np.abs(factor).astype(columns.dtype)
        made[name] = tensor, values, dict(ONE)
        made[f"{name}_error"] = tensor, error.reshape(shape), dict(ONE)
    for name, first in (
        ("volumetric", deformation.VOLUMETRIC),
        ("von_mises", deformation.VON_MISES),
        ("radial", deformation.RADIAL),
        ("hoop", deformation.HOOP),
    ):
        made[name] = dims, columns[..., first], dict(ONE)
        made[f"{name}_error"] = dims, columns[..., first + 1], dict(ONE)
    strain, error = made["strain"][1], made["strain_error"][1]
    known = np.isfinite(strain) & np.isfinite(error)
    flag = np.where(known, abs(strain) > significance * error, -1).astype(np.int8)
    meaning = {"flag_values": [-1, 0, 1], "flag_meanings": "unknown not_significant significant"}
    made["significant"] = tensor, flag, {**ONE, **meaning, "standard_errors": significance}
    return made


def attributes(reference: Reference, params: TensorParams, centre: F64) -> dict[str, Any]:
    """Return what a result says of how its strain was counted."""
    frame = "the axes of the images"
    if params.frame == "crystal":
        frame = f"x along {list(params.x_axis)} and z along {list(params.z_axis)} of each grain"
    return {
        "strain_reference": reference.name,
        "strain_frame": frame,
        "strain_centre": [float(one) for one in centre],
    }


def method_of(params: RegressionParams, made: Cloud) -> dict[str, Any]:
    """Return in words how displacements become a field, and where its errors are from."""
    atoms = "atoms of one grain" if params.grains == "separate" else "atoms of all grains"
    weigh = "" if params.weights == "equal" else ", weighed by their errors"
    text = f"kernel regression of order {params.order}, Gaussian of {params.width:g} angstrom, {atoms}{weigh}"
    errors = "the covariances of the positions"
    if params.errors == "scatter":
        along = ", ".join(f"{one:.3f}" for one in np.sqrt(made.covariance[0, :3]))
        errors = f"the scatter of displacements about the field, {along} angstrom along x, y, z"
    return {"strain_method": text, "strain_errors": errors}


def strain_of(stage: str, lattice: xr.Dataset) -> tuple[F64, F64]:
    """Return the strain of each atom and its standard error, shape (atoms, 3, 3); refuse a lattice without strain."""
    if "strain" not in lattice:
        fix = "put strain.atoms or strain.local before"
        raise InputError(Problem(f"{stage}: lattice", "strain", "no such variable", "the strain of each atom", fix))
    axes = {"axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]}
    strain = lattice["strain"].sel(axes).transpose("atom", "axis", "axis2").values.astype(float)
    if "strain_error" not in lattice:
        return strain, np.full(strain.shape, np.nan)
    return strain, lattice["strain_error"].sel(axes).transpose("atom", "axis", "axis2").values.astype(float)
