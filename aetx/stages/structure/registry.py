"""How core and shell fit together: their own lattices, the misfit, the turn and the offset at the interface."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.bonds import polar
from aetx.model import LATTICE, SCORE

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

NAME = "structure.registry"
ANGSTROM, ONE = {"units": "angstrom"}, {"units": "1"}
LEAST = 8
"""Fewest atoms to which a lattice of its own is fitted."""


class RegistryParams(Params):
    """Parameters of `registry`."""

    margin: Length = Field(
        2.1, ge=0, le=100, description="depth from the interface within which atoms are of neither core nor shell"
    )


def _forecast(inputs: InputSizes, _: RegistryParams) -> Forecast:
    atoms = inputs["lattice"][0].get("atom", 1)
    return Forecast({"axis": 3}, memory=1000 * atoms + 10**6, seconds=0.2 + 1e-6 * atoms)


class Fitted(NamedTuple):
    """A lattice r = origin + site @ basis; the cube root of the volume of its cell; errors of that and of a turn."""

    origin: F64
    basis: F64
    edge: float
    error: float
    turn_error: float


@stage(NAME, takes={"lattice": LATTICE}, gives=SCORE, params=RegistryParams, version=1, forecast=_forecast)
def registry(lattice: xr.Dataset, params: RegistryParams) -> xr.Dataset:
    """How the lattices of core and shell fit together: misfit = a_shell / a_core - 1, their turn and their offset.

    In the grain with the most atoms, a lattice r = origin + site @ basis with a free cell is fitted to the atoms of
    each part whose depth from the interface is more than `margin`. `lattice_constant` is the edge of a cube of the
    volume of the cell, `turn` the angle between the axes of both. `offset` is how far the shell's
    lattice is from the core's at the middle of the interface; `registry` is the root mean square of that over the
    atoms of the interface: well below half a bond, 1.4 angstrom, sites go on from core to shell without dislocations.
    `coherent` is the fraction of atoms of the interface that are on a site of this grain and whose bonds all lead to
    the sites that they should.

    Errors follow from the scatter of the atoms about their lattice; in a strained shell that is strain too.

    References
    ----------
    Z. Li et al., Nature Communications 14, 2934 (2023), doi:10.1038/s41467-023-38536-z.
    """
    where = f"{NAME}: lattice"
    if "interface_depth" not in lattice:
        fix = "put structure.interface before"
        raise InputError(Problem(where, "interface_depth", "no such variable", "the depth of each atom", fix))
    position = finite_positions(where, lattice)
    grain, site, depth = (lattice[name].values for name in ("grain", "site", "interface_depth"))
    most = int(np.bincount(grain[grain >= 0]).argmax()) if (grain >= 0).any() else -1
    on = (grain == most) & np.isfinite(site).all(axis=1)
    between = np.abs(depth) <= params.margin
    parts = {"core": on & (depth < -params.margin), "shell": on & (depth > params.margin)}
    fitted = {}
    for name, part in parts.items():
        fitted[name] = _fit(site[part], position[part])
        if not np.isfinite(fitted[name].edge):
            text = f"{NAME}: {int(part.sum())} atoms of the {name} are too few for a lattice of its own"
            warnings.warn(f"{text}: NaN. Lower 'margin'", AetxWarning, stacklevel=2)
    core, shell = fitted["core"], fitted["shell"]
    apart = site[on & between] @ (shell.basis - core.basis) + shell.origin - core.origin
    known = np.isfinite(core.edge * shell.edge)
    turn = polar(np.linalg.inv(core.basis) @ shell.basis)[1] if known else np.full((3, 3), np.nan)
    sine = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    angle = float(np.arctan2(np.linalg.norm(sine), (np.trace(turn) - 1) / 2))
    bent = lattice["mismatch"].values > 0 if "mismatch" in lattice else np.zeros(len(grain), bool)
    some = bool((on & between).any())
    ratio = shell.edge / core.edge
    made = {
        "lattice_constant": ("part", np.array([one.edge for one in fitted.values()]), ANGSTROM),
        "lattice_constant_error": ("part", np.array([one.error for one in fitted.values()]), ANGSTROM),
        "atoms": ("part", np.array([part.sum() for part in parts.values()]), ONE),
        "misfit": ((), ratio - 1, ONE),
        "misfit_error": ((), ratio * float(np.hypot(core.error / core.edge, shell.error / shell.edge)), ONE),
        "turn": ((), np.degrees(angle), {"units": "degree"}),
        "turn_error": ((), np.degrees(np.hypot(core.turn_error, shell.turn_error)), {"units": "degree"}),
        "offset": ("axis", apart.mean(axis=0) if some else np.full(3, np.nan), ANGSTROM),
        "registry": ((), float(np.sqrt((apart**2).sum(axis=1).mean())) if some else np.nan, ANGSTROM),
        "coherent": ((), float((on & ~bent)[between].mean()) if between.any() else np.nan, ONE),
    }
    return xr.Dataset(made, coords={"part": list(parts), "axis": ["x", "y", "z"]})


def _fit(site: F64, position: F64) -> Fitted:
    """Fit a lattice with a free cell in least squares to sites and positions of shape (atoms, 3); NaN for too few."""
    if len(site) < LEAST or np.linalg.matrix_rank(site - site.mean(axis=0)) < 3:
        unknown = float("nan")
        return Fitted(np.full(3, np.nan), np.full((3, 3), np.nan), unknown, unknown, unknown)
    middle = site.mean(axis=0)
    away = site - middle
    normal = np.linalg.inv(away.T @ away)
    basis = normal @ away.T @ position
    origin = position.mean(axis=0) - middle @ basis
    scatter = float(((position - origin - site @ basis) ** 2).sum()) / (3 * len(site) - 12)
    inverse = np.linalg.inv(basis)
    stretch = scatter * np.einsum("kv,vw,kw->k", inverse, normal, inverse)
    edge = float(np.abs(np.linalg.det(basis)) ** (1 / 3))
    return Fitted(origin, basis, edge, edge / 3 * float(np.sqrt(stretch.sum())), float(np.sqrt(stretch.sum() / 6)))
