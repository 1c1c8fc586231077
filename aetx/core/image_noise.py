"""The noise of images before anything is fitted to them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.core.model_images import Problem3D
from aetx.kernels.refinement import Noise, State

SOFT = 0.3
"""Offset of the variance while sites are searched, in electrons: a missing atom must not outweigh all others."""


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
