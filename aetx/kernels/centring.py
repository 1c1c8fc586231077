"""Centres of mass of images, within a soft mask that follows the specimen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label

from aetx.kernels.image_shift import F32, Flags
from aetx.kernels.projection import F64

SOFT = 1.0
"""Gaussian width of the edge of a mask, as a fraction of its margin."""


class Centre(NamedTuple):
    """Centre of mass in pixels (x, y), its standard errors, and the share of the edges that the specimen takes."""

    place: F64
    error: F64
    cut: float


def centre_of_mass(
    image: F32, trusted: Flags, variance: F32 | None, threshold: float, smooth: float, margin: int, rounds: int
) -> Centre:
    """Return the centre of mass of the specimen, from index (0, 0).

    The specimen is the largest connected part of the smoothed image above a fraction of its maximum, over the level
    of what surrounds it, dilated; its soft mask w weighs the image I less the mean background b outside, and moves
    along with what it finds:

        place = sum w (I - b) r / sum w (I - b)

    Each pixel's error v moves the place by w (r - place) / sum w (I - b) times it; the square sum of that, with the
    variance of the pixels, at least that of what surrounds the specimen, and the same of the error of b, gives the
    errors.

    Parameters
    ----------
    image, trusted
        Shape (y, x).
    variance
        Of each pixel, or None: then only that of the pixels outside the specimen is known.
    threshold
        Fraction of the greatest smoothed value above the background.
    smooth
        Gaussian width of the smoothing, pixel.
    margin
        By how much the mask is dilated, pixel.
    rounds
        Most times that mask and background are found anew.
    """
    values = image.astype(np.float64)
    soft = gaussian_filter(values, smooth)
    level = float(np.median(values[trusted]))
    part = largest = np.zeros(image.shape, bool)
    for _ in range(rounds):
        above = (soft - level > threshold * (float(soft[trusted].max()) - level)) & trusted
        names, count = label(above)
        largest = names == 1 + int(np.argmax(np.bincount(names.ravel())[1:])) if count else above
        wider = binary_dilation(largest, iterations=margin) if margin else largest
        same, part = bool((wider == part).all()), wider
        outside = ~part & trusted
        if same or not outside.any():
            break
        level = float(values[outside].mean())
    edge = np.concatenate([largest[0], largest[-1], largest[:, 0], largest[:, -1]])
    return Centre(*_weighed(values, trusted, part, level, variance, margin), float(edge.mean()))


def _weighed(
    values: F64, trusted: Flags, part: Flags, level: float, variance: F32 | None, margin: int
) -> tuple[F64, F64]:
    """Return the centre of mass and its standard errors, NaN where there is no mass."""
    weight = np.clip(gaussian_filter(part.astype(np.float64), max(SOFT * margin / 2, 0.5), mode="nearest"), 0, 1)
    weight *= trusted
    mass = weight * (values - level)
    total = float(mass.sum())
    if total <= 0:
        return np.full(2, np.nan), np.full(2, np.nan)
    sides = np.arange(values.shape[1])[None, :], np.arange(values.shape[0])[:, None]
    place = np.array([(mass * side).sum() / total for side in sides])
    outside = ~part & trusted
    spread = float(values[outside].var()) if outside.sum() > 1 else 0.0
    pixel = np.full(values.shape, spread) if variance is None else np.maximum(variance.astype(np.float64), spread)
    error = []
    for side, middle in zip(sides, place, strict=True):
        arm = weight * (side - middle) / total
        square = float((arm**2 * pixel).sum())
        if outside.any():
            square += float(arm.sum()) ** 2 * spread / int(outside.sum())
        error.append(square**0.5)
    return place, np.array(error)
