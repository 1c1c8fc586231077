"""Fourier shell correlation of two volumes, in all directions and in some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
C64 = NDArray[np.complex64]

DIRECTIONS = ("all", "z", "xy")
"""All of a shell, its part in the cones about z, and its part near the plane of x and y."""


@dataclass(frozen=True)
class Correlation:
    """Correlation and number of coefficients, a wave and its conjugate both, by direction and shell; frequency."""

    value: F64
    count: F64
    frequency: F64


def transform(volume: F32) -> C64:
    """Return the half transform of a volume (z, y, x) along its last axis."""
    found: C64 = fft.rfftn(volume)
    return found


def shell_correlation(first: C64, second: C64, shape: tuple[int, int, int], step: float, cone: float) -> Correlation:
    """Correlate two transforms shell by shell.

        FSC = Re sum F1 conj(F2) / (sum |F1|**2 sum |F2|**2) ** 1/2

    Shells are as wide as the frequency step of the shortest axis, shell k about k steps, up to the Nyquist frequency;
    the zero frequency is left out. NaN where a shell has nothing in a direction, or either volume has none there.

    Parameters
    ----------
    first, second
        As `transform` returns them.
    shape
        That of the volumes.
    step
        Edge of a voxel, angstrom.
    cone
        Half angle of the cones about z, and half opening of the belt about the plane of x and y, radian.

    References
    ----------
    G. Harauz, M. van Heel, Optik 73, 146 (1986).
    """
    shells = min(shape) // 2
    width = 1 / (min(shape) * step)
    sums = np.zeros((4, len(DIRECTIONS), shells + 1))
    for kz, along, shell, share in _planes(shape, step, width):
        one, other = first[kz].ravel().astype(np.complex128), second[kz].ravel().astype(np.complex128)
        parts = (np.real(one * np.conj(other)), np.abs(one) ** 2, np.abs(other) ** 2, np.ones(one.size))
        for place, chosen in enumerate((shell > 0, along >= np.cos(cone), along <= np.sin(cone))):
            inside = chosen & (shell > 0) & (shell <= shells)
            for row, part in enumerate(parts):
                weights = (share * part)[inside]
                sums[row, place] += np.bincount(shell[inside], weights=weights, minlength=shells + 1)
    above, one_power, other_power, count = sums[:, :, 1:]
    below = np.sqrt(one_power * other_power)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(below > 0, above / below, np.nan)
    return Correlation(value, count, width * np.arange(1.0, shells + 1))


def scrambled(wave: C64, shape: tuple[int, int, int], beyond: int, generator: np.random.Generator) -> F32:
    """Return the volume whose phases are random in the shells from `beyond` on, amplitudes as they are.

    References
    ----------
    S. Chen et al., Ultramicroscopy 135, 24 (2013), doi:10.1016/j.ultramic.2013.06.004.
    """
    noise = transform(generator.standard_normal(shape, np.float32))
    made = wave.copy()
    for kz, _, shell, _ in _planes(shape, 1.0, 1 / min(shape)):
        far = (shell >= beyond).reshape(made[kz].shape)
        made[kz][far] = np.abs(wave[kz][far]) * np.exp(1j * np.angle(noise[kz][far]))
    volume: F32 = fft.irfftn(made, shape)
    return volume


def crossing(value: F64, frequency: F64, threshold: float) -> float:
    """Return the frequency at which a curve falls below a threshold; NaN where it never does or begins there.

    It must stay below for two shells, as the first shells of a cone have few coefficients, and scatter.
    """
    low = value < threshold
    below = np.flatnonzero(low & np.append(low[1:], True))
    if not below.size or below[0] == 0 or not np.isfinite(value[below[0] - 1]):
        return float("nan")
    i = int(below[0])
    share = (value[i - 1] - threshold) / (value[i - 1] - value[i])
    return float(frequency[i - 1] + share * (frequency[i] - frequency[i - 1]))


def _planes(shape: tuple[int, int, int], step: float, width: float) -> Iterator[tuple[int, F64, I64, F64]]:
    """Yield for each plane of a half transform its number, |cos| to z, shell, and how often its waves count."""
    axes: list[F64] = [fft.fftfreq(shape[0], step), fft.fftfreq(shape[1], step), fft.rfftfreq(shape[2], step)]
    flat = axes[1][:, None] ** 2 + axes[2] ** 2
    share = np.full(flat.shape, 2.0)
    share[:, 0] = 1.0
    if shape[2] % 2 == 0:
        share[:, -1] = 1.0
    for kz, z in enumerate(axes[0]):
        length = np.sqrt(flat + z**2).ravel()
        along = np.abs(z) / np.where(length > 0, length, 1.0)
        yield kz, along, np.rint(length / width).astype(np.int64), share.ravel()
