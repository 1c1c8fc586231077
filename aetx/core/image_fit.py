"""What fits of atoms to images share: parameters, what is wanted of the images, the noise before the fit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core.model_images import Problem3D
from aetx.core.params import Angle, Length, Params
from aetx.errors import InputError, Problem
from aetx.kernels.refinement import Noise, State

SOFT = 0.3
"""Offset of the variance while sites are searched, in electrons: a missing atom must not outweigh all others."""


class ImageFitParams(Params):
    """Parameters of stages that fit atoms and poses to images."""

    profile: Literal["kirkland", "gaussian"] = Field(
        "kirkland",
        description="shape of an atom: a Gaussian with the element's scattering factor f(q)/f(0), or without",
    )
    width: Length | None = Field(
        None, gt=0, le=10, description="Gaussian standard deviation that the fit starts from; none for 0.5 angstrom"
    )
    extended: bool = Field(
        False, description="the specimen goes on beyond the atoms: fit only pixels whose whole ray lies among them"
    )
    angle_error: Angle = Field(3.0, gt=0, le=90, description="standard deviation of the angles before the fit")
    shift_error: Length = Field(2.0, gt=0, le=1000, description="standard deviation of the shifts before the fit")
    noise: Literal["estimated", "poisson"] = Field(
        "estimated",
        description="variance of a pixel: gain and offset from the residuals, or that of counts; a series with its own "
        "variance keeps it",
    )


def require_images(stage: str, series: xr.Dataset, params: ImageFitParams) -> None:
    """Refuse a series of one image, and one that is no counts where its noise is said to be that of counts."""
    if series.sizes["tilt"] < 2:
        found, fix = f"{series.sizes['tilt']} image", "give a tilt series"
        raise InputError(Problem(f"{stage}: series", "tilt", found, "at least two images", fix))
    if params.noise == "poisson" and series["image"].attrs["units"] != "count":
        found = f"units {series['image'].attrs['units']!r}"
        raise InputError(Problem(f"{stage}: series", "image", found, "count", "set noise: estimated"))


def first_noise(series: xr.Dataset, problem: Problem3D) -> Noise:
    """Return the noise as it is known before the fit, soft enough that a missing atom does not outweigh all others."""
    variance, gain = None, 1.0
    if "variance" in series:
        rows, columns = problem.corner
        variance = series["variance"].transpose("tilt", "y", "x")[:, rows, columns].values.astype(np.float32)
    if series["image"].attrs["units"] != "count":
        gain = _rough_gain(problem)
    least = darkest(problem.state, gain)
    return Noise(gain, SOFT * gain - least, variance, least)


def _rough_gain(problem: Problem3D) -> float:
    """Return a gain from the differences of neighbouring pixels, until residuals tell a better one."""
    values = problem.scene.images.astype(np.float64)
    rough = 0.25 * ((values[:, 1:, 1:] - values[:, 1:, :-1] - values[:, :-1, 1:] + values[:, :-1, :-1]) ** 2).mean()
    return float(max(rough, 1e-30) / max(np.abs(values).mean(), 1e-30))


def darkest(state: State, gain: float) -> float:
    """Return the mean of the darkest pixels where more background was taken off than noise explains, else 0."""
    lowest = float(state.background.min())
    return lowest if lowest < -SOFT * gain else 0.0
