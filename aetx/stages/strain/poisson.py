"""Poisson's ratio, from how strains along different axes go together."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.strain import strain_of
from aetx.errors import AetxWarning
from aetx.kernels import total_least_squares as line
from aetx.model import LATTICE, SCORE

F64 = NDArray[np.float64]
NAME = "strain.poisson"
ONE = {"units": "1"}
WEAK = 0.5
"""Correlation, as a magnitude, below which a line says little."""


class PoissonParams(Params):
    """Parameters of `poisson`."""

    block: Length = Field(10.0, gt=0, le=1e4, description="edge of the cubes that are drawn for the errors")
    resamples: int = Field(500, ge=2, le=100_000, description="draws of the bootstrap over cubes")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


def _forecast(inputs: InputSizes, params: PoissonParams) -> Forecast:
    atoms = inputs["lattice"][0].get("atom", 1)
    memory = 60_000_000 + 2000 * atoms + 8 * params.resamples * atoms
    return Forecast({"axis": 3, "axis2": 3}, memory, 0.3 + 1e-7 * atoms * params.resamples)


@stage(NAME, takes={"lattice": LATTICE}, gives=SCORE, params=PoissonParams, version=1, forecast=_forecast)
def poisson(lattice: xr.Dataset, params: PoissonParams) -> xr.Dataset:
    """Slopes between the strains along the axes over all atoms, and the Poisson's ratios that they stand for.

    A line through the strains of the atoms, e_b against e_a, is fitted by total least squares, with the ratio of the
    mean variances of b and a where errors are known and 1 otherwise. Pulled along a alone, a body has
    `poisson` = -slope (axis a, axis2 b). Strained in the plane across c, it has e_c = -2 nu / (1 - nu) times the mean
    strain in the plane, of which `biaxial_slope` makes `biaxial_poisson` nu (axis c). Axes are those of the frame in
    which the strain was made. `correlation` is Pearson's; `_error` is the standard error by a bootstrap over cubes of
    edge `block`, as strains next to each other share their atoms and their errors.

    A slope is Poisson's ratio only where the load is the one assumed; a map has all loads at once, and errors that
    both strains share. Metals have 0.3 to 0.4 (Pt 0.38, Pd 0.39), crystals by their direction more or less.

    References
    ----------
    W. A. Fuller, Measurement Error Models (1987), doi:10.1002/9780470316665, section 1.3 (the line).
    """
    strain, error = strain_of(NAME, lattice)
    position = finite_positions(f"{NAME}: lattice", lattice)
    known = np.isfinite(strain).all(axis=(1, 2))
    own, variance = strain[known], error[known] ** 2
    block = line.blocks(position[known], params.block)
    draws = line.resamples(block, params.resamples, params.seed)
    table, flat = np.full((3, 3, 4), np.nan), np.full((3, 4), np.nan)
    for a in range(3):
        for b in range(3):
            if a != b:
                ratio = _ratio(variance[:, a, a], variance[:, b, b])
                table[a, b] = line.fit(own[:, a, a], own[:, b, b], ratio, block, draws)
        others = [k for k in range(3) if k != a]
        mean = own[:, others, others].mean(axis=1)
        ratio = _ratio(variance[:, others, others].sum(axis=1) / 4, variance[:, a, a])
        flat[a] = line.fit(mean, own[:, a, a], ratio, block, draws)
    if not (np.abs(np.concatenate([table[..., 2].ravel(), flat[:, 2]])) >= WEAK).any():
        text = f"no two strains go together (correlation below {WEAK:g}): there is no Poisson's ratio in them"
        warnings.warn(text, AetxWarning, stacklevel=2)
    slope, across = table[..., 0], flat[:, 0]
    pair = ("axis", "axis2")
    made = {
        "slope": (pair, slope),
        "slope_error": (pair, table[..., 1]),
        "correlation": (pair, table[..., 2]),
        "correlation_error": (pair, table[..., 3]),
        "poisson": (pair, -slope),
        "poisson_error": (pair, table[..., 1]),
        "biaxial_slope": ("axis", across),
        "biaxial_slope_error": ("axis", flat[:, 1]),
        "biaxial_correlation": ("axis", flat[:, 2]),
        "biaxial_correlation_error": ("axis", flat[:, 3]),
        "biaxial_poisson": ("axis", across / (across - 2)),
        "biaxial_poisson_error": ("axis", 2 * flat[:, 1] / (across - 2) ** 2),
        "strained_atoms": ((), int(known.sum())),
    }
    variables = {name: (dims, values, ONE) for name, (dims, values) in made.items()}
    frame = {"strain_frame": str(lattice.attrs.get("strain_frame", ""))}
    return xr.Dataset(variables, {"axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]}, frame)


def _ratio(first: F64, second: F64) -> float:
    """Return the mean variance of the second strain over that of the first, 1 where errors are not known."""
    if not (np.isfinite(first).any() and np.isfinite(second).any()):
        return 1.0
    return float(np.nanmean(second) / np.nanmean(first))
