"""Activity for oxygen reduction as a dataset keeps it: the volcano, columns, summaries, and what the model is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from aetx.core.params import Params, Unit
from aetx.errors import AetxWarning
from aetx.kernels.orr import Volcano

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Table = dict[str, tuple[Any, ...]]

BindingEnergy = Annotated[float, Unit("eV")]
"""An energy of adsorption, or one per unit of strain."""
ONE, ENERGY = {"units": "1"}, {"units": "eV"}


class VolcanoParams(Params):
    """How activity follows from the binding energy of OH."""

    thermal_energy: BindingEnergy = Field(0.02569, gt=0, le=1, description="kT, here that of 298 K")
    offset: BindingEnergy = Field(
        0.26, ge=0, le=5, description="ln j on the falling side is (offset - falling * energy) / kT"
    )
    falling: float = Field(0.97, ge=0, le=10, description="slope of the falling side of the volcano")

    def volcano(self) -> Volcano:
        """Return the volcano."""
        return Volcano(self.thermal_energy, self.offset, self.falling)


@dataclass(frozen=True)
class Binding:
    """Binding energy of OH relative to Pt(111) of each atom, eV, NaN where there is none, shape (atoms,).

    `error` is the standard error from the measurement, `model_error` that of the parametrisation, the same way wrong
    for all; NaN where not known. `common` are the correlations of the former between atoms, shape (atoms, atoms), None
    for none. `weight` is the share that an atom has in an average over the surface. `model` says in words what the
    energies come from.
    """

    energy: F64
    error: F64
    model_error: F64
    weight: F64
    model: str
    common: csr_array | None = None


def activity(atoms: xr.Dataset, binding: Binding, params: VolcanoParams, groups: dict[str, Mask]) -> xr.Dataset:
    """Return atoms with their activity, its errors, and its averages over groups of them.

    Parameters
    ----------
    atoms
        Of the kind atoms or lattice.
    binding
        Of each atom.
    params
        The volcano.
    groups
        Which atoms count in each average, beside ``all``.
    """
    volcano = params.volcano()
    value = volcano.activity(binding.energy)
    error = volcano.error(binding.energy, binding.error)
    model_error = volcano.error(binding.energy, binding.model_error)
    known = np.isfinite(value)
    if not known.any():
        warnings.warn("no atom has an activity", AetxWarning, stacklevel=3)
    said = {
        **ONE,
        "long_name": "ln(j / j of Pt(111))",
        "model": binding.model,
        "volcano": f"ln j = min(E, {params.offset:g} - {params.falling:g} E) / {params.thermal_energy:g} eV",
    }
    every = {"all": known} | {name: known & mask for name, mask in groups.items()}
    signed = error * np.where(binding.energy < volcano.peak, 1.0, -1.0)
    rows = np.array([_average(value, signed, model_error, binding, mask) for mask in every.values()])
    kept = atoms.drop_dims("activity_group", errors="ignore")
    made: Table = {
        "binding_energy": ("atom", binding.energy, ENERGY | {"model": binding.model}),
        "binding_energy_error": ("atom", binding.error, ENERGY),
        "activity": ("atom", value, said),
        "activity_error": ("atom", error, ONE),
        "activity_model_error": ("atom", model_error, ONE),
        "activity_atoms": ("activity_group", np.array([int(mask.sum()) for mask in every.values()]), ONE),
        **{name: ("activity_group", rows[:, k], said if k == 0 else ONE) for k, name in enumerate(AVERAGES)},
    }
    return kept.assign(made).assign_coords(activity_group=list(every))


AVERAGES = (
    "activity_mean",
    "activity_mean_error",
    "activity_mean_model_error",
    "activity_median",
    "activity_total",
    "activity_total_error",
)
"""Columns of an average."""


def _average(value: F64, error: F64, model_error: F64, binding: Binding, mask: Mask) -> tuple[float, ...]:
    """Return the numbers of `AVERAGES` over some atoms; NaN for none. Errors are negative beyond the peak."""
    if not mask.any():
        return (np.nan,) * len(AVERAGES)
    a, s, m = value[mask], error[mask], model_error[mask]
    w = binding.weight[mask] / binding.weight[mask].sum()
    common = None if binding.common is None else binding.common[mask][:, mask]
    lower = a - np.where(np.isfinite(s), s**2, 0.0) / 2
    top = float(lower.max())
    current = w * np.exp(lower - top)
    total = float(current.sum())
    return (
        float(w @ a),
        float(np.sqrt(_together(w, s, common, np.positive))),
        float(w @ m),
        float(np.median(a)),
        top + float(np.log(total)),
        float(np.sqrt(_together(current, s, common, np.expm1))) / total,
    )


def _together(weight: F64, error: F64, common: csr_array | None, change: np.ufunc) -> float:
    """Return the sum over pairs of weights times what a function makes of covariances, 0 where these are 0."""
    if common is None:
        return float((weight**2) @ change(error**2))
    pairs = common.tocoo()
    return float((weight[pairs.row] * weight[pairs.col]) @ change(pairs.data * error[pairs.row] * error[pairs.col]))
