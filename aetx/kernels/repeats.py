"""Two images of one pose: how far apart, how alike; and what changes steadily with the dose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift
from scipy.stats import norm
from scipy.stats import t as student
from skimage.registration import phase_cross_correlation

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

FINE = 100
"""Parts of a pixel to which a shift is found."""
LEAST = 5
"""Fewest degrees of freedom that a trend must leave."""
ALIKE = 0.95
"""Share of a trend's own variance, explained by the pose, from which the two are not told apart."""


@dataclass(frozen=True)
class Likeness:
    """Two images compared; the second was moved by `shift` (y, x, pixels) and multiplied by `scale` for it."""

    shift: F64
    scale: float
    correlation: float
    r1: float
    total: float
    """Sum of the second over that of the first."""
    size: float
    """Radius of gyration of the second over that of the first."""
    fine: float
    """Power of the second at high frequencies over that of the first, both without noise; `fine_error` with it."""
    fine_error: float
    misfit: float
    """Mean squared difference over what noise makes, 1 where nothing else differs; NaN where that is not known."""
    misfit_error: float
    total_error: float


def moved(image: F64, shift: F64) -> F64:
    """Return an image moved by a shift (y, x) in pixels, through its Fourier transform, around its edges."""
    return np.asarray(np.fft.ifft2(fourier_shift(np.fft.fft2(image), shift)).real)


def likeness(
    first: F64, last: F64, trusted: Mask, variance: tuple[F64, F64] | None, counts: bool, finest: float
) -> Likeness:
    """Compare two images of one pose.

    The scale is that of least squares. With the variance of both images,
    ``misfit = sum (first - scale last)**2 / sum (variance of that)``; sums, and not a sum of ratios, as counts that
    are their own variance would pull the latter.

    Parameters
    ----------
    first, last
        Shape (y, x).
    trusted
        Pixels known in both before the shift.
    variance
        Of each pixel of either image, or None where noise is not known.
    counts
        The images are counts, and their variance is themselves.
    finest
        From which frequency on, per pixel, power is compared.
    """
    hidden = np.where(trusted, first, first[trusted].mean()), np.where(trusted, last, last[trusted].mean())
    shift = np.asarray(phase_cross_correlation(*_quiet(*hidden), upsample_factor=FINE, normalization=None)[0], float)
    margin = np.ceil(np.abs(shift)).astype(int)
    inner = np.zeros(first.shape, bool)
    inner[tuple(slice(m, size - m) for m, size in zip(margin, first.shape, strict=True))] = True
    seen = inner & trusted & (moved(trusted.astype(float), shift) > 1 - 1e-6 if not trusted.all() else True)
    if seen.sum() < 2:
        nothing = float("nan")
        return Likeness(shift, *[nothing] * 10)
    turned = moved(hidden[1], shift)
    a, b = first[seen], turned[seen]
    square = float(b @ b)
    scale = float(a @ b) / square if square > 0 else float("nan")
    sums, spread = (float(a.sum()), float(b.sum())), float(np.std(a) * np.std(b))
    misfit, misfit_error, total_error = float("nan"), float("nan"), float("nan")
    total = sums[1] / sums[0] if sums[0] else float("nan")
    if variance is not None:
        parts = variance[0][seen], np.maximum(moved(variance[1], shift)[seen], 0.0)
        noise = parts[0] + scale**2 * parts[1]
        misfit = float(((a - scale * b) ** 2).sum() / noise.sum())
        misfit_error = float(np.sqrt(max(0.0, (2 * noise**2 - noise * counts).sum())) / noise.sum())
        total_error = abs(total) * float(np.hypot(*(np.sqrt(p.sum()) / s for p, s in zip(parts, sums, strict=True))))
    fine, fine_error = _fine(np.where(seen, first, 0.0), np.where(seen, turned, 0.0), finest)
    return Likeness(
        shift=shift,
        scale=scale,
        correlation=float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan"),
        r1=float(np.abs(a - scale * b).sum() / np.abs(a).sum()) if np.abs(a).sum() > 0 else float("nan"),
        total=total,
        size=_radius(np.where(seen, turned, np.nan)) / _radius(np.where(seen, first, np.nan)),
        fine=fine,
        fine_error=fine_error,
        misfit=misfit,
        misfit_error=misfit_error,
        total_error=total_error,
    )


def _quiet(first: F64, last: F64) -> tuple[F64, F64]:
    """Return two images with frequencies weighed by the share of their power that is not noise, by Wiener."""
    frequency = _frequency(first.shape)
    waves = np.fft.fft2(first), np.fft.fft2(last)
    power = np.abs(waves[0]) ** 2 + np.abs(waves[1]) ** 2
    shell = np.rint(frequency * max(first.shape)).astype(int)
    counts = np.bincount(shell.ravel())
    mean = np.bincount(shell.ravel(), power.ravel()) / np.maximum(counts, 1)
    corner = frequency >= 0.5
    noise = float(power[corner].mean()) if corner.any() else 0.0
    weight = np.clip(1 - noise / np.maximum(mean, 1e-300), 0, 1)[shell]
    weight[0, 0] = 0.0
    return np.fft.ifft2(waves[0] * weight).real, np.fft.ifft2(waves[1] * weight).real


def _frequency(shape: tuple[int, ...]) -> F64:
    """Return the spatial frequency of each coefficient, per pixel."""
    return np.asarray(np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) for size in shape], indexing="ij")))


def _radius(image: F64) -> float:
    """Return the radius of gyration of what is above the median of the outermost known pixels."""
    known = np.isfinite(image)
    rows, columns = np.nonzero(known)
    edge = known & ((np.arange(image.shape[0]) <= rows.min()) | (np.arange(image.shape[0]) >= rows.max()))[:, None]
    edge |= known & ((np.arange(image.shape[1]) <= columns.min()) | (np.arange(image.shape[1]) >= columns.max()))
    weight = image[known] - np.median(image[edge])
    place = np.stack([rows, columns], axis=1).astype(float)
    total = float(weight.sum())
    if total <= 0:
        return float("nan")
    off = place - weight @ place / total
    square = float(weight @ (off**2).sum(axis=1)) / total
    return float(np.sqrt(square)) if square > 0 else float("nan")


def _fine(first: F64, last: F64, finest: float) -> tuple[float, float]:
    """Return the ratio of powers above a frequency, less that of noise as the corners of the spectrum show it."""
    frequency = _frequency(first.shape)
    band, corner = (frequency >= finest) & (frequency < 0.5), frequency >= 0.5
    if not band.any() or not corner.any():
        return float("nan"), float("nan")
    power = [np.abs(np.fft.fft2(one)) ** 2 for one in (first, last)]
    whole = [float(one[band].mean()) for one in power]
    signal = [one - float(each[corner].mean()) for one, each in zip(whole, power, strict=True)]
    if min(signal) <= 0:
        return float("nan"), float("nan")
    ratio = signal[1] / signal[0]
    share = np.sqrt(2 / band.sum() + 2 / corner.sum())
    return ratio, float(ratio * share * np.hypot(whole[0] / signal[0], whole[1] / signal[1]))


@dataclass(frozen=True)
class Trend:
    """Change over the whole acquisition, its standard error, and the chance of so large a one if there is none."""

    change: float
    error: float
    chance: float


UNKNOWN = Trend(float("nan"), float("nan"), float("nan"))


def trend(values: F64, dose: F64, pose: F64) -> Trend:
    """Fit values by a line in the dose beside what depends on the pose, in least squares.

    The error is that of the scatter about the fit, larger where neighbours in time scatter alike. Undefined where too
    few values are known, or where the pose says nearly as much as the dose, so that none could tell them apart.

    Likeness from one to the next, of correlation c, divides the number of independent values by (1 + c) / (1 - c); its
    estimate is corrected for what the fit takes away (M. G. Kendall, Biometrika 41, 403 (1954),
    doi:10.1093/biomet/41.3-4.403).

    Parameters
    ----------
    values
        Shape (images,); NaN is left out.
    dose
        What each image had seen, from 0 to 1, shape (images,).
    pose
        What the values may depend on otherwise, shape (images, terms).
    """
    known = np.isfinite(values)
    order = np.argsort(dose[known], kind="stable")
    y, x = values[known][order], dose[known][order]
    if y.size <= LEAST:
        return UNKNOWN
    other = np.column_stack([np.ones(x.size), pose[known][order]])
    other = other[:, [0, *(1 + np.flatnonzero(np.ptp(other[:, 1:], axis=0) > 1e-9))]]
    freedom = y.size - other.shape[1] - 1
    if freedom < LEAST or np.ptp(x) == 0:
        return UNKNOWN
    own = x - other @ np.linalg.lstsq(other, x, rcond=None)[0]
    if own @ own < (1 - ALIKE) * ((x - x.mean()) ** 2).sum():
        return UNKNOWN
    design = np.column_stack([other, x])
    solved = np.linalg.lstsq(design, y, rcond=None)[0]
    off = y - design @ solved
    square = float(off @ off)
    if square <= 1e-24 * float(y @ y):
        return Trend(float(solved[-1]), 0.0, 0.0 if abs(solved[-1]) > 1e-9 * np.abs(y).max() else 1.0)
    like = float(off[1:] @ off[:-1]) / square
    like = float(np.clip(like + (2 + 4 * like) / y.size, 0.0, 0.9))  # a line takes some of the likeness away
    apart = (1 - like) / (1 + like)
    error = float(np.sqrt(square / freedom / (own @ own) / apart))
    return Trend(float(solved[-1]), error, float(2 * student.sf(abs(solved[-1]) / error, max(1.0, freedom * apart))))


def chance(value: float, error: float) -> float:
    """Return the two-sided chance of a normal number as far from 0 as this."""
    return float(2 * norm.sf(abs(value) / error)) if error > 0 else float("nan")
