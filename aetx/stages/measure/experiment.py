"""What more dose, more images or a wider range would buy: the Cramer-Rao bound over plans of an experiment."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field, field_validator

from aetx.core import Angle, Dose, Forecast, InputSizes, stage
from aetx.core.information import F64, InformationParams, electrons, forecast_of, information
from aetx.core.tilts import elongation
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import bound as kernel
from aetx.model import ATOMS, SCORE

ONE, ANGSTROM, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}
FEW = 900
"""Unknowns of atoms up to which each plan is computed exactly unless the method is named."""
GRID = ("dose", "tilts", "range")


class ExperimentParams(InformationParams):
    """Parameters of `experiment`."""

    doses: tuple[Annotated[Dose, Field(gt=0, le=1e12)], ...] = Field(
        (2e4, 4e4, 8e4, 1.6e5, 3.2e5, 6.4e5), min_length=1, max_length=100, description="doses to compare"
    )
    dose_of: Literal["series", "image"] = Field(
        "series", description="what a dose is given to: all images together, or each image"
    )
    tilts: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (11, 21, 41), min_length=1, max_length=100, description="numbers of images to compare, at even steps"
    )
    ranges: tuple[Annotated[Angle, Field(gt=0, le=90)], ...] = Field(
        (50.0, 60.0, 70.0), min_length=1, max_length=100, description="greatest tilts to compare, to both sides"
    )
    samples: int = Field(4, ge=2, le=10_000, description="random errors of the stochastic method")

    @field_validator("doses", "ranges", "tilts")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise(values)):
            raise ValueError("numbers that rise")
        return values


def _forecast(inputs: InputSizes, params: ExperimentParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    sizes = {"dose": len(params.doses), "tilts": len(params.tilts), "range": len(params.ranges), "axis": 3}
    method = params.chosen(atoms, FEW)
    each = [forecast_of(atoms, count, params, method, params.samples) for count in params.tilts]
    repeats = len(params.ranges) * (1 if _scales(params) else len(params.doses))
    return Forecast(sizes, max(memory for memory, _ in each), repeats * sum(seconds for _, seconds in each))


@stage(
    "measure.experiment", takes={"atoms": ATOMS}, gives=SCORE, params=ExperimentParams, version=2, forecast=_forecast
)
def experiment(atoms: xr.Dataset, params: ExperimentParams) -> xr.Dataset:
    """How well the atoms of a specimen could be known from each of many plans: doses, numbers of tilts, tilt ranges.

    `bound` is that of `measure.bound` for every plan, the root of the mean over all atoms of their squared standard
    errors after alignment, and `bound_axis` the same along x, y, z; NaN where a plan does not determine every atom.
    Images are at even steps from -range to +range about y. A dose is that of the whole series, shared evenly among the
    images, or that of each image.

    The whole specimen takes part, for atoms hide each other along every beam, and a cut-out would be known too well.
    Above some hundreds of atoms the bound is drawn from random errors, and `error` is the relative standard error of
    `bound`; below, it is zero. Without background and reading noise the bound goes with 1 / sqrt(dose) exactly, and
    doses are not computed one by one.

    `elongation` is what the missing wedge does to a voxel, e = sqrt((a + sin a cos a) / (a - sin a cos a)) at the
    greatest tilt a; for the bound of atoms the ratio of z to the other axes says what it costs. `electrons` are those
    expected of an atom in an image, the mean over the atoms, and `image_dose` the dose of an image.

    References
    ----------
    M. Radermacher, J. Electron Microsc. Tech. 9, 359 (1988), doi:10.1002/jemt.1060090405 (elongation);
    A. van den Bos, Parameter Estimation for Scientists and Engineers (2007), doi:10.1002/9780470173862 (bound).
    """
    shape = tuple(len(one) for one in (params.doses, params.tilts, params.ranges))
    variance, error = np.full((*shape, 3), np.nan), np.zeros(shape)
    doses = np.array(params.doses)
    per_image = (
        doses[:, None] / np.array(params.tilts) if params.dose_of == "series" else np.tile(doses[:, None], shape[1])
    )
    refused = ""
    for i, count in enumerate(params.tilts):
        for j, most in enumerate(params.ranges):
            for k in range(1 if _scales(params) else shape[0]):
                try:
                    axes, off = _mean_variance(atoms, params, count, most, per_image[k, i])
                except kernel.UndeterminedError as problem:
                    refused = str(problem)
                    continue
                where = (slice(None) if _scales(params) else k, i, j)
                factor = per_image[k, i] / per_image[where[0], i]
                variance[where], error[where] = np.multiply.outer(factor, axes), 0.5 * off
    undetermined = int(np.isnan(variance[..., 0]).sum())
    if undetermined == math.prod(shape):
        fix = f"take more images over a wider range, or free less than {params.in_words()}"
        found = f"{atoms.sizes['atom']} atoms, no plan of {undetermined}: {refused}"
        raise InputError(Problem("measure.experiment: atoms", "unknowns", found, "a plan that determines them", fix))
    if undetermined:
        text = f"{undetermined} of {math.prod(shape)} plans do not determine every atom: their bound is NaN"
        warnings.warn(text, AetxWarning, stacklevel=2)
    cross_section = float(electrons("measure.experiment", atoms["species"].values, params).mean())
    variables: dict[str, Any] = {
        "bound": (GRID, np.sqrt(variance.sum(-1)).astype(np.float32), ANGSTROM),
        "bound_axis": ((*GRID, "axis"), np.sqrt(variance).astype(np.float32), ANGSTROM),
        "error": (GRID, error.astype(np.float32), ONE),
        "electrons": (("dose", "tilts"), per_image * cross_section, {"units": "count"}),
        "image_dose": (("dose", "tilts"), per_image, {"units": "e/angstrom**2"}),
        "elongation": ("range", elongation(np.array(params.ranges)), ONE),
        "atoms": ((), atoms.sizes["atom"], ONE),
    }
    coords = {
        "dose": ("dose", doses, {"units": "e/angstrom**2"}),
        "tilts": ("tilts", np.array(params.tilts), ONE),
        "range": ("range", np.array(params.ranges), DEGREE),
        "axis": ["x", "y", "z"],
    }
    told = {
        "dose_of": params.dose_of,
        "free": params.in_words(),
        "solved": params.chosen(atoms.sizes["atom"], FEW),
    }
    return xr.Dataset(variables, coords, told)


def _scales(params: ExperimentParams) -> bool:
    return params.background == 0 and params.read_noise == 0


def _mean_variance(
    atoms: xr.Dataset, params: ExperimentParams, count: int, most: float, dose: float
) -> tuple[F64, float]:
    """Return the mean variance along x, y, z, angstrom**2, and its relative standard error."""
    theta = np.linspace(-most, most, count) if count > 1 else np.zeros(1)
    angles = np.stack([np.zeros(count), theta, np.zeros(count)], axis=1)
    made = information("measure.experiment", atoms, params, angles, np.full(count, dose))
    if params.chosen(atoms.sizes["atom"], FEW) == "exact":
        found = kernel.exact(made)
    else:
        found = kernel.stochastic(made, params.samples, params.seed)
    mean: F64 = np.diagonal(found.atoms, axis1=1, axis2=2)[:, :3].mean(0)
    return mean, found.total_error
