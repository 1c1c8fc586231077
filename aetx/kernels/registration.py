"""Shifts between images by correlation, with their standard errors, and the places of many images from them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq, ifft2, next_fast_len

F64 = NDArray[np.float64]
C128 = NDArray[np.complex128]
Images = NDArray[np.floating]

NEIGHBOURHOOD, PARTS = 1.5, 10
"""Half the width in pixels of what is transformed around the highest pixel, and into how many parts a pixel is cut."""
WINDOWS = 2
"""How often the windows are moved to where the images were found to agree; each time divides what they pull by 30."""
STEPS = 12
"""Most Newton steps; four are usual."""
ROUNDING = 1e-4
"""Error of a shift that is always reckoned with, pixel."""
SETTLED = 1e-6
"""Newton step below which a shift is final, pixel."""


@dataclass(frozen=True)
class Band:
    """What of an image is correlated.

    Attributes
    ----------
    fine
        Gaussian standard deviation of the smoothing, pixel; 0 keeps all.
    coarse
        Gaussian standard deviation of the smooth image that is subtracted, pixel; inf subtracts none.
    whitening
        From 0 (cross correlation) to 1 (phase correlation): power of the amplitudes by which those are divided.
    taper
        Share of an image over which a cosine window falls off at each side; 0.5 is the Hann window.
    """

    fine: float
    coarse: float
    whitening: float
    taper: float


@dataclass(frozen=True)
class Shift:
    """How far the content of one image lies from that of another.

    Attributes
    ----------
    value
        Down and right (along y, along x), pixel, shape (2,).
    covariance
        Of the value, square pixel, shape (2, 2); NaN where the correlation has no peak in reach.
    peak
        Correlation coefficient there, of what the band keeps.
    """

    value: F64
    covariance: F64
    peak: float

    @property
    def error(self) -> F64:
        """Standard errors down and right, shape (2,)."""
        return np.sqrt(np.diag(self.covariance))


def shift_between(fixed: Images, moving: Images, band: Band, reach: float, guess: F64) -> Shift:
    """Return how far the content of `moving` lies from that of `fixed`: moving(r) = fixed(r - shift).

    The highest pixel of the correlation within reach of the guess is found first; then both images are windowed anew,
    so that they show the same part of the specimen and the window pulls nowhere, and the peak is found by a transform
    of its neighbourhood on a finer grid (Guizar-Sicairos 2008, section 2) and Newton's method. Images are padded, so
    nothing comes round from the other side.

    With the residual d of the two images laid upon each other and the gradient h of their mean, both as correlated,
    the covariance is A**-1 (sum of d**2 h h^T) A**-1, A minus the matrix of second derivatives of the correlation: it
    holds whatever the noise of a pixel is, if that of different pixels is independent, and is too large by up to half
    where amplitudes are divided. Where the images differ otherwise, as at different tilts, that counts as noise.

    Parameters
    ----------
    fixed, moving
        Shape (rows, columns), equal.
    band
        What of them is correlated.
    reach
        Largest distance from the guess that is searched, pixel.
    guess
        Down and right, pixel, shape (2,).

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Optics Letters 33, 156 (2008), doi:10.1364/OL.33.000156.
    """
    size = padded(fixed.shape, reach + float(np.abs(guess).max()))
    kept = frequencies(size, band)
    first, second, weight = _spectra(fixed, moving, np.round(guess), band, kept)
    value = _highest(ifft2(first.conj() * second * weight).real, guess, reach)
    value, curvature, height = _refined(first.conj() * second * weight, value)
    for _ in range(WINDOWS):
        first, second, weight = _spectra(fixed, moving, value, band, kept)
        value, curvature, height = _refined(first.conj() * second * weight, value)
    peak = height / max(_energy(first, second, weight), 1e-300)
    if curvature is None or np.hypot(*(value - guess)) > reach + NEIGHBOURHOOD:
        return Shift(value, np.full((2, 2), np.nan), peak)
    return Shift(value, _covariance(first, second, weight, value, curvature), peak)


def padded(shape: tuple[int, ...], reach: float) -> tuple[int, int]:
    """Return sizes at which content that moves by `reach` pixels meets nothing from the other side."""
    rows, columns = (int(next_fast_len(size + math.ceil(reach) + 1, real=True)) for size in shape)
    return rows, columns


def frequencies(size: tuple[int, int], band: Band) -> F64:
    """Return what a band keeps of the product of two spectra, shape `size`."""
    square = fftfreq(size[0])[:, None] ** 2 + fftfreq(size[1]) ** 2
    kept: F64 = np.exp(-4 * (math.pi * band.fine) ** 2 * square)
    if math.isfinite(band.coarse):
        kept = kept * np.square(np.expm1(-2 * (math.pi * band.coarse) ** 2 * square))
    kept[0, 0] = 0.0
    for axis, length in enumerate(size):
        if length % 2 == 0:  # that frequency has no direction, so it tells of no shift
            kept[(slice(None),) * axis + (length // 2,)] = 0.0
    return kept


def window(length: int, taper: float, centre: float, width: float) -> F64:
    """Return a window along one axis: 1 within, falling as a cosine over `taper * width` at each side, 0 beyond."""
    away = width / 2 - np.abs(np.arange(length) - centre)
    if taper == 0:
        return np.asarray(away > 0, float)
    rise = np.clip(away / (taper * width), 0, 1)
    return np.asarray(np.sin(0.5 * math.pi * rise) ** 2)


def moved(spectrum: C128, shift: F64) -> C128:
    """Return the spectrum of an image whose content moves down and right by `shift`, shape (2,), in pixels."""
    down, right = (fftfreq(length) for length in spectrum.shape)
    phase = np.exp(-2j * math.pi * down * shift[0])[:, None] * np.exp(-2j * math.pi * right * shift[1])
    return np.asarray(spectrum * phase)


def places(pairs: NDArray[np.intp], shifts: F64, weights: F64, count: int) -> F64:
    """Return the places of images whose differences come nearest to the shifts between pairs.

    The weighted squares of ``place[second] - place[first] - shift`` are least; the mean of all places is zero.

    Parameters
    ----------
    pairs
        First and second image of each pair, shape (pairs, 2); they connect all images.
    shifts
        Down and right, shape (pairs, 2).
    weights
        Inverse covariances, shape (pairs, 2, 2); 0 leaves a pair out.
    count
        Number of images.

    Returns
    -------
    Shape (count, 2).
    """
    normal, right = np.zeros((count, 2, count, 2)), np.zeros((count, 2))
    for (first, second), shift, weight in zip(pairs, shifts, weights, strict=True):
        for here, there, sign in ((first, second, -1.0), (second, first, 1.0)):
            normal[here, :, here] += weight
            normal[here, :, there] -= weight
            right[here] += sign * weight @ shift
    found = np.linalg.lstsq(normal.reshape(2 * count, -1), right.ravel(), rcond=1e-9)[0].reshape(count, 2)
    return np.asarray(found - found.mean(axis=0))


def all_pairs(count: int) -> NDArray[np.intp]:
    """Return each pair of images once, the earlier first, shape (count (count - 1) / 2, 2)."""
    return np.array(list(itertools.combinations(range(count), 2)), np.intp).reshape(-1, 2)


def windowed(image: Images, centre: F64, lost: F64, taper: float) -> F64:
    """Return an image less its mean, falling off to zero at its sides.

    Parameters
    ----------
    image
        Shape (rows, columns).
    centre
        How far the middle of the window lies from that of the image, down and right, pixel.
    lost
        By how much it is narrower than the image, pixel.
    taper
        Share of its width over which it falls off at each side.
    """
    sides = [
        window(length, taper, (length - 1) / 2 + away, max(length - less, 1.0))
        for length, away, less in zip(image.shape, centre, lost, strict=True)
    ]
    weight = np.multiply.outer(*sides)
    total = weight.sum()
    mean = (weight * image).sum() / total if total > 0 else 0.0
    return np.asarray(weight * (image - mean))


def _spectra(fixed: Images, moving: Images, shift: F64, band: Band, kept: F64) -> tuple[C128, C128, F64]:
    """Return the spectra of two images, each windowed about what is in both, and the weight of their product."""
    first, second = (
        fft2(windowed(image, sign * shift, np.abs(shift), band.taper), kept.shape)
        for image, sign in ((fixed, -0.5), (moving, 0.5))
    )
    return first, second, kept * _whiteness(first, second, band.whitening)


def _whiteness(first: C128, second: C128, power: float) -> F64:
    if power == 0:
        return np.ones(first.shape)
    amplitude = np.abs(first) * np.abs(second)
    floor = 1e-12 * float(amplitude.max()) or 1.0
    return np.asarray(np.maximum(amplitude, floor) ** -power)


def _highest(correlation: F64, guess: F64, reach: float) -> F64:
    """Return the shift of whole pixels with the highest correlation within reach."""
    down, right = (np.round(fftfreq(length) * length) for length in correlation.shape)
    away = np.hypot((down - guess[0])[:, None], right - guess[1])
    near = np.where(away <= max(reach, 1.0), correlation, -np.inf)
    row, column = np.unravel_index(int(near.argmax()), near.shape)
    return np.array([down[row], right[column]])


def _refined(cross: C128, start: F64) -> tuple[F64, F64 | None, float]:
    """Return the peak next to a place, minus the second derivatives there (None if it is no peak), and its height."""
    down, right = (fftfreq(length) for length in cross.shape)
    offsets = np.arange(-round(NEIGHBOURHOOD * PARTS), round(NEIGHBOURHOOD * PARTS) + 1) / PARTS
    rows = np.exp(2j * math.pi * np.outer(start[0] + offsets, down))
    columns = np.exp(2j * math.pi * np.outer(right, start[1] + offsets))
    fine = (rows @ cross @ columns).real
    row, column = np.unravel_index(int(fine.argmax()), fine.shape)
    value = start + np.array([offsets[row], offsets[column]])
    angular = [2 * math.pi * down[:, None], 2 * math.pi * right]
    for _ in range(STEPS):
        phased = cross * np.exp(1j * angular[0] * value[0]) * np.exp(1j * angular[1] * value[1])
        odd, even = phased.imag, phased.real
        slope = -np.array([(odd * one).sum() for one in angular])
        curvature = np.array([[(even * one * other).sum() for one in angular] for other in angular])
        if not (curvature[0, 0] > 0 and np.linalg.det(curvature) > 0):
            return value, None, float(even.sum())
        step = np.linalg.solve(curvature, slope)
        value = value + step
        if np.abs(step).max() < SETTLED:
            break
    inside = bool(np.abs(value - start).max() <= NEIGHBOURHOOD)
    return value, curvature / cross.size if inside else None, float(even.sum())


def _energy(first: C128, second: C128, weight: F64) -> float:
    energies = [float((weight * np.abs(one) ** 2).sum()) for one in (first, second)]
    return math.sqrt(energies[0] * energies[1])


def _covariance(first: C128, second: C128, weight: F64, value: F64, curvature: F64) -> F64:
    back = moved(second, -value)
    scale = math.sqrt(float((np.abs(back) ** 2).sum()) / float((np.abs(first) ** 2).sum()))
    residual = ifft2(back - scale * first).real
    mean = (first + back / scale) / 2 * weight
    slopes = gradients(mean)
    spread = np.array([[(residual**2 * one * other).sum() for one in slopes] for other in slopes])
    inverse = np.linalg.inv(curvature)
    return np.asarray(inverse @ spread @ inverse)


def gradients(spectrum: C128) -> list[F64]:
    """Return the derivatives of an image down and right, per pixel, from its spectrum."""
    down, right = (fftfreq(length) for length in spectrum.shape)
    return [ifft2(2j * math.pi * one * spectrum).real for one in (down[:, None], right)]


def registered(frames: Images, band: Band, coarse: Band, far: float, near: float) -> tuple[F64, F64]:
    """Return where the content of each frame lies, from the shifts between all pairs; their mean is zero.

    Pairs are first compared in a coarser band, which knows no lattice, then again next to the places that all of those
    agree upon. Pairs without a peak in reach have no say.

    The covariance of a place is that of its deviation from the mean of all: with the residual d of a frame from the
    mean of all, each moved back, and the gradient h of that mean, it is A**-1 (sum of d**2 h h^T) A**-1; A is the
    curvature of the correlation, averaged over pairs.

    Parameters
    ----------
    frames
        Shape (frames, rows, columns).
    band, coarse
        What is correlated, in the end and at first.
    far, near
        Largest shift between two frames; largest error of the coarse shifts; in pixels.

    Returns
    -------
    Places down and right, pixel, shape (frames, 2); covariances, shape (frames, 2, 2), NaN where a frame has no peak.
    """
    count = len(frames)
    found = np.zeros((count, 2))
    if count == 1:
        return found, np.zeros((1, 2, 2))
    pairs = all_pairs(count)
    known = np.ones(count, bool)
    for one, reach in ((coarse, far), (band, near)):
        shifts = [shift_between(frames[i], frames[j], one, reach, found[j] - found[i]) for i, j in pairs]
        weights = np.array([_weight(shift.covariance) for shift in shifts]).reshape(-1, 2, 2)
        found = places(pairs, np.array([shift.value for shift in shifts]).reshape(-1, 2), weights, count)
        known = np.array([(weights[(pairs == i).any(axis=1)] > 0).any() for i in range(count)], bool)
    covariance = _covariances(frames, found, band, far) if known.all() and count > 1 else np.zeros((count, 2, 2))
    covariance[~known] = np.nan
    return found, covariance


def _weight(covariance: F64) -> F64:
    """Return the inverse of a covariance, which errors of the computation keep from being infinite; 0 for NaN."""
    if not np.isfinite(covariance).all():
        return np.zeros((2, 2))
    return np.asarray(np.linalg.inv(covariance + ROUNDING**2 * np.eye(2)))


def _covariances(frames: Images, found: F64, band: Band, reach: float) -> F64:
    size = padded(frames.shape[1:], reach)
    kept = frequencies(size, band)
    lost = np.ptp(found, axis=0)
    middle = (found.max(axis=0) + found.min(axis=0)) / 2
    spectra = [
        moved(fft2(windowed(frame, place - middle, lost, band.taper), size), -place)
        for frame, place in zip(frames, found, strict=True)
    ]
    mean = np.mean(spectra, axis=0)
    count = len(frames)
    weight = kept * _whiteness(mean, mean, band.whitening)
    pairs = (np.abs(count * mean) ** 2 - sum(np.abs(one) ** 2 for one in spectra)) / (count * (count - 1))
    angular = [2 * math.pi * fftfreq(length) for length in size]
    waves = [angular[0][:, None], angular[1]]
    curvature = np.array([[(weight * pairs * one * other).mean() for one in waves] for other in waves])
    if not (curvature[0, 0] > 0 and np.linalg.det(curvature) > 0):
        return np.full((count, 2, 2), np.nan)
    inverse, slopes = np.linalg.inv(curvature), gradients(mean * weight)
    made = []
    for one in spectra:
        residual = ifft2(one - mean).real
        spread = np.array([[(residual**2 * a * b).sum() for a in slopes] for b in slopes])
        made.append(inverse @ spread @ inverse)
    return np.array(made)
