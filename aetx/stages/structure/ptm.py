"""The crystal structure around each atom by polyhedral templates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.spatial.transform import Rotation

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.neighbourhoods import STRUCTURES, known, per_atom, structure_column
from aetx.kernels.template_fit import fit
from aetx.kernels.template_matching import Match, match
from aetx.kernels.templates import template
from aetx.model import ATOMS

F64 = NDArray[np.float64]
Name = Literal["fcc", "hcp", "bcc", "ico", "sc", "diamond"]


class PtmParams(Params):
    """Parameters of `ptm`."""

    structures: tuple[Name, ...] = Field(
        ("fcc", "hcp", "bcc", "ico", "sc", "diamond"),
        min_length=1,
        max_length=6,
        description="templates to compare with",
    )
    deviation: float = Field(
        0.1, gt=0, le=0.5, description="greatest deviation of a template that fits, over the distance of neighbours"
    )
    least: int | None = Field(
        None,
        ge=3,
        le=16,
        description="fewest neighbours that match part of a template, as at a surface; by default all must be there",
    )

    @field_validator("structures")
    @classmethod
    def _once(cls, structures: tuple[Name, ...]) -> tuple[Name, ...]:
        if len(set(structures)) < len(structures):
            raise ValueError("each structure once")
        return structures


def _forecast(inputs: InputSizes, _: PtmParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "axis": 3, "axis2": 3}, memory=atoms * 2500 + 10**6, seconds=0.3 + atoms * 3e-5)


@stage("structure.ptm", takes={"atoms": ATOMS}, gives=ATOMS, params=PtmParams, version=1, forecast=_forecast)
def ptm(atoms: xr.Dataset, params: PtmParams) -> xr.Dataset:
    """Crystal structure, orientation and deformation around each atom by polyhedral template matching.

    The neighbours v_k of an atom and the atom itself are compared with the points t_k of a template: `rmsd` is the
    least sqrt(mean |s (v_k - mean v) - Q t_k|^2) over rotations Q, scales s and ways to pair them, where the template
    has a mean distance of neighbours of 1. The template with the least `rmsd` is the `structure`, if it is at most
    `deviation`; `rmsd` is told in any case.

    `orientation` is the quaternion (w, x, y, z) that turns the crystal to the atoms, of all equivalent ones that of the
    smallest angle; both sites of hcp and of diamond have that of their crystal, whose axes are x, y, z along <100>, for
    hcp z along c and x along a. `bond_length` is the nearest neighbour distance d, and `deformation_gradient` F, with
    determinant 1, takes a template of that distance to the atoms: v = d F t in least squares. Their standard errors
    follow the covariances of the atom and its neighbours to first order. Noise does not lengthen this d; the reciprocal
    of s, which OVITO gives as interatomic distance, it does, by about `rmsd` squared.

    Atoms of the surface miss neighbours and are `other`, unless `least` is given: then an atom may have as few, if
    those within its first shell all are points of a template turned as that of a neighbour that has all points; for
    fcc, hcp, bcc and sc. Such an atom takes part in the crystal below it and says nothing that this one does not: at a
    (111) surface, fcc and hcp differ only in the layer that is missing.

    Pairs are found by laying two neighbours on two points and letting pairs and rotation settle, not by the graph of
    the convex hull as in the reference. Where both find a template its deviation is the same; a hull that noise has
    changed loses the atom there and not here. Templates choose among two more of the nearest neighbours than they have
    points, so that noise which brings an atom of the next shell near does no harm.

    References
    ----------
    P. M. Larsen, S. Schmidt, J. Schiotz, Model. Simul. Mater. Sci. Eng. 24, 055007 (2016),
    doi:10.1088/0965-0393/24/5/055007.
    """
    position = finite_positions("structure.ptm: atoms", atoms)
    matched = match(position, params.structures, params.deviation, params.least or 0)
    length, length_error, gradient, gradient_error = fit(
        position, covariances(atoms) if known(atoms) else None, matched
    )
    orientation, gradient, gradient_error = _reduced(matched, params.structures, gradient, gradient_error)
    codes = np.array([0, *(STRUCTURES.index(name) for name in params.structures)])
    matrix = ("atom", "axis", "axis2")
    return atoms.assign(
        structure=structure_column(codes[matched.code], {"method": "ptm", "deviation": params.deviation}),
        rmsd=per_atom(matched.deviation, "1"),
        orientation=(("atom", "quaternion"), orientation, {"units": "1"}),
        bond_length=per_atom(length, "angstrom"),
        bond_length_error=per_atom(length_error, "angstrom"),
        deformation_gradient=(matrix, gradient, {"units": "1"}),
        deformation_gradient_error=(matrix, gradient_error, {"units": "1"}),
    ).assign_coords(quaternion=["w", "x", "y", "z"], axis2=["x", "y", "z"])


def _reduced(matched: Match, names: tuple[Name, ...], gradient: F64, error: F64) -> tuple[F64, F64, F64]:
    """Return orientations of least angle among the equivalent ones, and gradients from the crystal so turned."""
    orientation = np.full((len(matched.code), 4), np.nan)
    gradient, error = gradient.copy(), error.copy()
    for k, name in enumerate(names):
        here = np.flatnonzero(matched.code == k + 1)
        if not here.size:
            continue
        group = template(name).group
        turn = Rotation.from_matrix(matched.rotation[here])
        quaternion = turn.as_quat()
        mirrored = np.concatenate([-group[:, :3], group[:, 3:]], axis=1)
        chosen = np.abs(quaternion @ mirrored.T).argmax(axis=1)
        other = Rotation.from_quat(group[chosen])
        orientation[here] = np.roll((turn * other).as_quat(canonical=True), 1, axis=1)
        gradient[here] = gradient[here] @ other.as_matrix()
        error[here] = np.sqrt(error[here] ** 2 @ other.as_matrix() ** 2)
    return orientation, gradient, error
