"""Levels of images: totals, specimen and surroundings, background. All for single images or stacks of them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.linalg import spsolve
from skimage.filters import threshold_otsu

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

WILD = 0.001
"""Share of the pixels at either end of the histogram that are clipped before the image is smoothed."""
GROUPS = 31
"""Groups of pixels whose means are compared: one group with an outlier does not move their median."""
LEAST_SHARE = 0.02
"""Share of the image that must be surroundings before their level means anything."""
MOST_BORDER = 0.25
"""Share of the border of the image that specimen may cover; beyond it the specimen fills the field, as film does."""
LEAST_CONTRAST = 4.0
"""Specimen above surroundings, in standard deviations of the surroundings, both smoothed. Film scores about 3."""


def totals(images: NDArray[np.generic], trusted: NDArray[np.generic] | None) -> F64:
    """Return the sum of each image of a stack, shape (images,), over its trusted pixels."""
    found = np.empty(len(images))
    for i, image in enumerate(images):
        part = image if trusted is None else image[trusted[i] != 0]
        found[i] = np.ascontiguousarray(part).sum(dtype=np.float64)
    return found


def factors(total: F64, least: float) -> F64:
    """Return mean / total, shape (images,), over the totals above `least` times their median; NaN for the others."""
    usable = np.isfinite(total)
    if usable.any():
        usable &= np.where(usable, total, 0.0) > max(0.0, least * float(np.median(total[usable])))
    scale = np.full(total.shape, np.nan)
    if usable.any():
        scale[usable] = total[usable].mean() / total[usable]
    return scale


def surroundings(image: F32, trusted: Flags, smoothing: float, share: float, margin: float) -> Flags | None:
    """Find the pixels that show no specimen.

    The image is smoothed; Otsu's threshold is lowered to a share of its height above the median of what lies below
    it; what is above that is specimen, specks apart, and what is near it is neither.

    Parameters
    ----------
    image
        Shape (rows, columns), specimen bright.
    trusted
        Pixels to use.
    smoothing
        Standard deviation of the low-pass, pixels.
    share
        Height of the threshold between the level of the surroundings (0) and Otsu's threshold (1).
    margin
        Pixels that are kept free around the specimen.

    Returns
    -------
    True on the surroundings; None where the specimen fills the image or none stands out.
    """
    if not trusted.any():
        return None
    tame = np.clip(image, *np.quantile(image[trusted], [WILD, 1 - WILD])).astype(np.float64)
    weight = ndimage.gaussian_filter(trusted.astype(np.float64), smoothing, mode="nearest")
    low = ndimage.gaussian_filter(np.where(trusted, tame, 0.0), smoothing, mode="nearest")
    low /= np.maximum(weight, 1e-6)
    values = low[trusted]
    if np.ptp(values) <= 1e-9 * np.abs(values).max():
        return None
    otsu = float(threshold_otsu(values))
    base = float(np.median(values[values <= otsu])) if (values <= otsu).any() else otsu
    specimen = _without_specks(low > base + share * (otsu - base), np.pi * (2 * smoothing) ** 2)
    border = np.concatenate([specimen[0], specimen[-1], specimen[1:-1, 0], specimen[1:-1, -1]])
    if not specimen.any() or border.mean() > MOST_BORDER:
        return None
    outside = trusted & (ndimage.distance_transform_edt(~specimen) > margin)
    if outside.mean() < LEAST_SHARE:
        return None
    flat = low - polynomial(low, outside)
    contrast = float(low[specimen & trusted].mean() - low[outside].mean())
    return outside if contrast > LEAST_CONTRAST * float(flat[outside].std()) else None


def _without_specks(specimen: Flags, area: float) -> Flags:
    """Drop connected pieces below an area in pixels: noise that passed the threshold."""
    pieces, count = ndimage.label(specimen)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes >= area)[pieces])


def level(image: F32, outside: Flags) -> float:
    """Return the mean of the pixels outside, by the median of the means of interleaved groups of them.

    A few wild pixels do not move it, and the skew of counting noise does not bias it as it does a median of pixels.
    """
    values = image[outside].astype(np.float64)
    groups = min(GROUPS, max(1, values.size // 32))
    return float(np.median([values[i::groups].mean() for i in range(groups)]))


def polynomial(image: NDArray[np.floating], outside: Flags) -> F64:
    """Return the polynomial that fits the pixels outside, on all pixels.

    Its order is 0, 1 or 2: the one that the Bayesian information criterion prefers, so that noise in a few corners
    is not continued below the specimen.
    """
    rows, columns = image.shape
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)
    seen, values = terms[outside], image[outside].astype(np.float64)
    best, solution = np.inf, np.zeros(6)
    for count in (1, 3, 6):
        part = seen[:, :count]
        found = np.linalg.lstsq(part.T @ part, part.T @ values, rcond=1e-10)[0]
        residual = float(((values - part @ found) ** 2).mean())
        score = len(values) * np.log(max(residual, 1e-300)) + count * np.log(len(values))
        if score < best:
            best, solution = score, np.pad(found, (0, 6 - count))
    return np.asarray(terms @ solution)


def harmonic(image: F32, outside: Flags, smoothing: float) -> F64:
    """Return the smoothed image outside, continued by Laplace's equation, with free edges of the image.

    Parameters
    ----------
    image
        Shape (rows, columns).
    outside
        Where the image is background.
    smoothing
        Standard deviation in pixels of the Gaussian over pixels outside, which keeps noise out of the boundary.
    """
    weight = ndimage.gaussian_filter(outside.astype(np.float64), smoothing, mode="nearest")
    known = ndimage.gaussian_filter(np.where(outside, image, 0.0).astype(np.float64), smoothing, mode="nearest")
    found = np.where(outside, known / np.maximum(weight, 1e-12), 0.0)
    unknown = np.flatnonzero(~outside)
    if not unknown.size:
        return found
    number = np.full(outside.size, -1)
    number[unknown] = np.arange(unknown.size)
    rows, columns = outside.shape
    row, column = np.divmod(unknown, columns)
    degree, constant = np.zeros(unknown.size), np.zeros(unknown.size)
    links: list[NDArray[np.int64]] = []
    flat = found.ravel()
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        here = (row + down >= 0) & (row + down < rows) & (column + right >= 0) & (column + right < columns)
        mine = np.flatnonzero(here)
        beside = (unknown + down * columns + right)[mine]
        degree[mine] += 1
        fixed = number[beside] < 0
        constant[mine[fixed]] += flat[beside[fixed]]
        links.append(np.stack([mine[~fixed], number[beside[~fixed]]]))
    inner = np.concatenate(links, axis=1)
    size = (unknown.size, unknown.size)
    matrix = sparse.diags(degree) - sparse.coo_matrix((np.ones(inner.shape[1]), (inner[0], inner[1])), size)
    found[~outside] = spsolve(matrix.tocsc(), constant)
    return found
