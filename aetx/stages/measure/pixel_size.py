"""The pixel size, from the lattice of the specimen."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from ase.data import reference_states
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.element import Element, atomic_number
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.bonds import Bulk, Crystal, Grain, bulk, crystal, grains
from aetx.kernels.scale import Scale, scale_of
from aetx.model import ATOMS, SCORE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Lattice = Literal["fcc", "bcc", "hcp", "sc", "diamond"]

ONE, ANGSTROM = {"units": "1"}, {"units": "angstrom"}
IDEAL = math.sqrt(8 / 3)
"""c/a of closest packing."""
ROUNDED = 0.005
"""Half the last digit of a tabulated lattice constant, angstrom."""
SURE = 3.0
"""Standard errors by which a scale must differ from 1 for a warning."""
ROUNDING = 1e-5
"""What a scale must differ from 1 by for a warning, however sure it is."""


class PixelSizeParams(Params):
    """Parameters of `pixel_size`."""

    lattice: Lattice = Field("fcc", description="crystal that the specimen is known to be")
    lattice_constant: Length | None = Field(
        None, gt=1, le=20, description="edge of the cubic, or of the hexagonal cell, at the temperature of the images"
    )
    ratio: float = Field(IDEAL, gt=1, le=3, description="c/a of a hexagonal crystal")
    element: Element | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="element whose tabulated crystal it is, in place of lattice, lattice_constant and ratio",
    )
    least: int = Field(10, ge=1, le=1_000_000, description="fewest bulk atoms of a grain that counts")
    block: Length = Field(10.0, gt=0, le=1e4, description="edge of the cubes that are drawn for the error of parts")
    resamples: int = Field(500, ge=2, le=100_000, description="draws of the bootstrap over cubes")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        stated = sorted({"lattice", "lattice_constant", "ratio"} & self.model_fields_set)
        if self.element is not None and stated:
            raise ValueError(f"either element or {', '.join(stated)}, not both")
        if "ratio" in self.model_fields_set and self.lattice != "hcp":
            raise ValueError(f"ratio is for hcp, not {self.lattice}")
        return self


def _forecast(inputs: InputSizes, _: PixelSizeParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    return Forecast({"axis": 3, "axis2": 3}, 60_000_000 + 6000 * atoms, 0.3 + 4e-4 * atoms)


@stage("measure.pixel_size", takes={"atoms": ATOMS}, gives=SCORE, params=PixelSizeParams, version=1, forecast=_forecast)
def pixel_size(atoms: xr.Dataset, params: PixelSizeParams) -> xr.Dataset:
    """Factor by which the pixel size must be multiplied so that bonds have the length of a known crystal.

    Bulk atoms have the coordination of the crystal; those whose bonds agree one to one form a grain. The matrix A that
    takes the crystal's bonds to those of a grain in robust least squares (Huber) is A = P R, R a rotation, P
    symmetric; `stretch` is the mean of 1/P over the grains, by their atoms: true lengths are `stretch` times measured
    ones. Its diagonal is `scale_axis`, the mean of that `scale`. Vectors and not distances are averaged, as errors of
    position lengthen every distance.

    `scale_error` and `scale_axis_error` are standard errors from the scatter of single atoms, `_sigma_error` from
    their own standard errors (the column `sigma` or `covariance`), `_block_error` from a bootstrap over cubes of edge
    `block`: it grows where strain varies from place to place, and is too large by some tens of percent where it does
    not. `known_error` is that of the lattice constant as rounded in the table of elements. `deviation` is scale - 1
    over its error, the larger of scatter and block, together with `known_error`.

    A strained specimen cannot be told from a wrong pixel size: the mean strain of the bulk, such as that by the stress
    of a surface (some 0.1 to 1 % in small particles), by alloying, or by temperature, is part of the factor. What
    tells them apart is a calibration from another specimen, or a scale that differs along x, y and z.

    Undefined (NaN) where no atom has the bonds of the crystal. `grain_atoms` says how many have them in each grain,
    `bond` how long each bond of those is, once from either end, and `crystal_bond` how long the shortest should be.

    References
    ----------
    P. J. Huber, Ann. Math. Stat. 35, 73 (1964), doi:10.1214/aoms/1177703732.
    """
    place = finite_positions("measure.pixel_size: atoms", atoms)
    known, rounded = _crystal(params)
    found = bulk(place, known)
    parts = grains(found, known, params.least)
    made = _told(place, atoms, parts, found, known, params) if parts else None
    if made is None:
        text = f"none of {len(place)} atoms has the {len(known.bonds)} bonds of the crystal: the scale is not known"
        warnings.warn(text, AetxWarning, stacklevel=2)
        made = Scale(*[np.full((3, 3), np.nan)] * 4)
    scale = float(np.trace(made.stretch) / 3)
    errors = {name: _mean_error(getattr(made, name)) for name in ("scatter", "sigma", "block")}
    table = scale * rounded
    whole = float(np.hypot(np.nanmax([errors["scatter"], errors["block"]]), table)) if parts else math.nan
    deviation = (scale - 1) / whole if whole > 0 else math.nan
    if abs(deviation) > SURE and abs(scale - 1) > ROUNDING:
        text = f"bonds ask for a pixel size times {scale:.5f} +- {whole:.5f}, unless the specimen is strained"
        warnings.warn(text, AetxWarning, stacklevel=2)
    axis = ("axis", "axis2")
    one = {**ONE, "long_name": "factor of the pixel size"}
    table_of: dict[str, tuple[Any, ...]] = {
        "scale": ((), scale, one),
        "scale_error": ((), errors["scatter"], ONE),
        "scale_sigma_error": ((), errors["sigma"], ONE),
        "scale_block_error": ((), errors["block"], ONE),
        "known_error": ((), table, ONE),
        "deviation": ((), deviation, ONE),
        "scale_axis": ("axis", np.diag(made.stretch).copy(), one),
        "scale_axis_error": ("axis", np.sqrt(np.diag(made.scatter)), ONE),
        "scale_axis_sigma_error": ("axis", np.sqrt(np.diag(made.sigma)), ONE),
        "scale_axis_block_error": ("axis", np.sqrt(np.diag(made.block)), ONE),
        "scale_axis_covariance": (axis, made.scatter, ONE),
        "stretch": (axis, made.stretch, ONE),
        "grain_atoms": ("grain", np.array([one.member.size for one in parts], np.int64), ONE),
        "bulk": ((), len(found.atom), ONE),
        "bond": ("bond", _bonds(parts, found), ANGSTROM),
        "crystal_bond": ((), known.shortest, ANGSTROM),
    }
    return xr.Dataset(table_of, {"axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]})


def _crystal(params: PixelSizeParams) -> tuple[Crystal, float]:
    """Return the crystal, and the relative error of its lattice constant."""
    if params.element is not None:
        state = reference_states[atomic_number(params.element)] or {}
        name, edge = state.get("symmetry"), state.get("a")
        if name not in ("fcc", "bcc", "hcp", "sc", "diamond") or edge is None:
            fix = "give lattice and lattice_constant"
            raise InputError(
                Problem("measure.pixel_size", "element", params.element, "an element with such a cell", fix)
            )
        return crystal(name, edge, state.get("c/a", IDEAL)), ROUNDED / math.sqrt(3) / edge
    if params.lattice_constant is None:
        fix = "state lattice_constant, or element"
        raise InputError(Problem("measure.pixel_size", "lattice_constant", "nothing", "a length that is known", fix))
    return crystal(params.lattice, params.lattice_constant, params.ratio), 0.0


def _told(
    place: F64, atoms: xr.Dataset, parts: list[Grain], found: Bulk, known: Crystal, params: PixelSizeParams
) -> Scale:
    cube = np.floor(place[found.atom] / params.block).astype(np.int64)
    block = np.unique(cube, axis=0, return_inverse=True)[1].reshape(-1)
    count = int(block.max()) + 1
    generator = np.random.default_rng(params.seed)
    draws = generator.multinomial(count, np.full(count, 1 / count), params.resamples).astype(float)
    return scale_of(parts, found, known, covariances(atoms), block, draws)


def _mean_error(covariance: F64) -> float:
    return float(np.sqrt(covariance.sum()) / 3)


def _bonds(parts: list[Grain], found: Bulk) -> F64:
    member = np.concatenate([one.member for one in parts]) if parts else np.empty(0, np.int64)
    return np.asarray(np.linalg.norm(found.vector[np.sort(member)], axis=2).ravel())
