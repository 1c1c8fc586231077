"""How strain is made of displacements, and told: its frame, its variables, its errors and what is significant."""

from __future__ import annotations

import warnings
from itertools import permutations, product
from typing import Annotated, Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.params import Length
from aetx.core.reference_lattice import CUBIC, Reference, ReferenceParams
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import deformation
from aetx.kernels.regression import Cloud, cloud, scatter

F64 = NDArray[np.float64]
Variables = dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]
Miller = Annotated[float, Field(ge=-50, le=50)]
Direction = tuple[Miller, Miller, Miller]

NINE = tuple(int(one) for one in deformation.PACKED.ravel())
"""Which of the six components each of the nine of a symmetric tensor is."""
TURNED = (0, 2, 1, 2, 0, 0, 1, 0, 0)
"""Which of the components yz, xz, xy each of the nine of an antisymmetric tensor is, zero or not."""
SIGN = (0, 1, 1, -1, 0, 1, -1, -1, 0)
"""By what it is multiplied."""
TURNS = [
    turn
    for turned in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
    if np.linalg.det(turn := np.diag(signs)[list(turned)]) > 0
]
"""The 24 rotations that take a cube to itself, the first that does nothing."""
SURFACE = 0.98
"""Density of atoms, over that inside, at a depth of two widths of the kernel below a flat surface."""
ONE = {"units": "1"}


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


def frames_of(lattice: xr.Dataset, reference: Reference, params: TensorParams) -> F64:
    """Return the axes of the results for each grain, one in each row, shape (grains, 3, 3).

    Which of its equal axes a cubic lattice calls the first is nobody's choice, so that of equivalent directions those
    are taken whose z, and then whose x, is nearest to that of the images.
    """
    if params.frame == "lab":
        return np.tile(np.eye(3), (len(reference.basis), 1, 1))
    cubic = str(lattice.attrs.get("lattice")) in CUBIC
    made = []
    for basis in reference.basis:
        tried = [_axes(turn @ basis, params) for turn in (TURNS if cubic else TURNS[:1])]
        made.append(max(tried, key=lambda axes: 1e6 * axes[2, 2] + axes[0, 0]))
    return np.stack(made)


def _axes(basis: F64, params: TensorParams) -> F64:
    """Return the directions called x, y, z, one in each row, of a cell."""
    up, along = np.asarray(params.z_axis, float) @ basis, np.asarray(params.x_axis, float) @ basis
    up /= np.linalg.norm(up)
    along -= (along @ up) * up
    along /= np.linalg.norm(along)
    return np.stack([along, np.cross(up, along), up])


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
        x, z = (" ".join(f"{one:g}" for one in axis) for axis in (params.x_axis, params.z_axis))
        frame = f"x along [{x}] and z along [{z}] of each grain"
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
