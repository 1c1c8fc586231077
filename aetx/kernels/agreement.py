"""How well computed images agree with observed ones: R factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """R factors of each tilt, NaN where nothing is compared, and of all; the pixels compared, and the scales used."""

    r1: F64
    r2: F64
    r_fourier: F64
    global_r1: float
    global_r2: float
    pixels: NDArray[np.int64]
    scale: F64


def agreement(computed: F32, observed: F32, trusted: Mask, scaled: str) -> Agreement:
    """Compare computed with observed images.

        R1 = sum |k c - o| / sum |o|,   R2 = (sum (k c - o)**2 / sum o**2) ** 1/2,   RF = sum ||k C| - |O|| / sum |O|

    over the trusted pixels, and for RF over the discrete Fourier transforms C and O of the images, zero at other
    pixels.

    Parameters
    ----------
    computed, observed
        Shape (tilts, y, x); observed ones are finite where trusted.
    trusted
        Which pixels are compared.
    scaled
        k: ``none``, 1; ``tilt``, by least squares for each image; ``global``, one by least squares for all.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1 (RF).
    """
    tilts = len(observed)
    scale = scales(computed, observed, trusted, scaled)
    sums = np.zeros((tilts, 6))
    for i in range(tilts):
        seen = np.where(trusted[i], observed[i], 0.0).astype(np.float64)
        shown = np.where(trusted[i], scale[i] * computed[i].astype(np.float64), 0.0)
        wave, known = np.abs(np.fft.fft2(shown)), np.abs(np.fft.fft2(seen))
        off = shown - seen
        sums[i, :2] = np.abs(off).sum(), np.abs(seen).sum()
        sums[i, 2:4] = np.square(off).sum(), np.square(seen).sum()
        sums[i, 4:] = np.abs(wave - known).sum(), known.sum()
    above, below = sums[:, ::2], sums[:, 1::2]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(below > 0, above / below, np.nan)
        both = np.nansum(above, axis=0) / np.nansum(below, axis=0)
    return Agreement(
        r1=ratio[:, 0],
        r2=np.sqrt(ratio[:, 1]),
        r_fourier=ratio[:, 2],
        global_r1=float(both[0]),
        global_r2=float(np.sqrt(both[1])),
        pixels=trusted.sum(axis=(1, 2)).astype(np.int64),
        scale=scale,
    )


def scales(computed: F32, observed: F32, trusted: Mask, scaled: str) -> F64:
    """Return the factor of each computed image, shape (tilts,); NaN where there is nothing to scale."""
    if scaled == "none":
        return np.ones(len(observed))
    products = np.zeros((2, len(observed)))
    for i in range(len(observed)):
        shown = computed[i][trusted[i]].astype(np.float64)
        products[:, i] = shown @ observed[i][trusted[i]], shown @ shown
    with np.errstate(invalid="ignore", divide="ignore"):
        if scaled == "global":
            return np.full(len(observed), products[0].sum() / products[1].sum())
        return np.asarray(products[0] / products[1])


def heights(basis: F32, observed: F32, trusted: Mask) -> F64:
    """Return the factors of several series of images whose sum is nearest to the observed one in least squares.

    Parameters
    ----------
    basis
        Shape (parts, tilts, y, x).
    observed, trusted
        Shape (tilts, y, x).
    """
    parts = len(basis)
    normal, side = np.zeros((parts, parts)), np.zeros(parts)
    for i in range(len(observed)):
        columns = basis[:, i][:, trusted[i]].astype(np.float64)
        normal += columns @ columns.T
        side += columns @ observed[i][trusted[i]]
    return np.asarray(np.linalg.lstsq(normal, side, rcond=None)[0], np.float64)


def matched(computed: F32, observed: F32, trusted: Mask, scale: F64) -> F32:
    """Return computed images with the shape of a point that agrees best with the observed ones, shape (tilts, y, x).

    Their Fourier transforms are multiplied by one factor for each spatial frequency, common to all images and the same
    in all directions, by least squares: sum Re(O conj(C)) / sum |C|**2 over shells as wide as a step of the shorter
    side. What is wrong about the places and the number of atoms stays wrong.

    Parameters
    ----------
    computed, observed, trusted
        As for `agreement`.
    scale
        Factor of each computed image, shape (tilts,); where it is NaN an image has no say.
    """
    rows, columns = computed.shape[1:]
    shorter = min(rows, columns)
    shell = np.rint(shorter * np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))).astype(np.int64)
    sums = np.zeros((2, int(shell.max()) + 1))
    factor = np.nan_to_num(scale)[:, None, None].astype(np.float32)
    seen, drawn = np.where(trusted, observed, 0), np.where(trusted, factor * computed, 0)
    for one, other in zip(seen, drawn, strict=True):
        known, wave = np.fft.rfft2(one), np.fft.rfft2(other)
        for row, part in enumerate((np.real(known * np.conj(wave)), np.abs(wave) ** 2)):
            sums[row] += np.bincount(shell.ravel(), part.ravel(), sums.shape[1])
    transfer = np.divide(sums[0], sums[1], out=np.zeros(sums.shape[1]), where=sums[1] > 0)[shell]
    made = [np.fft.irfft2(np.fft.rfft2(one) * transfer, (rows, columns)) for one in factor * computed]
    return np.stack(made).astype(np.float32)
