"""Images of atoms: rotation into the frame of the camera, Gaussians, scattering factors."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq

from aetx.kernels.profiles import NARROW
from aetx.kernels.scattering import kirkland

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REACH = 5.0
"""Where the Gaussian of an atom ends, in its standard deviations: 3e-7 of its integral lie beyond."""
LANES = 16
"""Pixels that are added to at once."""
FACTORS = 4096
"""Frequencies at which a scattering factor is tabulated: straight lines between them are good to 1e-5."""
TAIL = 8.0
"""Where the picture of an atom with its scattering factor ends beyond the edge of an image, angstrom: 1e-4 of the most
extended element lies further away."""

FINEST = 4
"""Most pixels along each axis that one is divided into."""


def rotation(phi: float, theta: float, psi: float) -> F64:
    """Return R = Rz(phi) Ry(theta) Rx(psi), right-handed and active, shape (3, 3); angles in radian."""
    cz, sz, cy, sy, cx, sx = (f(a) for a in (phi, theta, psi) for f in (math.cos, math.sin))
    about_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    return about_z @ about_y @ about_x


def to_camera(position: F64, phi: float, theta: float, psi: float) -> F64:
    """Return p = transpose(R) r for positions of shape (atoms, 3), columns x, y, z; angles in radian."""
    return np.ascontiguousarray(position @ rotation(phi, theta, psi))


@njit(nogil=True, cache=True)
def render(x: F64, y: F64, height: F64, width: F64, rows: int, columns: int) -> F32:
    """Draw atoms as two-dimensional Gaussians; those narrower than a pixel are integrated over each pixel.

    Parameters
    ----------
    x, y
        Where each atom is, in pixels from the centre of the pixel of index 0, shape (atoms,).
    height
        Integral of each atom over the image, shape (atoms,).
    width
        Standard deviation of each atom in pixels, above 0, shape (atoms,).
    rows, columns
        Size of the image.

    Returns
    -------
    Image, shape (rows, columns); each atom reaches to 5 standard deviations.
    """
    longest = 0.0
    for i in range(width.size):
        longest = max(longest, width[i])
    room = LANES * (int(2.0 * REACH * longest + 3.0) // LANES + 1)
    image = np.zeros((rows, columns + room), np.float32)
    across, along = np.zeros(room, np.float32), np.zeros(room, np.float32)
    for i in range(x.size):
        reach = REACH * width[i] + 0.5
        left, right = max(0, math.ceil(x[i] - reach)), min(columns, math.floor(x[i] + reach) + 1)
        low, high = max(0, math.ceil(y[i] - reach)), min(rows, math.floor(y[i] + reach) + 1)
        if left >= right or low >= high:
            continue
        _profile(x[i], width[i], left, right, across)
        _profile(y[i], width[i], low, high, along)
        used = (right - left + LANES - 1) // LANES * LANES
        across[right - left : used] = 0.0
        for row in range(low, high):
            scale = np.float32(height[i] * along[row - low])
            line = image[row, left : left + used]
            for k in range(used):
                line[k] += scale * across[k]
    return image[:, :columns].copy()


@njit(nogil=True, cache=True)
def _profile(centre: float, width: float, first: int, last: int, profile: F32) -> None:
    """Write a Gaussian of unit integral at the pixels from first up to last; its ratios go on by multiplication."""
    if width < NARROW:
        scale = 1.0 / (width * math.sqrt(2.0))
        before = math.erf((first - 0.5 - centre) * scale)
        for i in range(first, last):
            after = math.erf((i + 0.5 - centre) * scale)
            profile[i - first] = 0.5 * (after - before)
            before = after
    else:
        step = 1.0 / width
        t = (first - centre) * step
        value = step / math.sqrt(2.0 * math.pi) * math.exp(-0.5 * t * t)
        ratio, fall = math.exp(-step * (t + 0.5 * step)), math.exp(-step * step)
        for i in range(last - first):
            profile[i] = value
            value *= ratio
            ratio *= fall


def scattered(
    x: F64, y: F64, height: F64, width: F64, species: NDArray[np.integer], step: float, rows: int, columns: int
) -> F32:
    """Draw atoms whose Gaussians are multiplied in Fourier space by their scattering factors f(q) / f(0).

    Those narrower than a pixel are drawn on finer pixels, up to four for each, and added up.

    Parameters
    ----------
    x, y, height, width, rows, columns
        As for `render`.
    species
        Atomic number of each atom, 1 to 103, shape (atoms,).
    step
        Edge of a pixel, angstrom.

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2 (factors).
    """
    wide = width >= NARROW
    image = _filtered(x[wide], y[wide], height[wide], width[wide], species[wide], step, rows, columns)
    if not wide.all():
        by = min(math.ceil(NARROW / width.min()), FINEST)
        across, along = ((place[~wide] * by + (by - 1) / 2) for place in (x, y))
        finer = (step / by, rows * by, columns * by)
        fine = _filtered(across, along, height[~wide], width[~wide] * by, species[~wide], *finer)
        image += fine.reshape(rows, by, columns, by).sum(axis=(1, 3))
    return image


def _filtered(
    x: F64, y: F64, height: F64, width: F64, species: NDArray[np.integer], step: float, rows: int, columns: int
) -> F32:
    margin = math.ceil(TAIL / step)
    tall, wide = (next_fast_len(size + 2 * margin, real=True) for size in (rows, columns))
    spectrum = np.zeros((tall, wide // 2 + 1), np.complex64)
    for number in np.unique(species):
        of = species == number
        drawn = render(x[of] + margin, y[of] + margin, height[of], width[of], tall, wide)
        spectrum += rfft2(drawn) * _factor(int(number), tall, wide, step)
    image = irfft2(spectrum, (tall, wide))[margin : margin + rows, margin : margin + columns]
    return np.ascontiguousarray(np.maximum(image, 0))


def _factor(number: int, rows: int, columns: int, step: float) -> F32:
    """Return f(q) / f(0) on the half grid of a real Fourier transform."""
    q = np.hypot(fftfreq(rows, step)[:, None], rfftfreq(columns, step))
    known = np.linspace(0.0, q[rows // 2, -1], FACTORS)
    return np.interp(q, known, kirkland(number, known) / kirkland(number, 0.0)).astype(np.float32)
