"""Images of atoms: rotation into the frame of the camera, Gaussian rendering, counts and their noise."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PLATINUM = 0.0229
"""ADF cross-section of one Pt atom, angstrom**2, first Born approximation, 40-200 mrad at 300 keV."""
RATIOS = {6: 0.008, 8: 0.014, 14: 0.043, 22: 0.096, 28: 0.153, 46: 0.380, 56: 0.538, 78: 1.0}
"""The same cross-section of other elements, relative to Pt."""
REACH = 5.0
"""Where the picture of an atom ends, in its standard deviations: 3e-7 of its counts lie beyond."""


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


def adf_cross_section(numbers: NDArray[np.integer]) -> F64:
    """Return the cross-section for scattering onto the ADF detector, angstrom**2, of each atomic number above 0.

    Between the tabulated elements the logarithm goes straight in the logarithm of Z; beyond them it keeps the
    exponent 1.83.
    """
    known = np.log(np.array(list(RATIOS), float))
    ratios = np.log(np.array(list(RATIOS.values())))
    wanted = np.log(np.asarray(numbers, float))
    found = np.interp(wanted, known, ratios)
    found += 1.83 * (np.maximum(wanted - known[-1], 0.0) + np.minimum(wanted - known[0], 0.0))
    return PLATINUM * np.exp(found)


@njit(nogil=True, cache=True)
def render(x: F64, y: F64, height: F64, width: F64, rows: int, columns: int, integrated: bool) -> F32:
    """Draw atoms as two-dimensional Gaussians.

    Parameters
    ----------
    x, y
        Where each atom is, in pixels from the centre of the pixel of index 0, shape (atoms,).
    height
        Integral of each atom over the image, shape (atoms,).
    width
        Standard deviation of each atom in pixels, shape (atoms,).
    rows, columns
        Size of the image.
    integrated
        Take the integral over each pixel; else the value at its centre, which suits widths above one pixel.

    Returns
    -------
    Image, shape (rows, columns); each atom reaches to 5 standard deviations.
    """
    image = np.zeros((rows, columns), np.float32)
    for i in range(x.size):
        reach = math.ceil(5.0 * width[i]) + 1
        centre_x, centre_y = math.floor(x[i] + 0.5), math.floor(y[i] + 0.5)
        left, right = max(0, centre_x - reach), min(columns, centre_x + reach + 1)
        low, high = max(0, centre_y - reach), min(rows, centre_y + reach + 1)
        if left >= right or low >= high:
            continue
        across = _profile(x[i], width[i], left, right, integrated)
        along = _profile(y[i], width[i], low, high, integrated)
        for row in range(low, high):
            scale = np.float32(height[i] * along[row - low])
            for column in range(left, right):
                image[row, column] += scale * across[column - left]
    return image


@njit(nogil=True, cache=True)
def _profile(centre: float, width: float, first: int, last: int, integrated: bool) -> F32:
    profile = np.empty(last - first, np.float32)
    if integrated:
        scale = 1.0 / (width * math.sqrt(2.0))
        before = math.erf((first - 0.5 - centre) * scale)
        for i in range(first, last):
            after = math.erf((i + 0.5 - centre) * scale)
            profile[i - first] = 0.5 * (after - before)
            before = after
    else:
        scale = 1.0 / (width * math.sqrt(2.0 * math.pi))
        for i in range(first, last):
            t = (i - centre) / width
            profile[i - first] = scale * math.exp(-0.5 * t * t)
    return profile


def smooth_level(rows: int, columns: int, level: float, variation: float, generator: np.random.Generator) -> F32:
    """Draw a background: a level times one plus a random second-order polynomial of at most `variation`."""
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([u, v, u * u - 1 / 3, u * v, v * v - 1 / 3])
    shape = np.tensordot(generator.standard_normal(5), terms, axes=1)
    return (level * (1.0 + variation * shape / max(float(np.abs(shape).max()), 1e-12))).astype(np.float32)


def detect(expected: F32, gain: float, offset: float, read_noise: float, generator: np.random.Generator) -> F32:
    """Return gain * Poisson(expected) + offset + normal(0, read_noise), the same shape."""
    counted = gain * generator.poisson(expected) + offset
    if read_noise > 0:
        counted = counted + generator.normal(0.0, read_noise, expected.shape)
    return counted.astype(np.float32)
